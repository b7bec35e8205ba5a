"""Whether the order in which days are read is that of time."""

from __future__ import annotations

import torch

from flatline.harness.case import Case
from flatline.harness.isolation import repeatable
from flatline.harness.trees import leaves

__all__ = ["days_are_known"]

# So often a split is read, from other seeds each time, to see whether it is shuffled.
READINGS = 3


def days_are_known(case: Case) -> bool:
    """Whether days are numbered by the inputs, or the train batches come in one order."""
    if not case.subject.days_by_batch(case.batch()[0]):
        return True
    firsts = [
        next(repeatable(lambda: case.source.split("train"), case.seed_of(f"reading {i}")))
        for i in range(READINGS)
    ]
    tensors = [[x for _, x in leaves(first)] for first in firsts]
    return all(
        one.shape == other.shape and torch.equal(one.cpu(), other.cpu())
        for again in tensors[1:]
        for one, other in zip(tensors[0], again, strict=True)
    )
