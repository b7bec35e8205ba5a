"""Null distributions that checks share: means over dependent days, and one more draw."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from flatline.metrics.bootstrap import block_length

__all__ = [
    "CHANCE", "DEAD_PASSES", "FAMILY", "HALF_THE_DIGITS", "Estimate", "block_mean",
    "concordance", "reach", "shifted_mean",
]  # fmt: skip

Floats = NDArray[np.float64]

# The gate as a whole may fail a healthy subject once in 1,000 runs; so that up to 100 checks
# may each take their share, whatever they have to do with each other.
FAMILY = 1e-3
CHANCE = FAMILY / 100
# Of float32: what agrees to so many digits differs by rounding and the order of sums alone.
HALF_THE_DIGITS = float(np.finfo(np.float32).eps ** 0.5)
# How often a check of what was learned takes a model that learned nothing for a healthy one: a
# lesser bound asks less of the healthy.
DEAD_PASSES = 1e-3


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number, and how far from 0 chance takes it where its true value is 0.

    Args:
        value: NaN where it is undefined.
        error: Standard deviation under the null; NaN where there are too few days to tell.
        free: Degrees of freedom that the error was taken from.
    """

    value: float
    error: float
    free: float

    def bound(self, chance: float) -> float:
        """What chance exceeds with probability *chance*."""
        if self.free < 1 or math.isnan(self.error):
            return math.inf
        return float(stats.t.ppf(1 - chance, self.free) * self.error)

    def miss(self, chance: float) -> float | None:
        """How often one whose true value is the one measured would stay under the bound."""
        if self.free < 1 or not self.error > 0:
            return None
        bound = stats.t.ppf(1 - chance, self.free)
        return float(stats.norm.cdf(bound - self.value / self.error))


def block_mean(per_day: ArrayLike) -> Estimate:
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
        >>> found.value > found.bound(0.001)
        True
    """
    values = np.asarray(per_day, dtype=np.float64)
    known = values[np.isfinite(values)]
    if known.size == 0:
        return Estimate(math.nan, math.nan, 0)
    mean = float(known.mean())
    blocks = known.size // block_length(known)
    if blocks < 2:
        return Estimate(mean, math.nan, 0)
    edges = np.linspace(0, known.size, blocks + 1).astype(np.int64)
    means = np.add.reduceat(known, edges[:-1]) / np.diff(edges)
    return Estimate(mean, float(means.std(ddof=1) / np.sqrt(blocks)), blocks - 1)


def shifted_mean(x: ArrayLike, y: ArrayLike) -> Estimate:
    """The mean product of two series in time, against the same with one shifted around.

    A shift keeps each series as it is, spells and all, and takes away what they have to
    do with each other: over all shifts, the products are those of two unrelated series.

    Args:
        x: Of mean 0. Shape (days,).
        y: Of mean 0. Shape (days,).

    References:
        Theiler and Prichard, Constrained-realization Monte-Carlo method for hypothesis
        testing, 1996, section 4 (what a null keeps).

    Example:
        >>> wave = np.sin(np.arange(400) / 50 * 2 * np.pi)
        >>> found = shifted_mean(wave, wave)
        >>> round(found.value, 2), round(found.error, 2)
        (0.5, 0.35)
    """
    a, b = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if a.size < 2 or not (np.isfinite(a).all() and np.isfinite(b).all()):
        return Estimate(math.nan, math.nan, 0)
    products = np.fft.irfft(np.fft.rfft(a) * np.conj(np.fft.rfft(b)), a.size) / a.size
    return Estimate(float((a * b).mean()), float(products.std()), math.inf)


def concordance(x: ArrayLike, y: ArrayLike) -> Floats:
    """How near two series are to being equal: 1 if they are, 0 if they have nothing in common.

    The correlation, less what they differ in level and spread.

    Args:
        x: Shape (days, columns).
        y: Shape (days, columns).

    Returns:
        Shape (columns,).

    References:
        Lin, A concordance correlation coefficient to evaluate reproducibility, 1989,
        equation 1.

    Example:
        >>> day = np.arange(5.0)[:, None]
        >>> concordance(day, day), concordance(day, day + 2).round(2), concordance(day, -day)
        (array([1.]), array([0.5]), array([-0.2]))
    """
    a, b = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    together = ((a - a.mean(0)) * (b - b.mean(0))).mean(0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(2 * together / (a.var(0) + b.var(0) + (a.mean(0) - b.mean(0)) ** 2))


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
