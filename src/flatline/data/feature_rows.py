"""The rows of some stocks as flat columns, and what several features share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from flatline.data.feature_days import DayTables
from flatline.data.feature_windows import lag, pack, spread
from flatline.errors import DataError

__all__ = ["Feature", "Layout", "StockRows", "gross_returns", "lay_out"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]

# A dividend lifts adjusted over plain return by 1 / (1 - yield): a step beyond
# a yield of one half, or far below 1, is a defect of the adjustment.
SANE_STEP = (0.8, 2.0)


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """Where each row of a price frame belongs.

    Args:
        dates: Trading days, ascending. Shape (dates,), datetime64[D].
        codes: Stock codes, ascending. Shape (stocks,), str.
        offsets: First row of each stock, and one past the last row. Shape (stocks + 1,), int64.
        date: Position in *dates*. Shape (rows,), int32.
        stock: Position in *codes*. Shape (rows,), int32.
        age: Earlier rows of the same stock. Shape (rows,), int32.
    """

    dates: NDArray[np.datetime64]
    codes: NDArray[np.str_]
    offsets: NDArray[np.int64]
    date: Ints
    stock: Ints
    age: Ints


def lay_out(frame: pl.DataFrame, calendar: NDArray[np.datetime64]) -> Layout:
    """Find the place of every row of a frame sorted by code and date.

    Raises:
        DataError: The frame is empty or not sorted, a (code, date) comes twice,
            or a date is not in the calendar.
    """
    if frame.height == 0:
        raise DataError("prices have 0 rows, expected at least one good row. Read another file.")
    runs = frame["code"].rle().struct.unnest()
    codes = runs["value"].to_numpy().astype(np.str_)
    lengths = runs["len"].to_numpy().astype(np.int64)
    offsets = np.append(0, np.cumsum(lengths))
    stock = np.repeat(np.arange(len(codes), dtype=np.int32), lengths)
    age = (np.arange(frame.height) - offsets[stock]).astype(np.int32)

    dates = np.sort(np.asarray(calendar, "datetime64[D]"))
    day = dates.astype(np.int64)
    found = frame["date"].cast(pl.Int32).to_numpy().astype(np.int64)
    date = np.searchsorted(day, found).astype(np.int32)
    unknown = day[np.minimum(date, len(day) - 1)] != found
    if unknown.any():
        raise DataError(
            f"price date is {found[unknown][0].astype('datetime64[D]')}, expected a day of the "
            "calendar. Build prices and calendar from the same files."
        )
    ascending = bool((np.diff(date)[age[1:] > 0] > 0).all())
    if not ascending or bool((codes[1:] <= codes[:-1]).any()):
        raise DataError(
            "price rows are out of order or doubled, expected one row per code and date, sorted "
            "by code, then date. Make the prices with read_prices or prices_from_frame."
        )
    return Layout(dates, codes, offsets, date, stock, age)


def gross_returns(close: Floats, adj_close: Floats, age: Ints) -> Floats:
    """Close over the close of the stock's row before, dividends included.

    The adjusted closes are used where both are positive and the adjustment moved by
    what a dividend can explain, the plain closes elsewhere. Only the ratio of
    neighbours enters, so later dividends cannot change it.

    Returns:
        1.01 is a gain of one percent; NaN on a stock's first row. Shape (rows,).

    Example:
        >>> close, adjusted = np.array([100.0, 98.0, 99.0]), np.array([50.0, 50.0, 0.0])
        >>> gross_returns(close, adjusted, np.arange(3, dtype=np.int32)).round(4)
        array([   nan, 1.    , 1.0102])
    """
    with np.errstate(all="ignore"):
        plain = close / lag(close, age, 1)
        before = lag(adj_close, age, 1)
        adjusted = adj_close / before
        step = adjusted / plain
        sane = (adj_close > 0) & (before > 0) & (step >= SANE_STEP[0]) & (step <= SANE_STEP[1])
    return np.where(sane, adjusted, plain)


@dataclass(frozen=True, eq=False)
class StockRows:
    """All rows of some whole stocks, one flat column each.

    Args:
        date: Position in the calendar. Shape (rows,), int32.
        age: Earlier rows of the same stock. Shape (rows,), int32.
        sector: Position of the sector on that date, -1 where unknown. Shape (rows,), int16.
        open: In currency, adjusted for splits; so are *high*, *low* and *close*. Shape (rows,).
        volume: In shares. Shape (rows,).
        gross: Total return to the row before, as a ratio. Shape (rows,).
        tables: What is known per day.
    """

    date: Ints
    age: Ints
    sector: NDArray[np.int16]
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    gross: Floats
    tables: DayTables

    def lag(self, x: Floats, rows: int) -> Floats:
        """The value *rows* rows earlier in the same stock."""
        return lag(x, self.age, rows)

    def back(self, rows: int) -> Floats:
        """Total return over the last *rows* rows of the stock, as a fraction."""
        return self.level / self.lag(self.level, rows) - 1.0

    def then(self, rows: int) -> Ints:
        """Calendar position of the row *rows* rows earlier; the row's own where there is none."""
        index = np.arange(len(self.age)) - np.where(self.age < rows, 0, rows)
        return self.date[index]

    @cached_property
    def returns(self) -> Floats:
        """Total return to the row before, as a fraction."""
        return self.gross - 1.0

    @cached_property
    def level(self) -> Floats:
        """Total return index of each stock, 1 on its first row."""
        where = pack(self.age)
        steps = np.ones(where.shape)
        steps[where] = np.where(self.age == 0, 1.0, self.gross)
        level: Floats = np.cumprod(steps, axis=1, dtype=np.float64)[where]
        return level

    @cached_property
    def turnover(self) -> Floats:
        """Close times volume, in currency; NaN on rows without trade."""
        return np.where(self.volume > 0, self.close * self.volume, np.nan)

    @cached_property
    def volatility_20(self) -> Floats:
        """Standard deviation of the last 20 daily returns."""
        return spread(self.returns, self.age, 20)


@dataclass(frozen=True, slots=True)
class Feature:
    """A named column, and what it means.

    Args:
        name: Name of the column.
        history: Rows of its own that a stock needs before the feature is known.
        meaning: One line, with the unit.
        compute: From rows to a column of the same length, NaN where unknown.
    """

    name: str
    history: int
    meaning: str
    compute: Callable[[StockRows], Floats]
