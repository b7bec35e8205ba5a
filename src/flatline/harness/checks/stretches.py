"""Periods of scores, cut into stretches of days that tell how much a healthy model moves."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from flatline.harness.checks.degeneracy import spread
from flatline.harness.statistics import reach
from flatline.harness.subject import Axis

__all__ = [
    "FEWEST_DAYS",
    "STRETCHES",
    "Period",
    "geometric_mean",
    "means",
    "share_of",
    "spreads",
    "stretches",
    "usual_of",
]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Stretches of the train period that say how much a healthy model moves from one to the next.
STRETCHES = 12
# Days below which a stretch tells no spread: one of them has stocks, but a series has one row.
FEWEST_DAYS: dict[Axis, int] = {"stocks": 1, "time": 4}
# What has no logarithm is taken for this.
TINY = float(np.finfo(np.float64).tiny)


@dataclass(frozen=True, slots=True, eq=False)
class Period:
    """Scores of one period, days in order.

    Args:
        score: Or the probability of the class. Shape (rows, horizons).
        day: Ascending. Shape (rows,).
        label: 0 or 1, NaN where not known; None without classes. Shape (rows, horizons).
        focus: See `Scored`. Shape (rows,), None where it was not looked at.
        floor: Standard deviation that rounding may give the scores; that of float32 if
            None. Shape (horizons,).
    """

    score: Floats
    day: Ints
    label: Floats | None = None
    focus: Floats | None = None
    floor: Floats | None = None

    @property
    def days(self) -> int:
        """Number of days."""
        return int(np.unique(self.day).size)

    def stretch(self, count: int) -> Ints:
        """Which of *count* stretches of nearly as many days each row lies in. Shape (rows,)."""
        place = np.unique(self.day, return_inverse=True)[1]
        return place * count // (int(place[-1]) + 1)


def stretches(train: Period, later: Period, *, least: int = 1) -> tuple[int, int] | None:
    """Stretches of about as many days in both periods; None where there are too few days."""
    if train.days < STRETCHES * least or later.days < least:
        return None
    # Not longer than the later period; more of them fix the bound better.
    share = share_of(train, later)
    count = max(STRETCHES, min(train.days // least, int(1 / share)))
    return count, max(1, round(count * share))


def share_of(train: Period, later: Period) -> float:
    """How long the later period is beside the train period: in days, or from first to last.

    The smaller of the two: where days were drawn from the train period, its stretches are
    longer than their days can tell, and what moves slowly moves more on them.
    """
    span = float(np.ptp(later.day) + 1) / float(np.ptp(train.day) + 1)
    return min(later.days / train.days, span)


def usual_of(stretches: Floats, chance: float) -> tuple[Floats, Floats]:
    """What a stretch of the train period has, and what one more has less than by *chance*.

    At most half of the former: models fit what they have seen closer than what is new, and
    a fall by less is no collapse however steady the train period is.
    """
    logs = np.log(np.maximum(stretches, TINY))
    low = np.exp(logs.mean(0) - reach(len(logs), chance) * logs.std(0, ddof=1))
    usual = geometric_mean(stretches)
    return usual, np.minimum(np.where(low <= TINY, 0.0, low), usual / 2)


def geometric_mean(stretches: Floats) -> Floats:
    """Of each column; 0 where one is. Shape (columns,)."""
    mean = np.exp(np.log(np.maximum(stretches, TINY)).mean(0))
    # The minimum is NaN where one of them is.
    return np.where(stretches.min(0) <= TINY, 0.0, mean)


def spreads(period: Period, count: int, axis: Axis) -> Floats:
    """Spread of the scores on each stretch. Shape (count, horizons)."""
    stretch = period.stretch(count)
    edges = np.searchsorted(stretch, np.arange(count + 1))
    return np.stack(
        [spread(period.score[a:b], period.day[a:b], axis=axis) for a, b in pairwise(edges.tolist())]
    )


def means(x: Floats, stretch: Ints) -> Floats:
    """Mean of what is known of each column on each stretch. Shape (stretches, columns)."""
    known = np.isfinite(x)
    rows = np.stack([np.bincount(stretch, weights=here) for here in known.T.astype(float)], 1)
    held = np.where(known, x, 0.0)
    total = np.stack([np.bincount(stretch, weights=column) for column in held.T], 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(total / rows)
