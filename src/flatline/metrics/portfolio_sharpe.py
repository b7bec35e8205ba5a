"""Sharpe ratios with confidence intervals, by resampling blocks of days."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from flatline.errors import SettingsError, ShapeError
from flatline.metrics.blocks import Floats, Ints
from flatline.metrics.bootstrap import BlockKind, block_length, draw_blocks, expanded_tail
from flatline.metrics.pairs import ROUNDING

__all__ = ["SharpeInterval", "sharpe", "sharpe_difference", "sharpe_interval"]


@dataclass(frozen=True, slots=True)
class SharpeInterval:
    """An annual Sharpe ratio, or a difference of two, and its confidence interval.

    Args:
        value: None where undefined.
        low: Lower end; None where there are too few days to tell.
        high: Upper end; None where there are too few days to tell.
        level: Nominal coverage.
        days: Days of the series.
        block: Length of a block, in days.
    """

    value: float | None
    low: float | None
    high: float | None
    level: float
    days: int
    block: int

    @property
    def excludes_zero(self) -> bool:
        """True where the interval is known and lies on one side of zero."""
        return self.low is not None and self.high is not None and self.low * self.high > 0


def sharpe(per_day: ArrayLike, *, days_per_year: int = 252) -> float | None:
    """Mean over spread of daily returns, times the root of the days a year.

    Args:
        per_day: Returns, all known. Shape (days,).
        days_per_year: Trading days of a year.

    Returns:
        None where there are under two days, or no spread.

    References:
        Sharpe, The Sharpe ratio, 1994.

    Example:
        >>> round(sharpe([0.01, 0.03], days_per_year=50), 9)
        10.0
    """
    x = np.asarray(per_day, dtype=np.float64)
    if x.size < 2:
        return None
    spread = float(x.std(ddof=1))
    # Of a constant, rounding leaves a spread that would make any mean look certain.
    if spread <= ROUNDING * float(np.abs(x).max()):
        return None
    return float(x.mean() / spread * np.sqrt(days_per_year))


def sharpe_interval(
    per_day: ArrayLike,
    *,
    block: int | None = None,
    kind: BlockKind = "circular",
    level: float = 0.95,
    draws: int = 2000,
    seed: int = 0,
    days_per_year: int = 252,
) -> SharpeInterval:
    """Annual Sharpe ratio of daily returns with a confidence interval.

    Blocks of days are drawn and the ratio is taken of each resampled series; the
    percentiles are moved outward as in `bootstrap_mean`. The length of the blocks is that
    for the series of each day's influence on the ratio, so that spells in the size of
    returns lengthen them as spells in their sign do.

    Args:
        per_day: Returns, all known, in the order of the days. Shape (days,).
        block: Length of a block, in days; by `block_length` if None.
        kind: "circular" blocks of one length, or "stationary" ones of random lengths.
        level: Nominal coverage.
        draws: Resampled series.
        seed: Seed of the draws.
        days_per_year: Trading days of a year.

    Raises:
        ShapeError: *per_day* is no vector of finite numbers.
        SettingsError: An option is out of range.

    References:
        Ledoit and Wolf, Robust performance hypothesis testing with the Sharpe ratio, 2008.
        Politis and Romano, The stationary bootstrap, 1994.

    Example:
        >>> returns = 0.0005 + 0.01 * np.random.default_rng(0).standard_normal(1000)
        >>> found = sharpe_interval(returns)
        >>> found.low < found.value < found.high
        True
    """
    x = np.asarray(per_day, dtype=np.float64)
    return _interval([x], block, kind, level, draws, seed, days_per_year)


def sharpe_difference(
    a: ArrayLike,
    b: ArrayLike,
    *,
    block: int | None = None,
    kind: BlockKind = "circular",
    level: float = 0.95,
    draws: int = 2000,
    seed: int = 0,
    days_per_year: int = 252,
) -> SharpeInterval:
    """Sharpe ratio of one book less that of another over the same days; see `sharpe_interval`.

    Both are resampled with the same blocks, so that what moved both does not widen the
    interval.

    Args:
        a: Returns of one book. Shape (days,).
        b: Returns of the other, same days. Shape (days,).
        block: Length of a block, in days.
        kind: Kind of blocks.
        level: Nominal coverage.
        draws: Resampled series.
        seed: Seed of the draws.
        days_per_year: Trading days of a year.

    Raises:
        ShapeError: The two do not have the same days.

    Example:
        >>> market = 0.01 * np.random.default_rng(0).standard_normal(500)
        >>> sharpe_difference(market + 0.001, market).excludes_zero
        True
    """
    first, second = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if first.shape != second.shape:
        raise ShapeError(
            f"b has shape {second.shape}, expected {first.shape}: one return for each day of a. "
            "Keep both books over the same days."
        )
    return _interval([first, second], block, kind, level, draws, seed, days_per_year)


def _interval(  # noqa: PLR0917 - the options of both, passed on as they are
    series: list[Floats],
    block: int | None,
    kind: BlockKind,
    level: float,
    draws: int,
    seed: int,
    days_per_year: int,
) -> SharpeInterval:
    """The first series' ratio, less the second's if there is one."""
    _check(series[0], level, draws, block, days_per_year)
    days = series[0].size
    found = [sharpe(x, days_per_year=days_per_year) for x in series]
    ratios = np.array([ratio for ratio in found if ratio is not None])
    if len(ratios) < len(series):
        return SharpeInterval(None, None, None, level, days, 1)
    value = float(_first_less_second(ratios))
    influence = _first_less_second([_influence(x) for x in series])
    length = min(block or block_length(influence), days)
    if days / length < 2:
        return SharpeInterval(value, None, None, level, days, length)
    starts, taken = draw_blocks(
        days, length, kind=kind, draws=draws, rng=np.random.default_rng(seed)
    )
    year = np.sqrt(days_per_year)
    with np.errstate(invalid="ignore", divide="ignore"):
        drawn = _first_less_second([_resampled(x, starts, taken) * year for x in series])
    # A series drawn from one block of equal days alone has no ratio.
    drawn = drawn[np.isfinite(drawn)]
    tail = expanded_tail(level, days / length)
    low, high = np.quantile(drawn, [tail, 1 - tail])
    return SharpeInterval(value, float(low), float(high), level, days, length)


def _first_less_second(parts: Sequence[Floats] | Floats) -> Floats:
    return np.asarray(parts[0] if len(parts) == 1 else parts[0] - parts[1])


def _influence(x: Floats) -> Floats:
    """What each day adds to the daily ratio, to first order."""
    z = (x - x.mean()) / x.std()
    return np.asarray(z - x.mean() / x.std() / 2 * (z**2 - 1))


def _resampled(x: Floats, starts: Ints, taken: Ints) -> Floats:
    """Daily ratio of each resampled series, by sums of blocks."""
    # Less the mean: squares of returns around a far level would lose the spread.
    level = x.mean()
    total, square = (
        np.add.reduce(sums[starts + taken] - sums[starts], axis=1)
        for sums in (np.r_[0.0, np.cumsum(np.tile((x - level) ** power, 2))] for power in (1, 2))
    )
    away = total / x.size
    variance = (square / x.size - away**2) * x.size / (x.size - 1)
    return np.asarray((level + away) / np.sqrt(np.maximum(variance, 0.0)))


def _check(x: Floats, level: float, draws: int, block: int | None, days_per_year: int) -> None:
    if x.ndim != 1 or not np.isfinite(x).all():
        raise ShapeError(
            f"per_day has shape {x.shape} and {int((~np.isfinite(x)).sum())} unknown returns, "
            "expected one known return per day. Leave out the days before the book is open."
        )
    if not 0 < level < 1 or draws < 1 or (block is not None and block < 1) or days_per_year < 1:
        raise SettingsError(
            f"level is {level}, draws is {draws}, block is {block} and days_per_year is "
            f"{days_per_year}, expected a number between 0 and 1, and at least 1 for the others. "
            "Leave block out to have it chosen."
        )
