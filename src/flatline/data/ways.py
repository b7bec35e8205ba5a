"""The ways a feature column can be rescaled, on blocks of days.

Blocks are walked from the newest to the oldest day: a way that looks back
still finds the original values there, even when the panel's own memory is
being overwritten.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flatline.data.panel import Panel
from flatline.data.within_day import FLAT, day_rank, day_zscore

__all__ = ["MEASURED", "apply_ways", "block_days", "known_values", "percent_change", "rolling"]

# Ways that use the centre and scale of the train days.
MEASURED = ("zscore", "squash", "percent_change")
# Values of a block: few enough to stay near the processor while a way works on them.
BLOCK_VALUES = 500_000
# Windows in a block of a rolling way; each block reads one more as its history.
BLOCK_WINDOWS = 4

Columns = NDArray[np.int64] | slice
EVERYTHING = slice(None)


def block_days(panel: Panel) -> int:
    """Days to work on at once where all stocks are needed."""
    return max(1, BLOCK_VALUES // max(1, len(panel.codes) * len(panel.feature_names)))


def known_values(
    panel: Panel,
    days: NDArray[np.int64] | slice,
    *,
    stocks: slice = EVERYTHING,
    columns: Columns = EVERYTHING,
) -> NDArray[np.float64]:
    """Features of those days, NaN where absent or not finite: (days, stocks, columns)."""
    x = panel.features[days][:, stocks, columns].astype(np.float64)
    x[~np.isfinite(x) | ~panel.present[days][:, stocks, None]] = np.nan
    return x


def _with_history(
    panel: Panel, days: slice, *, stocks: slice, columns: Columns, back: int
) -> NDArray[np.float64]:
    """`known_values` with *back* days more in front, NaN before the panel begins."""
    first = days.start - back
    x = known_values(panel, slice(max(first, 0), days.stop), stocks=stocks, columns=columns)
    missing = max(-first, 0)
    return np.concatenate([np.full((missing, *x.shape[1:]), np.nan), x]) if missing else x


def percent_change(before: NDArray[np.float64], now: NDArray[np.float64]) -> NDArray[np.float64]:
    """Change as a fraction of the value before; NaN where either is unknown, or that is 0."""
    return (now - before) / np.where(before == 0.0, np.nan, np.abs(before))


def rolling(x: NDArray[np.float64], window: int) -> NDArray[np.float64]:
    """Z-score of each value within the trailing *window* days of its series.

    Args:
        x: NaN where unknown; its first window - 1 days are history only.
            Shape (window - 1 + days, ...).
        window: Days of the window, the day itself included.

    Returns:
        NaN where unknown, where less than half the window is known, and where
        the window has no spread. Shape (days, ...).
    """
    known = np.isfinite(x)
    # Sums of squares cancel badly far from 0: measure from the series' own level.
    # Its first known value, because a mean over the block would hear of later days.
    base = np.nan_to_num(np.take_along_axis(x, known.argmax(axis=0)[None], axis=0))
    centred = np.where(known, x - base, 0.0)

    def windowed(values: NDArray[Any]) -> NDArray[Any]:
        sums = np.cumsum(values, axis=0)
        sums[window:] -= sums[:-window].copy()
        return sums[window - 1 :]

    count = windowed(known)
    divisor = np.maximum(count, 1)
    mean = windowed(centred) / divisor
    variance = windowed(np.square(centred)) / divisor - np.square(mean)
    flat = variance <= np.square(FLAT * (np.abs(base + mean) + np.abs(mean)))
    enough = (count >= np.ceil(window / 2)) & known[window - 1 :]
    spread = np.sqrt(np.where(enough & ~flat, variance, np.nan))
    z: NDArray[np.float64] = (centred[window - 1 :] - mean) / spread
    return z


def _blocks(panel: Panel, way: str, columns: int, window: int) -> Iterator[tuple[slice, slice]]:
    """Days and stocks of each block, the newest days first."""
    total = len(panel.dates)
    # The days do not depend on the panel's last one, nor then does any rounding.
    days, stocks = block_days(panel), len(panel.codes)
    if way == "rolling":
        days = BLOCK_WINDOWS * window
        stocks = max(1, BLOCK_VALUES // (days * columns))
    for start in reversed(range(0, total, days)):
        for first in range(0, len(panel.codes), stocks):
            yield slice(start, min(start + days, total)), slice(first, first + stocks)


def _rescaled(
    panel: Panel,
    way: str,
    days: slice,
    stocks: slice,
    columns: Columns,
    *,
    centre: NDArray[np.float64],
    unit: NDArray[np.float64],
    clip: float,
    window: int,
) -> NDArray[np.float64]:
    """One block of columns that share a way: (days, stocks, columns)."""
    back = {"percent_change": 1, "rolling": window - 1}.get(way, 0)
    x = _with_history(panel, days, stocks=stocks, columns=columns, back=back)
    if way == "percent_change":
        x = percent_change(x[:-1], x[1:])
    if way in MEASURED:
        limit = 1.0 if way == "squash" else clip
        return np.clip((x - centre) / unit, -limit, limit)
    if way == "rolling":
        return np.clip(rolling(x, window), -clip, clip)
    if way == "day_zscore":
        return np.clip(day_zscore(x), -clip, clip)
    return day_rank(x) if way == "day_rank" else x


def apply_ways(
    panel: Panel,
    target: NDArray[np.float32],
    *,
    ways: Sequence[str],
    centre: NDArray[np.float64],
    scale: NDArray[np.float64],
    clip: float,
    window: int,
) -> None:
    """Write the rescaled features into *target*, which may be the panel's own memory.

    Args:
        panel: Raw features.
        target: Filled. Shape (dates, stocks, features).
        ways: Way of each column.
        centre: Shape (features,).
        scale: Shape (features,); columns with 0 become 0.
        clip: Largest distance, in standard deviations.
        window: Days of a rolling window.
    """
    names = np.array(ways)
    # Dividing by infinity makes a column that never moved in training a plain 0.
    unit = np.where(scale > 0.0, scale, np.inf)
    for way in dict.fromkeys(ways):
        mine = np.flatnonzero(names == way)
        columns: Columns = EVERYTHING if mine.size == len(names) else mine
        for days, stocks in _blocks(panel, way, mine.size, window):
            target[days, stocks, columns] = _rescaled(
                panel,
                way,
                days,
                stocks,
                columns,
                centre=centre[columns],
                unit=unit[columns],
                clip=clip,
                window=window,
            )
