"""From prices to the panel: features and targets laid out by date and stock."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
from numpy.lib.format import open_memmap
from numpy.typing import DTypeLike, NDArray

from flatline.data.feature_rows import Feature
from flatline.data.features import (
    FEATURES,
    Context,
    choose_features,
    column,
    feature_blocks,
    read_context,
)
from flatline.data.panel import Panel
from flatline.data.prices import Prices
from flatline.data.targets import (
    HORIZONS,
    check_horizons,
    forward_returns,
    label_ends,
    wealth,
)
from flatline.errors import ArtifactError, SettingsError

__all__ = ["build_panel"]

# Arrays up to this size stay in memory: mapping them saves nothing.
MAP_ABOVE = 1 << 26
MEDIAN_ROWS, MEDIAN_LEAST = 60, 20


def build_panel(
    prices: Prices,
    *,
    horizons: Sequence[int] = HORIZONS,
    features: Sequence[str] = FEATURES,
    universe: int | None = None,
    memory_map: Path | None = None,
) -> Panel:
    """Features and targets of every stock on every trading day.

    Args:
        prices: Validated daily bars.
        horizons: Of the targets, in trading days.
        features: Names of the features, of `ALL_FEATURES`.
        universe: Stocks per day: those with the largest median turnover of their last 60
            rows (at least 20). Others are not present on that day, though their features
            and targets are filled in. None for all stocks.
        memory_map: Folder for the arrays that are too large to be held in memory.

    Raises:
        SettingsError: A feature is unknown, or the horizons or the universe make no sense.
        DataError: The prices are empty or out of order.
        ArtifactError: The folder holds the arrays of another panel.

    Example:
        >>> from datetime import date
        >>> from flatline.data.prices import prices_from_frame
        >>> bar = {"open": 10.0, "high": 11.0, "low": 10.0, "volume": 100, "code": "A"}
        >>> closes = {date(2024, 1, 4): 10.0, date(2024, 1, 5): 10.0, date(2024, 1, 9): 11.0}
        >>> frame = pl.DataFrame([bar | {"date": d, "close": c} for d, c in closes.items()])
        >>> panel = build_panel(prices_from_frame(frame), horizons=[1], features=["body"])
        >>> panel.target[0, 0].round(3), panel.features[2, 0].round(3)
        (array([0.1], dtype=float32), array([0.1], dtype=float32))
    """
    horizons, chosen = check_horizons(horizons), choose_features(features)
    if universe is not None and universe < 1:
        raise SettingsError(
            f"universe is {universe}, expected a number of stocks from 1 on. Leave it out for all."
        )
    context = read_context(prices)
    layout = context.layout
    shape = len(layout.dates), len(layout.codes)
    place = (layout.date, layout.stock)

    values = _allocate(memory_map, "features", (*shape, len(chosen)))
    _fill(values, context, chosen)
    target = _allocate(memory_map, "target", (*shape, len(horizons)))
    forward_returns(wealth(*place, context.gross, shape), horizons, out=target)
    daily = np.full(shape, np.nan, np.float32)
    daily[place] = context.daily
    return Panel(
        dates=layout.dates,
        codes=layout.codes,
        feature_names=tuple(feature.name for feature in chosen),
        horizons=horizons,
        present=_present(context, universe, shape),
        features=_seal(values),
        target=_seal(target),
        label_end=label_ends(shape[0], horizons),
        daily_return=daily,
        attributes=context.attributes,
    )


def _fill(values: NDArray[np.float32], context: Context, chosen: Sequence[Feature]) -> None:
    """Write all features, a few stocks at a time."""
    date, stock = context.layout.date, context.layout.stock
    for rows, block in feature_blocks(context, chosen):
        first, last = int(stock[rows.start]), int(stock[rows.stop - 1])
        dense = np.full((values.shape[0], last - first + 1, len(chosen)), np.nan, np.float32)
        dense[date[rows], stock[rows] - first] = block
        values[:, first : last + 1] = dense


def _allocate(folder: Path | None, name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """An array in memory, or in a file of *folder* when it is large."""
    dtype: DTypeLike = np.float32
    if folder is None or int(np.prod(shape)) * np.dtype(dtype).itemsize <= MAP_ABOVE:
        return np.empty(shape, dtype)
    path = folder / f"{name}.npy"
    if path.exists():
        raise ArtifactError(f"{path} exists, expected a folder without it. Choose another folder.")
    folder.mkdir(parents=True, exist_ok=True)
    return open_memmap(path, mode="w+", dtype=dtype, shape=shape)


def _seal(array: NDArray[np.float32]) -> NDArray[np.float32]:
    """A mapped array read-only: nobody may change the file by writing to the panel."""
    if isinstance(array, np.memmap):
        array.flush()
        return np.load(str(array.filename), mmap_mode="r")  # type: ignore[no-any-return]
    return array


def _present(context: Context, universe: int | None, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Where a stock has a good row and, with a *universe*, is among the day's most traded."""
    place = (context.layout.date, context.layout.stock)
    if universe is None:
        present = np.zeros(shape, bool)
        present[place] = True
        return present
    turnover = np.full(shape, -np.inf, np.float32)
    turnover[place] = _median_turnover(context)
    # Stable: equal turnovers are taken in the order of the codes.
    order = np.argsort(-turnover, axis=1, kind="stable")[:, :universe]
    chosen = np.zeros(shape, bool)
    np.put_along_axis(chosen, order, values=True, axis=1)
    return chosen & np.isfinite(turnover)


def _median_turnover(context: Context) -> NDArray[np.float64]:
    """Median turnover of each stock's last 60 rows, -inf where there are too few."""
    turnover = column(context.frame, "close") * column(context.frame, "volume")
    stock = pl.Series("stock", context.layout.stock)
    median = pl.col("turnover").rolling_median(MEDIAN_ROWS, min_samples=MEDIAN_LEAST).over("stock")
    frame = pl.DataFrame({"stock": stock, "turnover": turnover}).select(median)
    return frame["turnover"].fill_null(float("-inf")).to_numpy()
