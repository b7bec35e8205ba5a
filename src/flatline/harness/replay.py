"""A subject's batches, read once and given again the same, however they are made."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Iterator
from typing import Any

import torch

from flatline.harness.isolation import repeatable
from flatline.harness.subject import Subject
from flatline.harness.trees import leaves, move

__all__ = ["Replay"]

Batch = tuple[Any, Any]

# Bytes of each split that are kept; what lies behind is read anew each time.
KEPT = 2**29


class Replay:
    """The batches of a subject: a loader that shuffles, by whichever generator, is read once.

    A probe looks at the same batches again and again, and takes what differs for the model's
    doing. What is kept is a copy, so that no forward pass can change it.

    Args:
        subject: Whose batches.
        kept: Bytes of each split that are kept.

    Example:
        >>> subject = Subject(name="any", model=torch.nn.Identity, loss=torch.sub, scores=float,
        ...                   batches=lambda split: [(torch.rand(2, 1), torch.rand(2, 1))])
        >>> replay = Replay(subject)
        >>> first, again = (inputs for _ in range(2) for inputs, _ in replay("train"))
        >>> bool((first == again).all())
        True
    """

    def __init__(self, subject: Subject, *, kept: int = KEPT) -> None:
        self._subject, self._limit = subject, kept
        self._splits: dict[str, _Split] = {}

    def __call__(self, split: str) -> _Split:
        """The batches of a split, from the first one on."""
        if split not in self._splits:
            self._splits[split] = _Split(self._subject, split, self._limit)
        return self._splits[split]


class _Split:
    def __init__(self, subject: Subject, name: str, limit: int) -> None:
        self._subject, self._name, self._limit = subject, name, limit
        self._kept: list[Batch] = []
        self._source: Iterator[Batch] | None = None
        self._bytes, self._whole = 0, False

    def __iter__(self) -> Iterator[Batch]:
        place = 0
        while place < len(self._kept) or self._keep():
            yield self._kept[place]
            place += 1
        if not self._whole:
            yield from self._read(place)

    def __len__(self) -> int:
        """As many as the subject's own batches say they are.

        Raises:
            TypeError: They do not say.
        """
        return len(self._subject.split(self._name))  # type: ignore[arg-type]

    def _keep(self) -> bool:
        """Read one more, if there is one and room for it."""
        if self._whole or self._bytes > self._limit:
            return False
        # Cleared while it is read: one that raises is not mistaken for one that has ended.
        source, self._source = self._source or self._read(len(self._kept)), None
        try:
            inputs, targets = next(source)
        except StopIteration:
            self._whole = True
            return False
        self._source = source
        place = next((x.device for _, x in leaves((inputs, targets))), torch.device("cpu"))
        batch = move((inputs, targets), place)
        self._kept.append(batch)
        self._bytes += sum(x.numel() * x.element_size() for _, x in leaves(batch))
        return True

    def _read(self, first: int) -> Iterator[Batch]:
        batches = repeatable(
            lambda: self._subject.split(self._name), zlib.crc32(self._name.encode())
        )
        return itertools.islice(batches, first, None)
