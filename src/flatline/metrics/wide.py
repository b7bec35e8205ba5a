"""Rows of days and stocks laid out as a table."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from flatline.errors import ShapeError
from flatline.metrics.blocks import Floats, as_days

__all__ = ["to_wide"]


def to_wide(
    values: ArrayLike, day: ArrayLike, stock: ArrayLike
) -> tuple[Floats, NDArray[np.generic], NDArray[np.generic]]:
    """Rows as a table of days and stocks, NaN where there is no row.

    Args:
        values: Shape (rows,).
        day: Day of every row, integers or dates. Shape (rows,).
        stock: Stock of every row, any ids. Shape (rows,).

    Returns:
        The table (days, stocks), the day ids and the stock ids, both ascending.

    Raises:
        ShapeError: The arrays disagree, or a stock has two rows on one day.

    Example:
        >>> to_wide([0.1, 0.2, 0.3], [1, 1, 2], ["a", "b", "a"])[0]
        array([[0.1, 0.2],
               [0.3, nan]])
    """
    days, x, stocks = as_days(day), np.asarray(values, dtype=np.float64), np.asarray(stock)
    if x.shape != days.shape or stocks.shape != days.shape:
        raise ShapeError(
            f"values has shape {x.shape} and stock {stocks.shape}, expected {days.shape}: one per "
            "row of day. Take all three from the same frame."
        )
    day_ids, of_day = np.unique(days, return_inverse=True)
    stock_ids, of_stock = np.unique(stocks, return_inverse=True)
    wide = np.full((day_ids.size, stock_ids.size), np.nan)
    seen = np.bincount(of_day * stock_ids.size + of_stock)
    if seen.max() > 1:
        twice = int(seen.argmax())
        raise ShapeError(
            f"stock {stock_ids[twice % stock_ids.size]} has {seen.max()} rows on day "
            f"{day_ids[twice // stock_ids.size]}, expected one. Drop the duplicates."
        )
    wide[of_day, of_stock] = x
    return wide, day_ids, stock_ids
