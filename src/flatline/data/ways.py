"""The ways a feature column can be rescaled, on blocks of days.

Blocks are walked from the newest to the oldest day: a way that looks back
still finds the original values there, even when the panel's own memory is
being overwritten.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from flatline.data.panel import Panel
from flatline.data.within_day import FLAT, day_rank, day_zscore

__all__ = ["MEASURED", "apply_ways", "block_days", "known_values", "percent_change", "rolling"]

# Ways that use the centre and scale of the train days.
MEASURED = ("zscore", "squash", "percent_change")
# Values of a block: few enough that its temporaries are small beside any panel that matters.
BLOCK_VALUES = 2_000_000


def block_days(panel: Panel) -> int:
    """Days to work on at once."""
    return max(1, BLOCK_VALUES // max(1, len(panel.codes) * len(panel.feature_names)))


def known_values(
    panel: Panel,
    days: NDArray[np.int64] | slice,
    columns: NDArray[np.int64] | slice = slice(None),
) -> NDArray[np.float64]:
    """Features of those days, NaN where absent or not finite: (days, stocks, columns)."""
    x = panel.features[days][:, :, columns].astype(np.float64)
    x[~np.isfinite(x) | ~panel.present[days][:, :, None]] = np.nan
    return x


def percent_change(before: NDArray[np.float64], now: NDArray[np.float64]) -> NDArray[np.float64]:
    """Change as a fraction of the value before; NaN where either is unknown, or that is 0."""
    return (now - before) / np.where(before == 0.0, np.nan, np.abs(before))


def rolling(x: NDArray[np.float64], days: int, window: int) -> NDArray[np.float64]:
    """Z-score of the last *days* days, each within its own trailing window of *window* days.

    Args:
        x: NaN where unknown; up to window - 1 days more than *days*. Shape
            (days with history, stocks, columns).
        days: Days to give back.
        window: Days of the window, the day itself included.

    Returns:
        NaN where unknown, where less than half the window is known, and where
        the window has no spread. Shape (days, stocks, columns).
    """
    known = np.isfinite(x)
    # Sums of squares cancel badly far from 0: measure from the series' own level.
    # Its first known value, because a mean over the block would hear of later days.
    base = np.nan_to_num(np.take_along_axis(x, known.argmax(axis=0)[None], axis=0))
    centred = np.where(known, x - base, 0.0)
    last = np.arange(len(x) - days, len(x))
    first = np.maximum(last - window + 1, 0)

    def windowed(values: NDArray[np.float64]) -> NDArray[np.float64]:
        sums = np.concatenate([np.zeros((1, *values.shape[1:])), np.cumsum(values, axis=0)])
        difference: NDArray[np.float64] = sums[last + 1] - sums[first]
        return difference

    count = windowed(known.astype(np.float64))
    divisor = np.maximum(count, 1.0)
    mean = windowed(centred) / divisor
    variance = windowed(np.square(centred)) / divisor - np.square(mean)
    flat = variance <= np.square(FLAT * (np.abs(base + mean) + np.abs(mean)))
    enough = (count >= np.ceil(window / 2)) & known[-days:]
    spread = np.sqrt(np.where(enough & ~flat, variance, np.nan))
    z: NDArray[np.float64] = (centred[-days:] - mean) / spread
    return z


def _rescaled(
    panel: Panel,
    way: str,
    days: slice,
    columns: NDArray[np.int64] | slice,
    *,
    centre: NDArray[np.float64],
    unit: NDArray[np.float64],
    clip: float,
    window: int,
) -> NDArray[np.float64]:
    """One block of columns that share a way."""
    x = known_values(panel, days, columns)
    if way in MEASURED:
        if way == "percent_change":
            # The first date of the panel has no day before.
            before = np.full_like(x, np.nan)
            before[int(days.start == 0) :] = known_values(
                panel, slice(max(days.start - 1, 0), days.stop - 1), columns
            )
            x = percent_change(before, x)
        limit = 1.0 if way == "squash" else clip
        return np.clip((x - centre) / unit, -limit, limit)
    if way == "rolling":
        back = slice(max(days.start - window + 1, 0), days.stop)
        x = rolling(known_values(panel, back, columns), len(x), window)
        return np.clip(x, -clip, clip)
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
    groups: list[tuple[str, NDArray[np.int64] | slice]] = [
        (way, slice(None) if (names == way).all() else np.flatnonzero(names == way))
        for way in dict.fromkeys(ways)
    ]
    size = block_days(panel)
    for start in reversed(range(0, len(panel.dates), size)):
        days = slice(start, min(start + size, len(panel.dates)))
        done = [
            (
                columns,
                _rescaled(
                    panel,
                    way,
                    days,
                    columns,
                    centre=centre[columns],
                    unit=unit[columns],
                    clip=clip,
                    window=window,
                ),
            )
            for way, columns in groups
        ]
        for columns, x in done:
            target[days, :, columns] = x
