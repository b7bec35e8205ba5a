"""A loader that knows its position and can be put back to it, to the batch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, Protocol, runtime_checkable

from flatline.batch import DayBatch, Labels
from flatline.errors import DataError
from flatline.training.seeds import generator_states, restore_generators

__all__ = ["BatchSource", "PlainLoader", "ResumableLoader"]


@runtime_checkable
class BatchSource(Protocol):
    """Batches of whole days that can be counted and gone through again."""

    def __iter__(self) -> Iterator[tuple[DayBatch, Labels]]:
        """One pass over the batches."""
        ...

    def __len__(self) -> int:
        """Batches of one pass."""
        ...


@runtime_checkable
class KnowsEpoch(Protocol):
    """A source that shuffles by the number of the pass."""

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of the next pass."""
        ...


@runtime_checkable
class KnowsPosition(Protocol):
    """A source that can be put back to a position without going through what was before."""

    def state_dict(self) -> dict[str, Any]:
        """Where the pass stands."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        ...


class PlainLoader:
    """Batches under one name, also where they are a list: Lightning takes lists apart.

    Args:
        source: The batches of one pass. Sized, and iterable more than once.
        name: What to call the source in an error.

    Raises:
        DataError: The source has no length, is a one-way iterator, or is empty.
    """

    def __init__(self, source: Iterable[tuple[DayBatch, Labels]], *, name: str) -> None:
        self.source = _checked(source, name)

    def __len__(self) -> int:
        return len(self.source)

    def __iter__(self) -> Iterator[tuple[DayBatch, Labels]]:
        return iter(self.source)


class ResumableLoader:
    """Passes over a source of batches, resumable between any two of them.

    A source with `set_epoch` is told the number of each pass, and one with
    `load_state_dict` is put back to its position by it. Any other source is
    gone through again up to there, with the generators in the state they had
    when the interrupted pass began; then they take the state of the
    checkpoint. So sources that draw from the global generators, such as a
    shuffling `DataLoader` without workers, go on exactly too.

    Args:
        source: The batches of one pass. Sized, and iterable more than once.
        first_epoch: Number of the first pass.

    Raises:
        DataError: The source has no length, is a one-way iterator, or is empty.
    """

    def __init__(self, source: Iterable[tuple[DayBatch, Labels]], *, first_epoch: int = 0) -> None:
        self.source = _checked(source, "train")
        self.epoch = first_epoch
        self.position = 0
        self._generators_at_start: dict[str, Any] | None = None
        self._resumed: dict[str, Any] | None = None

    def __len__(self) -> int:
        return len(self.source)

    @property
    def epochs(self) -> int:
        """Passes begun, the earlier ones included."""
        return self.epoch + (self.position > 0)

    def __iter__(self) -> Iterator[tuple[DayBatch, Labels]]:
        """The rest of the current pass: all of it, unless just resumed."""
        return self._rest_of_pass()

    def _rest_of_pass(self) -> Iterator[tuple[DayBatch, Labels]]:
        # Lightning asks for iterators that it then drops: nothing is read
        # or changed before the first batch is drawn.
        resumed, self._resumed = self._resumed, None
        if resumed is None:
            batches = self._new_pass()
        elif 0 < self.position < len(self):
            batches = self._interrupted_pass(resumed)
        else:
            restore_generators(resumed["generators"])
            batches = self._new_pass()
        for batch in batches:
            self.position += 1
            yield batch

    def _new_pass(self) -> Iterator[tuple[DayBatch, Labels]]:
        if self.position:
            self.epoch, self.position = self.epoch + 1, 0
        self._generators_at_start = generator_states()
        self._tell_epoch()
        return iter(self.source)

    def _interrupted_pass(self, resumed: dict[str, Any]) -> Iterator[tuple[DayBatch, Labels]]:
        restore_generators(resumed["generators_at_start"])
        self._generators_at_start = resumed["generators_at_start"]
        self._tell_epoch()
        if isinstance(self.source, KnowsPosition):
            self.source.load_state_dict(resumed["source"])
            batches = iter(self.source)
        else:
            batches = iter(self.source)
            for _ in islice(batches, self.position):
                pass
        restore_generators(resumed["generators"])
        return batches

    def _tell_epoch(self) -> None:
        if isinstance(self.source, KnowsEpoch):
            self.source.set_epoch(self.epoch)

    def state_dict(self) -> dict[str, Any]:
        """Epoch, position, and the generators now and when this pass began."""
        source = self.source
        return {
            "epoch": self.epoch,
            "position": self.position,
            "source": source.state_dict() if isinstance(source, KnowsPosition) else None,
            "generators_at_start": self._generators_at_start,
            "generators": generator_states(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state, generators included, when the next batch is drawn."""
        self.epoch, self.position = state["epoch"], state["position"]
        self._resumed = dict(state)


def _checked(source: Iterable[tuple[DayBatch, Labels]], name: str) -> BatchSource:
    if not isinstance(source, BatchSource) or isinstance(source, Iterator):
        raise DataError(
            f"{name} is a {type(source).__name__}, expected batches with a length that can be "
            "gone through once per epoch. Give a list, a DayBatches or a DataLoader."
        )
    if len(source) == 0:
        raise DataError(f"{name} has 0 batches, expected at least 1. Give more days.")
    return source
