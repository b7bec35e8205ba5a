"""What suites read off scored rows and their days: arrays, floors, whether days have an order."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from flatline.harness.case import Case
from flatline.harness.checks.degeneracy import probability_floor
from flatline.harness.probes.order import days_are_known
from flatline.harness.probes.scoring import Place, Scored
from flatline.harness.verdicts import Stage, Verdict, not_judged
from flatline.metrics.variance import rounding_floor

__all__ = ["array", "array_or_none", "floor_of", "of_ordered_days"]


def array(x: Tensor) -> NDArray[np.float64]:
    """A tensor on the CPU as an array of float64."""
    return x.double().numpy()


def array_or_none(x: Tensor | None) -> NDArray[np.float64] | None:
    """The same of a part that may be absent."""
    return None if x is None else array(x)


def floor_of(scored: Scored, place: Place) -> NDArray[np.float64]:
    """What rounding may make scores vary by, or the probabilities made of them: (horizons,)."""
    score = array(scored.score)
    if scored.probability is None:
        return rounding_floor(score, eps=place.eps)
    return probability_floor(array(scored.probability), score, eps=place.eps)


def of_ordered_days(
    check: str, stage: Stage, judge: Callable[[Case], Verdict]
) -> Callable[[Case], Verdict]:
    """A judge that speaks only where days follow each other as they did in time.

    Days that follow each other are alike. Shuffled ones look independent, and
    what persists would be taken for a drift.
    """

    def ordered(case: Case) -> Verdict:
        if case.of(days_are_known):
            return judge(case)
        return not_judged(
            check,
            stage,
            "the train batches are shuffled and say no days; give the Subject "
            "`days=lambda inputs: ...`, or batches in the order of time",
        )

    return ordered
