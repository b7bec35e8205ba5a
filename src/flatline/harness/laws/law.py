"""What a law is: a sentence, when it applies, what it is tried on, and how far a loss is off."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from flatline.harness.laws.judged import Found, Judged
from flatline.harness.laws.scored_days import ScoredDays

__all__ = ["Law", "Off", "gap", "largest"]


class Off(NamedTuple):
    """How far a loss is off a law.

    Args:
        value: What was measured.
        bound: What it may be at most; what is not a number breaks the law.
        says: What was measured, in a sentence.
    """

    value: float
    bound: float
    says: str

    @property
    def broken(self) -> bool:
        """Whether the law is broken."""
        return not self.value <= self.bound


Holds = Callable[[Judged, ScoredDays, np.random.Generator], Off]


@dataclass(frozen=True, slots=True, kw_only=True)
class Law:
    """One thing that holds of a healthy loss.

    Args:
        id: Its name, as in `test_my_loss[row_order]`.
        says: What holds, in one sentence.
        remedy: Where to look if it does not.
        holds: From a loss, a batch and a source of draws to how far it is off.
        batch: Options of `scored_days` for what it is tried on.
        applies: Whether it is to be asked of a loss.
    """

    id: str
    says: str
    remedy: str
    holds: Holds
    batch: Mapping[str, Any] = field(default_factory=dict)
    applies: Callable[[Judged], bool] = lambda _: True


def largest(x: Tensor) -> float:
    """Largest absolute entry, NaN where one is; 0 of nothing."""
    return float(x.detach().abs().max()) if x.numel() else 0.0


def gap(found: Found, expected: Found) -> float:
    """Largest difference of two losses over their size; infinite where one only is valid.

    What is not a number in both is no difference.
    """
    if found.value.shape != expected.value.shape or not torch.equal(found.valid, expected.valid):
        return math.inf
    here, there = (torch.where(one.valid, one.value, 0.0).detach() for one in (found, expected))
    neither = here.isnan() & there.isnan()
    here, there = torch.where(neither, 0.0, here), torch.where(neither, 0.0, there)
    # A loss of nearly 0, as of a perfect order, is all rounding.
    least = 1e-6 if there.dtype == torch.float64 else 1e-2
    return largest(here - there) / max(largest(there), least)
