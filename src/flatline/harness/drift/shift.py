"""How far the mean of later days lies from that of train days, and how far chance takes it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from flatline.metrics.bootstrap import block_length

__all__ = ["Shift", "mean_shift"]

Floats = NDArray[np.float64]

# Blocks that a series is cut into at least: fewer of them leave its error to luck.
FEWEST_BLOCKS = 12
# A stretch of the train days is as long as the later days, but at most this share of them.
LONGEST_STRETCH = 0.25


@dataclass(frozen=True, slots=True)
class Shift:
    """A difference of means over days, and what chance makes of it.

    Args:
        value: Later mean less train mean; NaN where a side has no day.
        error: Standard deviation of *value* if nothing changed; NaN where there are too few
            days to tell.
        free: Degrees of freedom that the error was taken from.
        widest: Largest distance of a stretch of train days, as long as the later ones, from
            the rest of them.
    """

    value: float
    error: float
    free: float
    widest: float

    def bound(self, chance: float) -> float:
        """What a series in which nothing changed exceeds with probability *chance* at most.

        Both must be exceeded: the quantile of Student's t, and every stretch of the train
        days, so that a series which wanders as far by itself is not blamed for it.
        """
        if self.free < 1 or math.isnan(self.error):
            return math.inf
        return max(float(stats.t.ppf(1 - chance / 2, self.free)) * self.error, self.widest)


def mean_shift(
    train: ArrayLike,
    later: ArrayLike,
    *,
    train_day: ArrayLike | None = None,
    later_day: ArrayLike | None = None,
) -> Shift:
    """The mean over the later days less that over the train days, beside its error.

    Days depend on their neighbours. The train days are cut into blocks twice as long as the
    series' autocorrelation asks for; the spread of block means, and what neighbouring ones
    still have in common, gives the variance of a mean over any number of days. A block as
    long as the later days, moved over the train days, is the second null: how far one stretch
    of them lies from the rest (block permutation without its wrap-around).

    Args:
        train: One value a day, in the order of the days, NaN where unknown. Shape (days,).
        later: The same of the later days. Shape (later days,).
        train_day: When each train day was, where not all of them are given. Shape (days,).
        later_day: The same of the later days, in the same count. Shape (later days,).

    References:
        Law and Carson, A sequential procedure for determining the length of a steady-state
        simulation, 1979 (batch means). Politis and White, Automatic block-length selection
        for the dependent bootstrap, 2004.

    Example:
        >>> draw = np.random.default_rng(0)
        >>> found = mean_shift(draw.standard_normal(500), 1 + draw.standard_normal(100))
        >>> round(found.value, 1), found.value > found.bound(1e-5)
        (1.0, True)
    """
    before, when = _known(train, train_day)
    after, then = _known(later, later_day)
    value = float(after.mean() - before.mean()) if before.size and after.size else math.nan
    if before.size < 2 * FEWEST_BLOCKS or not after.size:
        return Shift(value, math.nan, 0, math.nan)
    length = min(2 * block_length(before), before.size // FEWEST_BLOCKS)
    count = before.size // length
    edges = np.linspace(0, before.size, count + 1).astype(np.int64)
    blocks = np.add.reduceat(before, edges[:-1]) / np.diff(edges)
    long_run = float(blocks.var(ddof=1)) * before.size / count * _joined(blocks)
    # Later days that follow each other faster than the train days tell less each.
    pace = float(np.ptp(when)) / (before.size - 1)
    told = min(after.size, max(1.0, (float(np.ptp(then)) + 1) / max(pace, 1e-12)))
    error = math.sqrt(long_run * (1 / before.size + 1 / told))
    return Shift(value, error, count - 1, _widest(before, round(told)))


def _known(values: ArrayLike, day: ArrayLike | None) -> tuple[Floats, Floats]:
    series = np.asarray(values, dtype=np.float64)
    when = np.arange(series.size) if day is None else np.asarray(day)
    known = np.isfinite(series)
    return series[known], when[known].astype(np.float64)


def _joined(blocks: Floats) -> float:
    """What neighbouring blocks add to the variance of a mean: 1 where they share nothing."""
    away = blocks - blocks.mean()
    squares = float((away**2).sum())
    if squares == 0:
        return 1.0
    return 1 + 2 * max(0.0, float((away[1:] * away[:-1]).sum()) / squares)


def _widest(series: Floats, length: int) -> float:
    """Largest distance of *length* days in a row from the mean of the others."""
    length = min(length, max(1, int(series.size * LONGEST_STRETCH)))
    total = np.concatenate([[0.0], np.cumsum(series)])
    inside = (total[length:] - total[:-length]) / length
    outside = (total[-1] - inside * length) / (series.size - length)
    return float(np.abs(inside - outside).max())
