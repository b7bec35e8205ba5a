"""What features need to know about a day as a whole: market, sectors, index."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flatline.data.feature_windows import spread

__all__ = ["DayTables", "Level", "day_tables"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]

# The mean of one stock is that stock: nothing can be relative to it.
MIN_MEMBERS = 2


@dataclass(frozen=True, slots=True, eq=False)
class Level:
    """Daily returns of groups, and their product over any span of days.

    Args:
        returns: As a fraction, NaN on days without enough members. Shape (dates, groups).
        value: Product of 1 + returns so far, unknown days left out. Shape (dates, groups).
        unknown: Unknown days so far. Shape (dates, groups), int32.

    Example:
        >>> level = Level.of(np.array([[np.nan], [0.1], [0.1]]))
        >>> level.between(np.array([1, 0]), np.array([2, 2]), np.array([0, -1])).round(4)
        array([0.1, nan])
    """

    returns: Floats
    value: Floats
    unknown: Ints

    @classmethod
    def of(cls, returns: Floats) -> Level:
        """The level of daily *returns*. Shape (dates, groups)."""
        missing = np.isnan(returns)
        value: Floats = np.cumprod(np.where(missing, 1.0, 1.0 + returns), axis=0, dtype=np.float64)
        unknown: Ints = np.cumsum(missing, axis=0, dtype=np.int32)
        return cls(returns, value, unknown)

    def between(self, then: Ints, now: Ints, group: NDArray[np.integer] | int = 0) -> Floats:
        """Return from close of day *then* to close of day *now*.

        NaN where *group* is negative, or a day after *then* up to *now* is unknown.
        """
        if self.value.shape[1] == 0:
            return np.full(len(now), np.nan)
        grew = self.value[now, group] / self.value[then, group] - 1.0
        known = (self.unknown[now, group] == self.unknown[then, group]) & (np.asarray(group) >= 0)
        return np.where(known, grew, np.nan)

    def at(self, now: Ints, group: NDArray[np.integer] | int = 0) -> Floats:
        """Return of day *now*, NaN where *group* is negative or the day unknown."""
        return pick(self.returns, now, group)


def pick(table: Floats, now: Ints, group: NDArray[np.integer] | int = 0) -> Floats:
    """Entries of a (dates, groups) table, NaN where *group* is negative."""
    if table.shape[1] == 0:
        return np.full(len(now), np.nan)
    return np.where(np.asarray(group) >= 0, table[now, group], np.nan)


@dataclass(frozen=True, slots=True, eq=False)
class DayTables:
    """Market, sectors and index by day.

    Args:
        market: Equal-weight return of all stocks; one group.
        sectors: Equal-weight return of each sector; one group per sector.
        dispersion: Standard deviation of the returns in a sector. Shape (dates, sectors).
        index: Return of the index where its closes are known, else of the market; one group.
        index_volatility: Of the last 20 days of *index*. Shape (dates, 1).
    """

    market: Level
    sectors: Level
    dispersion: Floats
    index: Level
    index_volatility: Floats


def day_tables(
    date: Ints,
    sector: NDArray[np.int16],
    daily: Floats,
    *,
    dates: int,
    sectors: int,
    index_close: Floats | None = None,
) -> DayTables:
    """Sum up the returns of each day.

    Args:
        date: Position in the calendar of each row. Shape (rows,).
        sector: Position of the row's sector, -1 where unknown. Shape (rows,).
        daily: Return since the trading day before, NaN where unknown. Shape (rows,).
        dates: Number of trading days.
        sectors: Number of sectors.
        index_close: Close of the index, NaN where unknown. Shape (dates,).
    """
    known = np.isfinite(daily)
    day, returns = date[known].astype(np.int64), daily[known]
    market = Level.of(_moments(day, returns, dates)[0][:, None])

    grouped = sector[known] >= 0
    cell = day[grouped] * sectors + sector[known][grouped]
    mean, deviation = _moments(cell, returns[grouped], dates * sectors)

    index_return = market.returns[:, 0]
    if index_close is not None:
        own = np.full(dates, np.nan)
        own[1:] = index_close[1:] / index_close[:-1] - 1.0
        index_return = np.where(np.isnan(own), index_return, own)
    age = np.arange(dates, dtype=np.int32)
    return DayTables(
        market=market,
        sectors=Level.of(mean.reshape(dates, sectors)),
        dispersion=deviation.reshape(dates, sectors),
        index=Level.of(index_return[:, None]),
        index_volatility=spread(index_return, age, 20)[:, None],
    )


def _moments(cell: NDArray[np.int64], x: Floats, cells: int) -> tuple[Floats, Floats]:
    """Mean and standard deviation (n - 1) of each cell, NaN under two members."""
    count = np.bincount(cell, minlength=cells)
    enough = count >= MIN_MEMBERS
    names = np.where(enough, count, 1)
    mean = np.bincount(cell, x, cells) / names
    square = np.bincount(cell, (x - mean[cell]) ** 2, cells)
    deviation = np.sqrt(square / np.maximum(names - 1, 1))
    return np.where(enough, mean, np.nan), np.where(enough, deviation, np.nan)
