"""Targets: what happened from tomorrow's close on.

A decision taken after the close of day t is filled at the close of t + 1, so
the label of horizon h runs from close(t + 1) to close(t + 1 + h), in trading
days of the calendar. Labels are raw returns; `within_day` measures them
against the other stocks of their day.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from flatline.errors import SettingsError

__all__ = ["HORIZONS", "check_horizons", "forward_returns", "label_ends", "wealth"]

HORIZONS = (1, 5, 10, 20)

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]


def check_horizons(horizons: Sequence[int]) -> tuple[int, ...]:
    """The horizons as a tuple.

    Raises:
        SettingsError: They are not whole numbers of days from 1 on, each larger than the last.
    """
    chosen = tuple(horizons)
    whole = all(isinstance(h, int) and not isinstance(h, bool) and h >= 1 for h in chosen)
    if not chosen or not whole or any(b <= a for a, b in itertools.pairwise(chosen)):
        raise SettingsError(
            f"horizons is {chosen}, expected whole trading days from 1 on, ascending. "
            "Write them like (1, 5, 10, 20)."
        )
    return chosen


def wealth(date: Ints, stock: Ints, gross: Floats, shape: tuple[int, int]) -> Floats:
    """What one unit held since a stock's first row is worth at each close.

    Args:
        date: Position in the calendar of each row, ascending within a stock. Shape (rows,).
        stock: Position of the stock of each row. Shape (rows,).
        gross: Total return to the stock's row before, as a ratio, NaN on its first. Shape (rows,).
        shape: (dates, stocks).

    Returns:
        NaN where the stock has no row. Shape (dates, stocks).
    """
    level = np.ones(shape)
    level[date, stock] = np.where(np.isnan(gross), 1.0, gross)
    np.cumprod(level, axis=0, out=level)
    absent = np.ones(shape, bool)
    absent[date, stock] = False
    level[absent] = np.nan
    return level


def forward_returns(
    level: Floats, horizons: Sequence[int] = HORIZONS, *, out: NDArray[np.float32] | None = None
) -> NDArray[np.float32]:
    """Return from the close of day t + 1 to the close of day t + 1 + h, at row t.

    Args:
        level: Total return level at each close, NaN without a good close. Shape (dates, stocks).
        horizons: In trading days, ascending.
        out: Written to instead of a new array.

    Returns:
        As a fraction, NaN where one of the two closes is missing or lies beyond the last
        date. Shape (dates, stocks, horizons).

    Raises:
        SettingsError: The horizons are not ascending whole numbers from 1 on.

    Example:
        >>> level = np.array([[1.0], [2.0], [3.0], [6.0]])
        >>> forward_returns(level, (1, 2))[:, 0]
        array([[0.5, 2. ],
               [1. , nan],
               [nan, nan],
               [nan, nan]], dtype=float32)
    """
    chosen = check_horizons(horizons)
    days, stocks = level.shape
    found = np.empty((days, stocks, len(chosen)), np.float32) if out is None else out
    found[:] = np.nan
    for j, h in enumerate(chosen):
        if h + 1 < days:
            found[: -h - 1, :, j] = level[1 + h :] / level[1:-h] - 1.0
    return found


def label_ends(days: int, horizons: Sequence[int] = HORIZONS) -> NDArray[np.int64]:
    """Position of the day on which the label of day t ends: t + 1 + h.

    *days* or more where that lies beyond the last date. Shape (days, horizons).

    Example:
        >>> label_ends(2, (1, 5)).tolist()
        [[2, 6], [3, 7]]
    """
    return np.arange(days)[:, None] + 1 + np.asarray(check_horizons(horizons), np.int64)
