"""On which days a book is decided: every day, at the end of weeks or months, or in tranches."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from flatline.errors import SettingsError, ShapeError
from flatline.metrics.blocks import Ints

__all__ = ["REBALANCINGS", "Rebalancing", "decision_days"]

Rebalancing = Literal["tranches", "daily", "weekly", "monthly"]
REBALANCINGS: tuple[Rebalancing, ...] = get_args(Rebalancing)


def decision_days(
    dates: ArrayLike, *, rebalance: Rebalancing = "tranches", horizon: int = 1
) -> list[Ints]:
    """The days whose scores are traded, one array for each part of the capital.

    What is decided after the close of such a day is traded at the close of the next
    trading day. "daily", "weekly" and "monthly" trade the whole capital: the scores of
    every day, of the last trading day of each calendar week (Monday to Sunday), and of
    the last trading day of each calendar month, so that a weekly book changes hands at
    the close of the first trading day of the week. "tranches" splits the capital in
    *horizon* parts, of which one is traded each day and held for the horizon.

    Args:
        dates: Trading days, ascending; for weeks and months as datetime64. Shape (days,).
        rebalance: When to trade.
        horizon: Tranches, in trading days; read by "tranches" alone.

    Returns:
        Positions in *dates*, ascending, one array per part of the capital.

    Raises:
        ShapeError: The dates are no ascending vector of dates.
        SettingsError: An option is out of range.

    References:
        Jegadeesh and Titman, Returns to buying winners and selling losers, 1993
        (overlapping tranches).

    Example:
        >>> dates = np.arange("2024-01-29", "2024-02-04", dtype="datetime64[D]")
        >>> decision_days(dates, rebalance="monthly")
        [array([2, 5])]
        >>> decision_days(dates, horizon=2)
        [array([0, 2, 4]), array([1, 3, 5])]
    """
    days = np.asarray(dates)
    if rebalance not in REBALANCINGS or horizon < 1:
        raise SettingsError(
            f"rebalance is {rebalance!r} and horizon is {horizon}, expected one of "
            f"{list(REBALANCINGS)} and at least 1. Give 'tranches' to hold for the horizon."
        )
    if days.ndim != 1 or (np.diff(days.astype(np.int64)) <= 0).any():
        raise ShapeError(
            f"dates has shape {days.shape}, expected ascending days, each once. Sort them."
        )
    every = np.arange(days.size)
    if rebalance == "tranches":
        return [every[first::horizon] for first in range(horizon)]
    if rebalance == "daily":
        return [every]
    if days.dtype.kind != "M":
        raise ShapeError(
            f"dates are of type {days.dtype}, expected datetime64 for {rebalance} rebalancing. "
            "Give the dates of the days."
        )
    if rebalance == "weekly":
        # The first of January 1970, day 0, was a Thursday.
        period = (days.astype("datetime64[D]").astype(np.int64) + 3) // 7
    else:
        period = days.astype("datetime64[M]").astype(np.int64)
    return [np.flatnonzero(np.diff(period, append=period[-1:] + 1))]
