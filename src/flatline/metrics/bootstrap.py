"""Confidence intervals for means over days, by resampling blocks of days.

Days are not independent: labels of overlapping horizons share returns, and skill
comes in spells. Whole blocks of days are drawn, so that what is within a block
keeps its dependence, and the interval is widened for how few blocks there are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr, stdtrit

from flatline.errors import SettingsError, ShapeError
from flatline.metrics.blocks import Bools, Floats, Ints

__all__ = [
    "BlockKind",
    "Interval",
    "block_length",
    "bootstrap_mean",
    "draw_blocks",
    "expanded_tail",
    "paired_difference",
]

BlockKind = Literal["circular", "stationary"]


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean over days and its confidence interval.

    Args:
        mean: Over the defined days; None where there is none.
        low: Lower end; None where there are too few days to tell.
        high: Upper end; None where there are too few days to tell.
        level: Nominal coverage.
        days: Defined days.
        block: Length of a block, in days.
    """

    mean: float | None
    low: float | None
    high: float | None
    level: float
    days: int
    block: int

    @property
    def excludes_zero(self) -> bool:
        """True where the interval is known and lies on one side of zero."""
        return self.low is not None and self.high is not None and self.low * self.high > 0


def block_length(per_day: ArrayLike, *, horizon: int = 1) -> int:
    """Length of the blocks for a series of daily values, in days.

    The length that minimises the error of the bootstrapped variance for the series'
    own autocorrelation, at least the horizon (labels share returns up to horizon - 1
    days apart), at most a quarter of the days.

    Args:
        per_day: Daily values in order, NaN where undefined. Shape (days,).
        horizon: Horizon of the target, in trading days.

    References:
        Politis and White, Automatic block-length selection for the dependent bootstrap,
        2004; corrected by Patton, Politis and White, 2009 (circular blocks).

    Example:
        >>> block_length(np.random.default_rng(0).standard_normal(250), horizon=5)
        5
    """
    x = np.asarray(per_day, dtype=np.float64)
    days = x.size
    longest = max(1, days // 4)
    correlation = _autocorrelation(x)
    if correlation.size == 0:
        return min(max(1, horizon), longest)
    # The first lag after which K correlations in a row are indistinguishable from zero.
    in_a_row = max(5, int(np.ceil(np.sqrt(np.log10(days)))))
    small = np.abs(correlation[1:]) < 2 * np.sqrt(np.log10(days) / days)
    runs = np.convolve(small, np.ones(in_a_row), mode="valid") == in_a_row
    last = int(np.argmax(runs)) if runs.any() else int(np.flatnonzero(~small)[-1]) + 1
    reach = min(2 * max(last, 1), correlation.size - 1)
    lags = np.arange(1, reach + 1)
    flat_top = np.minimum(1.0, 2.0 * (1.0 - lags / reach)) * correlation[1 : reach + 1]
    slope = 2 * (flat_top * lags).sum()
    spectrum = 1 + 2 * flat_top.sum()
    best = (1.5 * slope**2 / max(spectrum**2, 1e-12)) ** (1 / 3) * days ** (1 / 3)
    return int(min(max(np.ceil(best), horizon, 1), longest))


def _autocorrelation(x: Floats) -> Floats:
    """Autocorrelations from lag 0 on, undefined days left out; empty if there are none."""
    known = np.isfinite(x)
    days = x.size
    if known.sum() < 8:
        return np.empty(0)
    away = np.where(known, x - x[known].mean(), 0.0)
    lags = min(int(np.ceil(np.sqrt(days))) + 10, days - 1)
    size = 2 ** int(np.ceil(np.log2(2 * days)))
    products = np.fft.irfft(np.abs(np.fft.rfft(away, size)) ** 2, size)[: lags + 1]
    return products / products[0] if products[0] > 0 else np.empty(0)


def bootstrap_mean(
    per_day: ArrayLike,
    *,
    horizon: int = 1,
    block: int | None = None,
    kind: BlockKind = "circular",
    level: float = 0.95,
    draws: int = 2000,
    seed: int = 0,
) -> Interval:
    """Mean of daily values with a confidence interval.

    The interval is the percentile interval of the resampled means, its percentiles
    moved outward as Student's t with one degree of freedom less than there are blocks
    lies outside the normal: without it a bootstrap of few blocks is too sure of itself.

    Args:
        per_day: Daily values in the order of the days, NaN where undefined; undefined
            days keep their place and do not count. Shape (days,).
        horizon: Horizon of the target, in trading days: the least block.
        block: Length of a block, in days; by `block_length` if None.
        kind: "circular" draws blocks of one length, "stationary" of random lengths with
            that mean; both wrap around the end.
        level: Nominal coverage.
        draws: Resampled means.
        seed: Seed of the draws.

    Raises:
        ShapeError: *per_day* is not a vector.
        SettingsError: An option is out of range.

    References:
        Politis and Romano, A circular block-resampling procedure, 1992; The stationary
        bootstrap, 1994. Hesterberg, What teachers should know about the bootstrap, 2015,
        section 5.2 (expanded percentiles).

    Example:
        >>> ic = 0.03 + 0.1 * np.random.default_rng(0).standard_normal(500)
        >>> bootstrap_mean(ic).excludes_zero
        True
    """
    x = _checked(per_day, level, draws, block)
    known = np.isfinite(x)
    days = int(known.sum())
    length = min(block or block_length(x, horizon=horizon), max(1, x.size))
    mean = float(x[known].mean()) if days else None
    blocks = days / length
    if mean is None or blocks < 2:
        return Interval(mean, None, None, level, days, length)
    starts, taken = draw_blocks(
        x.size, length, kind=kind, draws=draws, rng=np.random.default_rng(seed)
    )
    means = _resampled_means(x, known, starts, taken)
    tail = expanded_tail(level, blocks)
    low, high = np.quantile(means, [tail, 1 - tail])
    return Interval(mean, float(low), float(high), level, days, length)


def paired_difference(
    a: ArrayLike,
    b: ArrayLike,
    *,
    horizon: int = 1,
    block: int | None = None,
    kind: BlockKind = "circular",
    level: float = 0.95,
    draws: int = 2000,
    seed: int = 0,
) -> Interval:
    """Mean of a - b over the days both are defined on; see `bootstrap_mean`.

    Two models met the same days, so their difference is far steadier than either.

    Args:
        a: Daily values of one model. Shape (days,).
        b: Daily values of the other, same days. Shape (days,).
        horizon: Horizon of the target, in trading days.
        block: Length of a block, in days.
        kind: Kind of blocks.
        level: Nominal coverage.
        draws: Resampled means.
        seed: Seed of the draws.

    Raises:
        ShapeError: The two do not have the same days.

    Example:
        >>> market = np.random.default_rng(0).standard_normal(100)
        >>> paired_difference(market + 0.01, market, draws=100).mean
        0.01
    """
    first, second = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if first.shape != second.shape:
        raise ShapeError(
            f"b has shape {second.shape}, expected {first.shape}: one value for each day of a. "
            "Evaluate both models on the same days."
        )
    return bootstrap_mean(
        first - second,
        horizon=horizon,
        block=block,
        kind=kind,
        level=level,
        draws=draws,
        seed=seed,
    )


def _checked(per_day: ArrayLike, level: float, draws: int, block: int | None) -> Floats:
    x = np.asarray(per_day, dtype=np.float64)
    if x.ndim != 1:
        raise ShapeError(
            f"per_day has shape {x.shape}, expected one value per day. Give one horizon at a time."
        )
    if not 0 < level < 1 or draws < 1 or (block is not None and block < 1):
        raise SettingsError(
            f"level is {level}, draws is {draws} and block is {block}, expected a number between "
            "0 and 1, at least 1 and at least 1. Leave block out to have it chosen."
        )
    return x


def expanded_tail(level: float, blocks: float) -> float:
    """Probability beyond each end of a percentile interval, moved outward for few blocks."""
    return float(ndtr(np.sqrt(blocks / (blocks - 1)) * stdtrit(blocks - 1, (1 - level) / 2)))


def draw_blocks(
    days: int, length: int, *, kind: BlockKind, draws: int, rng: np.random.Generator
) -> tuple[Ints, Ints]:
    """Blocks of days that make up resampled series as long as the first.

    Args:
        days: Days of the series.
        length: Length of a block, or mean length if stationary.
        kind: Kind of blocks.
        draws: Resampled series.
        rng: Where they are drawn from.

    Returns:
        First day of each block, and how many days of it are taken, 0 where the series is
        full; a block runs on past the last day with the first. Shape (draws, blocks) each.
    """
    if kind == "circular":
        count = -(-days // length)
        lengths: Ints = np.full((draws, count), length)
    else:
        # Enough blocks that their lengths add up to the days but for one draw in millions.
        count = int(np.ceil(days / length + 6 * np.sqrt(days / length) + 12))
        lengths = rng.geometric(1 / length, size=(draws, count))
    ends = np.minimum(np.cumsum(lengths, axis=1), days)
    return rng.integers(days, size=(draws, count)), np.diff(ends, axis=1, prepend=0)


def _resampled_means(x: Floats, known: Bools, starts: Ints, taken: Ints) -> Floats:
    """Means of resampled series, by sums of blocks: no resampled series is ever built."""
    twice = np.tile(np.where(known, x, 0.0), 2)
    sums = np.r_[0.0, np.cumsum(twice)]
    counts = np.r_[0, np.cumsum(np.tile(known, 2))]
    total = (sums[starts + taken] - sums[starts]).sum(1)
    drawn = (counts[starts + taken] - counts[starts]).sum(1)
    return np.asarray((total / np.maximum(drawn, 1))[drawn > 0])
