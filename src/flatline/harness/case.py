"""One subject being judged: where, from which seed, and what was already found out about it."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from flatline.harness.isolation import isolated
from flatline.harness.probes.scoring import Place, take
from flatline.harness.replay import Replay
from flatline.harness.subject import Subject

__all__ = ["Case"]

T = TypeVar("T")


@dataclass(slots=True, eq=False)
class Case:
    """A subject with all that its checks share; what is costly is computed once.

    Args:
        subject: What is judged; its batches are read once and given again the same.
        steps: Optimizer steps of the smoke training.
        seed: Seed of everything random.
        place: Device and precision.
        on_step: Called with the number of steps done, for progress.
        source: The subject as it was given, whose batches are made anew at each reading.

    Example:
        >>> from flatline.harness import Subject
        >>> case = Case(Subject(name="any", model=lambda: nn.Linear(2, 1), batches={},
        ...                     loss=torch.sub, scores=lambda outputs: outputs))
        >>> bool((case.model().weight == case.model().weight).all())
        True
    """

    subject: Subject
    steps: int = 200
    seed: int = 0
    place: Place = field(default_factory=lambda: Place(torch.device("cpu")))
    on_step: Callable[[int], None] = lambda _: None
    source: Subject = field(init=False, repr=False)
    _found: dict[Callable[..., Any], Any] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        """Read the batches once for all probes."""
        self.source = self.subject
        self.subject = replace(self.subject, batches=Replay(self.subject))

    def of(self, probe: Callable[[Case], T]) -> T:
        """What *probe* measures of this case; measured once.

        Each probe has a seed of its own, so that it finds the same whatever ran before.
        An error of the subject's own code is raised again for each that asks.
        """
        if probe not in self._found:
            with isolated(self.seed_of(f"{probe.__module__}.{probe.__qualname__}")):
                try:
                    self._found[probe] = probe(self)
                except Exception as error:  # noqa: BLE001 (a subject may raise anything)
                    self._found[probe] = _Raised(error)
        found = self._found[probe]
        if isinstance(found, _Raised):
            raise found.error
        kept: T = found
        return kept

    def model(self, purpose: str = "model") -> nn.Module:
        """A fresh model on the device, with the same weights each time for one purpose."""
        with isolated(self.seed_of(purpose)):
            model = self.subject.model().to(self.place.device)
            if any(map(is_lazy, [*model.parameters(), *model.buffers()])):
                # Lazy modules have no weights before the first pass.
                with torch.no_grad():
                    self.subject.run(model.eval(), self.batch()[0])
                model.train()
            return model

    def batch(self, split: str = "train") -> tuple[Any, Any]:
        """The first (inputs, targets) of a split, on the device."""
        return next(self.batches(split, 1))

    def batches(self, split: str, limit: int | None = None) -> Iterator[tuple[Any, Any]]:
        """The first *limit* batches of a split, or all, on the device."""
        return take(self.subject, split, self.place.device, limit)

    def seed_of(self, purpose: str) -> int:
        """The seed for one purpose: as unlike that of others as two seeds are."""
        return (self.seed * 1_000_003 + zlib.crc32(purpose.encode())) % 2**63


@dataclass(frozen=True, slots=True)
class _Raised:
    error: Exception
