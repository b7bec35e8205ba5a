"""Null distributions that checks share: means over dependent days, and one more draw."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from flatline.metrics.bootstrap import block_length

__all__ = ["BlockMean", "block_mean", "reach"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class BlockMean:
    """A mean over days, and how well blocks of days fix it.

    Args:
        mean: Over the defined days; NaN where there is none.
        error: Standard error of the mean; NaN where there are too few days to tell.
        blocks: Blocks of consecutive days that were taken for independent.
    """

    mean: float
    error: float
    blocks: int

    def bound(self, chance: float) -> float:
        """What the mean exceeds with probability *chance* where its true value is 0."""
        if self.blocks < 2:
            return float("inf")
        return float(stats.t.ppf(1 - chance, self.blocks - 1) * self.error)

    def miss(self, chance: float) -> float | None:
        """How often a true value as large as the mean would stay under the bound."""
        if self.blocks < 2 or not self.error > 0:
            return None
        free = self.blocks - 1
        bound = stats.t.ppf(1 - chance, free)
        return float(stats.nct.cdf(bound, free, self.mean / self.error))


def block_mean(per_day: ArrayLike) -> BlockMean:
    """The mean of daily values whose neighbours depend on each other.

    Consecutive days are averaged to blocks, as long as the values' autocorrelation
    asks for; block means are taken for independent, so that under the null their
    mean over its standard error follows Student's t.

    Args:
        per_day: In the order of the days, NaN where undefined. Shape (days,).

    References:
        Law and Carson, A sequential procedure for determining the length of a
        steady-state simulation, 1979 (batch means).

    Example:
        >>> ic = 0.05 + 0.1 * np.random.default_rng(0).standard_normal(250)
        >>> found = block_mean(ic)
        >>> found.mean > found.bound(0.001)
        True
    """
    values = np.asarray(per_day, dtype=np.float64)
    known = values[np.isfinite(values)]
    if known.size == 0:
        return BlockMean(float("nan"), float("nan"), 0)
    mean = float(known.mean())
    blocks = known.size // block_length(known)
    if blocks < 2:
        return BlockMean(mean, float("nan"), blocks)
    edges = np.linspace(0, known.size, blocks + 1).astype(np.int64)
    means = np.add.reduceat(known, edges[:-1]) / np.diff(edges)
    return BlockMean(mean, float(means.std(ddof=1) / np.sqrt(blocks)), blocks)


def reach(count: int, chance: float, *, draws: float = 1.0) -> float:
    """How far above a sample's mean the mean of more draws lies, in its standard deviations.

    A new draw from a normal of which only a sample is known follows Student's t.

    Args:
        count: Size of the sample, two at least.
        chance: Probability that new draws of the same normal reach further.
        draws: New draws that are averaged.

    Example:
        >>> round(reach(24, 0.01), 2)
        2.55
    """
    quantile = float(stats.t.ppf(1 - chance, count - 1))
    return quantile * float(np.sqrt(1 / draws + 1 / count))
