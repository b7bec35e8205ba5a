"""Jumps in the price level that wait for confirmation, judged by the past only.

A price one hundredth of yesterday's may be a unit error that reverts, or a
bankruptcy. On the day itself nobody can tell. So a row whose level is further
than the limit from the last good one is held back until the new level has
lasted; a level that returns was an error.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Held", "hold_jumps"]


class Held(NamedTuple):
    """What was held back.

    Args:
        rows: True where a row waits for confirmation. Shape (rows,), bool.
        restart: Log step that joins a new life of a code to its earlier one, at the
            first good row of the new life, else 0. Shape (rows,), float64.
    """

    rows: NDArray[np.bool_]
    restart: NDArray[np.float64]


def hold_jumps(
    level: NDArray[np.float64],
    first: NDArray[np.bool_],
    day: NDArray[np.int64],
    *,
    limit: float = 0.5,
    confirm: int = 5,
    gap: int = 60,
) -> Held:
    """Hold back rows at an unconfirmed price level.

    A row within *limit* of the last good row of its code is good. Otherwise it is held, and
    so are the rows after it, until the level is back, or *confirm* rows in a row have stayed
    at the new level, each within *limit* of the one before: then the next row is good.
    Whether a row is held depends on rows before it only.

    Args:
        level: Log of the adjusted close, rows sorted by code and date. Shape (rows,).
        first: True at the first row of each code. Shape (rows,).
        day: Days since any epoch. Shape (rows,).
        limit: Largest move believed at once, as a log ratio.
        confirm: Rows that a new level must last.
        gap: Calendar days without a good row after which a new level is a new life of the code.

    Example:
        >>> price = np.array([10.0, 10.1, 0.1, 10.2, 10.3])
        >>> first = np.array([True, False, False, False, False])
        >>> hold_jumps(np.log(price), first, np.arange(5)).rows.tolist()
        [False, False, True, False, False]
    """
    rows = len(level)
    restart = np.zeros(rows)
    breaks = np.flatnonzero((np.abs(np.diff(level, prepend=level[:1])) > limit) & ~first)
    edge = np.zeros(rows + 1, dtype=np.int64)
    if len(breaks) == 0:
        return Held(np.zeros(rows, dtype=np.bool_), restart)
    code_end = np.append(np.flatnonzero(first)[1:], rows)
    code, ordinal = number_breaks(np.cumsum(first)[breaks] - 1)
    same_code = np.append(code[1:] == code[:-1], [False])
    end = np.where(same_code, np.append(breaks[1:], rows), code_end[np.cumsum(first)[breaks] - 1])
    # Up to the first break all rows of a code are good: its last one is where we start from.
    before = breaks[ordinal == 0] - 1
    anchor, anchor_day = level[before].copy(), day[before].copy()
    for turn in range(int(ordinal.max()) + 1):
        # One stretch between two breaks per turn, for all codes at once.
        here = np.flatnonzero(ordinal == turn)
        start, stop, who = breaks[here], end[here], code[here]
        look = start[:, None] + np.arange(confirm)
        near = np.abs(level[np.minimum(look, rows - 1)] - anchor[who, None]) <= limit
        near &= look < stop[:, None]
        wait = np.where(near.any(axis=1), near.argmax(axis=1), confirm)
        good_from = np.minimum(start + wait, stop)
        np.add.at(edge, start, 1)
        np.add.at(edge, good_from, -1)
        lives = good_from < stop
        fresh = lives & ~near.any(axis=1) & (day[start] - anchor_day[who] > gap)
        restart[good_from[fresh]] = anchor[who[fresh]] - level[good_from[fresh]]
        anchor[who[lives]], anchor_day[who[lives]] = level[stop[lives] - 1], day[stop[lives] - 1]
    return Held(np.cumsum(edge[:-1]) > 0, restart)


def number_breaks(code: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Codes with breaks numbered from 0, and each break's place within its code."""
    _, start, number = np.unique(code, return_index=True, return_inverse=True)
    return number, np.arange(len(code)) - start[number]
