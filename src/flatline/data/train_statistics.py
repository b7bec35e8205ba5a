"""What normalisers measure on the train days, streamed over blocks of days.

Every function reads the rows of the given days only (the percent change also
the day before each), in blocks, so that nothing of the panel's size is held.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from flatline.data.panel import Panel
from flatline.data.ways import block_days, known_values, percent_change
from flatline.data.within_day import FLAT, day_moments

__all__ = [
    "change_moments",
    "day_level_moments",
    "extremes",
    "quantiles",
    "row_moments",
    "shared_within_days",
]

# Rows that a quantile is taken of; more add accuracy that no clip needs.
QUANTILE_ROWS = 1_000_000

Moments = tuple[NDArray[np.float64], NDArray[np.float64]]


def _blocks(panel: Panel, days: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    size = block_days(panel)
    return (days[start : start + size] for start in range(0, len(days), size))


def _values(panel: Panel, days: NDArray[np.int64]) -> Iterator[NDArray[np.float64]]:
    return (known_values(panel, block) for block in _blocks(panel, days))


def _changes(panel: Panel, days: NDArray[np.int64]) -> Iterator[NDArray[np.float64]]:
    for block in _blocks(panel, days[days > 0]):
        yield percent_change(known_values(panel, block - 1), known_values(panel, block))


def moments(blocks: Iterable[NDArray[np.float64]]) -> Moments:
    """Mean and population standard deviation per column, over all but the last axis.

    Blocks are merged by their counts, means and squared deviations; a spread
    that is only rounding comes out as exactly 0.

    Args:
        blocks: NaN where unknown. Each of shape (..., columns).

    References:
        Chan, Golub and LeVeque, Updating formulae for computing sample variances, 1979, eq. 2.1.
    """
    count, mean, squares = np.float64(0.0), np.float64(0.0), np.float64(0.0)
    for block in blocks:
        x = block.reshape(-1, block.shape[-1])
        known = np.isfinite(x)
        new = np.count_nonzero(known, axis=0)
        new_mean = np.where(known, x, 0.0).sum(axis=0) / np.maximum(new, 1)
        new_squares = np.square(np.where(known, x - new_mean, 0.0)).sum(axis=0)
        total = np.maximum(count + new, 1)
        apart = new_mean - mean
        mean = mean + apart * new / total
        squares = squares + new_squares + np.square(apart) * count * new / total
        count = count + new
    spread = np.sqrt(squares / np.maximum(count, 1))
    size = np.sqrt(np.square(spread) + np.square(mean))
    return np.asarray(mean), np.where(spread > FLAT * size, spread, 0.0)


def row_moments(panel: Panel, days: NDArray[np.int64]) -> Moments:
    """Mean and standard deviation of each column over all known rows: (features,) each."""
    return moments(_values(panel, days))


def change_moments(panel: Panel, days: NDArray[np.int64]) -> Moments:
    """Mean and standard deviation of each column's percent change: (features,) each."""
    if not (days > 0).any():
        return np.zeros(len(panel.feature_names)), np.zeros(len(panel.feature_names))
    return moments(_changes(panel, days))


def day_level_moments(panel: Panel, days: NDArray[np.int64]) -> Moments:
    """Mean and standard deviation over days of each day's mean: (features,) each."""

    def day_means() -> Iterator[NDArray[np.float64]]:
        for x in _values(panel, days):
            count, mean, _ = day_moments(x)
            yield np.where(count > 0, mean, np.nan)

    return moments(day_means())


def shared_within_days(panel: Panel, days: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Columns equal across stocks on every day that has two known: (features,) bool."""
    equal = np.ones(len(panel.feature_names), dtype=np.bool_)
    judged = np.zeros(len(panel.feature_names), dtype=np.bool_)
    for x in _values(panel, days):
        count, _, spread = day_moments(x)
        judged |= (count > 1).any(axis=0)
        equal &= ~((count > 1) & (spread > 0.0)).any(axis=0)
    return equal & judged


def extremes(panel: Panel, days: NDArray[np.int64]) -> Moments:
    """Least and greatest known value of each column; NaN where none is: (features,) each."""
    low = np.full(len(panel.feature_names), np.nan)
    high = low.copy()
    for x in _values(panel, days):
        # fmin and fmax pass over the unknown.
        low = np.fmin(low, np.fmin.reduce(x, axis=(0, 1)))
        high = np.fmax(high, np.fmax.reduce(x, axis=(0, 1)))
    return low, high


def quantiles(panel: Panel, days: NDArray[np.int64], share: float) -> Moments:
    """The *share* and 1 - *share* quantiles of each column; 0 where nothing is known.

    Exact up to a million rows, beyond that over evenly spaced train days.

    Returns:
        Lower and upper quantile, (features,) each.
    """
    stride = max(1, len(days) * len(panel.codes) // QUANTILE_ROWS)
    picked = days[::stride]
    columns = range(len(panel.feature_names))
    present = panel.present[picked]
    # One column at a time keeps the copy to a small share of the panel.
    found = np.zeros((2, len(columns)))
    for column in columns:
        x = panel.features[picked, :, column][present]
        x = x[np.isfinite(x)]
        if x.size:
            found[:, column] = np.quantile(x.astype(np.float64), (share, 1.0 - share))
    return found[0], found[1]
