"""Standardising across the stocks of each day.

Blocks are (days, stocks, columns). What is undefined comes out as NaN, never
as 0: a day with one known stock, or on which all known stocks are equal, has
no spread to measure anybody by.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["FLAT", "day_moments", "day_rank", "day_zscore"]

# Equal up to the rounding of float32: a spread below this share of the values' size.
FLAT = 1e-6


def day_moments(
    x: NDArray[np.floating],
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Known stocks, mean and spread of each day and column.

    Args:
        x: NaN where unknown. Shape (days, stocks, columns).

    Returns:
        Count, mean and population standard deviation, each (days, columns).
        Mean and spread are 0 where nothing is known; the spread is exactly 0
        where the known values are equal up to rounding.
    """
    known = np.isfinite(x)
    count = np.count_nonzero(known, axis=1)
    filled = np.where(known, x, 0.0).astype(np.float64, copy=False)
    divisor = np.maximum(count, 1)
    mean = filled.sum(axis=1) / divisor
    centred = np.where(known, filled - mean[:, None], 0.0)
    spread = np.sqrt(np.square(centred).sum(axis=1) / divisor)
    size = np.sqrt(np.square(filled).sum(axis=1) / divisor)
    spread[spread <= FLAT * size] = 0.0
    return count, mean, spread


def day_zscore(x: NDArray[np.floating]) -> NDArray[np.float64]:
    """Distance from the day's mean, in units of the day's standard deviation.

    Args:
        x: NaN where unknown. Shape (days, stocks, columns).

    Returns:
        NaN where unknown, and on days whose known values are fewer than two or all equal.

    Example:
        >>> day_zscore(np.array([[[1.0], [3.0], [np.nan]]])).ravel()
        array([-1.,  1., nan])
    """
    _, mean, spread = day_moments(x)
    # NaN as divisor marks the days without spread as undefined.
    unit = np.where(spread > 0.0, spread, np.nan)
    known = np.where(np.isfinite(x), x, np.nan)
    return (known - mean[:, None]) / unit[:, None]


def day_rank(x: NDArray[np.floating]) -> NDArray[np.float64]:
    """Average rank within the day, spread evenly between -1 and 1.

    Of n known values the smallest gets -1 + 1/n, the middle one 0, the largest
    1 - 1/n; equal values share their average.

    Args:
        x: NaN where unknown. Shape (days, stocks, columns).

    Returns:
        NaN where unknown, and on days whose known values are fewer than two or all equal.

    Example:
        >>> day_rank(np.array([[[10.0], [30.0], [20.0], [10.0]]])).ravel()
        array([-0.5 ,  0.75,  0.25, -0.5 ])
    """
    known = np.isfinite(x)
    # Unknown values sort behind every known one and so leave its rank alone;
    # infinity, because a NaN would take the sort off its fast path.
    filled = np.where(known, x, np.inf).swapaxes(1, 2)
    twice_rank = _twice_average_rank(np.ascontiguousarray(filled)).swapaxes(1, 2)
    count, _, spread = day_moments(x)
    divisor = np.where((count > 1) & (spread > 0.0), count, np.nan)
    return np.where(known, (twice_rank - count[:, None] - 1) / divisor[:, None], np.nan)


def _twice_average_rank(x: NDArray[np.floating]) -> NDArray[np.int32]:
    """Twice the rank along the last axis, from 1 on, equal values sharing their average."""
    order = np.argsort(x, axis=-1)
    ordered = np.take_along_axis(x, order, axis=-1)
    place = np.arange(x.shape[-1], dtype=np.int32)
    differs = ordered[..., 1:] != ordered[..., :-1]
    # First and last place of the run of equal values that each place lies in.
    first = np.zeros(x.shape, dtype=np.int32)
    first[..., 1:] = np.where(differs, place[1:], 0)
    first = np.maximum.accumulate(first, axis=-1)
    last = np.full(x.shape, x.shape[-1] - 1, dtype=np.int32)
    last[..., :-1] = np.where(differs, place[:-1], x.shape[-1] - 1)
    last = np.minimum.accumulate(last[..., ::-1], axis=-1)[..., ::-1]
    ranks = np.empty(x.shape, dtype=np.int32)
    np.put_along_axis(ranks, order, first + last + 2, axis=-1)
    return ranks
