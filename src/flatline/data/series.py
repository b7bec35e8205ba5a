"""One price series as a panel with one stock, and how high it will close.

The target of horizon h on day t is the highest close of the days t + 1 to t + h over the close
of day t, less 1: at least 0.01 where a holder could have sold one percent higher within h days.
Prices are total returns (splits and dividends applied forward): a dividend is no fall.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from flatline.data.panel import Panel
from flatline.data.prices import Prices
from flatline.data.series_features import FEATURE_SETS, series_features
from flatline.data.targets import check_horizons
from flatline.errors import DataError, SettingsError
from flatline.section import nearest

__all__ = ["highest_closes", "series_panel"]


def highest_closes(close: NDArray[np.float64], horizons: Sequence[int]) -> NDArray[np.float32]:
    """Highest close of the next h days over today's, less 1.

    Args:
        close: In the order of the days. Shape (days,).
        horizons: In trading days, ascending.

    Returns:
        As a fraction, NaN on the last h days. Shape (days, horizons).

    Raises:
        SettingsError: The horizons are not ascending whole numbers from 1 on.

    Example:
        >>> highest_closes(np.array([1.0, 1.5, 1.2, 0.6]), (1, 2)).round(2)
        array([[ 0.5,  0.5],
               [-0.2, -0.2],
               [-0.5,  nan],
               [ nan,  nan]], dtype=float32)
    """
    chosen = check_horizons(horizons)
    found = np.full((len(close), len(chosen)), np.nan, np.float32)
    for j, h in enumerate(chosen):
        if h < len(close):
            highest = np.lib.stride_tricks.sliding_window_view(close[1:], h).max(axis=1)
            found[:-h, j] = highest / close[:-h] - 1.0
    return found


def series_panel(
    prices: Prices,
    *,
    horizons: Sequence[int],
    code: str | None = None,
    features: str = "ratio",
) -> Panel:
    """One code of the prices as a panel of shape (dates, 1, features).

    Its `target` is that of `highest_closes`, and its `label_end` t + h: the day whose close
    decides.

    Args:
        prices: Validated daily bars.
        horizons: Of the targets, in trading days.
        code: Which series; None where the prices hold one.
        features: `level` or `ratio`.

    Raises:
        SettingsError: The feature set is unknown, or the horizons make no sense.
        DataError: The code is not among the prices, or none is given and they hold several.

    Example:
        >>> from flatline.data.prices import prices_from_frame
        >>> from flatline.data.series_market import make_series_market
        >>> prices = prices_from_frame(make_series_market("tiny").prices)
        >>> panel = series_panel(prices, horizons=(1, 3, 5), features="level")
        >>> panel.features.shape, panel.label_end[0].tolist()
        ((2500, 1, 13), [1, 3, 5])
    """
    chosen = check_horizons(horizons)
    if features not in FEATURE_SETS:
        raise SettingsError(
            f"features is {features!r}, expected one of {', '.join(FEATURE_SETS)}. "
            f"{nearest(features, FEATURE_SETS)}"
        )
    bars = total_return_bars(_one_code(prices, code))
    values = series_features(bars, features)
    close = bars["close"].to_numpy()
    days = len(close)
    return Panel(
        dates=bars["date"].to_numpy().astype("datetime64[D]"),
        codes=np.array(bars["code"][:1].to_list()),
        feature_names=tuple(values.columns),
        horizons=chosen,
        present=np.ones((days, 1), bool),
        features=values.fill_null(float("nan")).to_numpy().astype(np.float32)[:, None],
        target=highest_closes(close, chosen)[:, None],
        label_end=np.arange(days)[:, None] + np.asarray(chosen, np.int64),
        daily_return=np.concatenate([[np.nan], close[1:] / close[:-1] - 1.0])
        .astype(np.float32)[:, None],
        attributes={},
    )  # fmt: skip


def total_return_bars(bars: pl.DataFrame) -> pl.DataFrame:
    """Bars whose close is the adjusted close: each bar as a whole is moved there."""
    factor = pl.col("adj_close") / pl.col("close")
    return bars.with_columns(pl.col("open", "high", "low") * factor, close=pl.col("adj_close"))


def _one_code(prices: Prices, code: str | None) -> pl.DataFrame:
    held = prices.frame["code"].unique().sort().to_list()
    if code is None and len(held) == 1:
        return prices.frame
    if code not in held:
        some = ", ".join(held[:10]) + (", ..." if len(held) > 10 else "")
        raise DataError(
            f"code is {code!r}, expected one of the prices: {some}. Set data.series.code."
        )
    return prices.frame.filter(pl.col("code") == code)
