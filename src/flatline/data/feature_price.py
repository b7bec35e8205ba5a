"""Features of a stock's own prices: returns, bars, volatility, oscillators, distances."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from flatline.data.feature_rows import Feature, StockRows
from flatline.data.feature_windows import smooth, spread, window, window_mean

__all__ = ["PRICE_FEATURES"]

Floats = NDArray[np.float64]

YEAR, MONTH = 252, 21
HALF_YEAR = 126


def _momentum(r: StockRows) -> Floats:
    now = np.arange(len(r.age))
    # Young stocks are followed back to their first row.
    start = r.level[now - np.minimum(r.age, YEAR)]
    return np.where(r.age >= HALF_YEAR, r.lag(r.level, MONTH) / start - 1.0, np.nan)


def _close_location(r: StockRows) -> Floats:
    height = r.high - r.low
    # A bar without height has its close in the middle of it.
    return np.where(height > 0, (r.close - r.low) / np.where(height > 0, height, 1.0), 0.5)


def _range(r: StockRows) -> Floats:
    return (r.high - r.low) / r.close


def _range_ratio(r: StockRows) -> Floats:
    return _range(r) / window_mean(_range(r), r.age, 20)


def _wilder(x: Floats, r: StockRows) -> Floats:
    """Wilder's average over 14 rows, the first row of a stock left out."""
    return smooth(x, r.age, 1 / 14, window_mean(x, r.age, 14), 14)


def _atr_ratio(r: StockRows) -> Floats:
    before = r.lag(r.close, 1)
    true_range = np.maximum(r.high, before) - np.minimum(r.low, before)
    return _wilder(true_range, r) / r.close


def _rsi(r: StockRows) -> Floats:
    change = r.close - r.lag(r.close, 1)
    gain = _wilder(np.maximum(change, 0.0), r)
    loss = _wilder(np.maximum(-change, 0.0), r)
    return gain / (gain + loss)


def _macd(r: StockRows) -> Floats:
    fast = smooth(r.close, r.age, 2 / 13, r.close, 0)
    slow = smooth(r.close, r.age, 2 / 27, r.close, 0)
    return np.where(r.age >= 25, (fast - slow) / r.close, np.nan)


def _downside(r: StockRows) -> Floats:
    return np.sqrt(window_mean(np.minimum(r.returns, 0.0) ** 2, r.age, 20))


def _reversal(r: StockRows) -> Floats:
    turned: Floats = -r.back(5) / (r.volatility_20 * 5.0**0.5)
    return turned


def _from_mean(r: StockRows, rows: int) -> Floats:
    return r.close / window_mean(r.close, r.age, rows) - 1.0


def _from_high(r: StockRows) -> Floats:
    return r.close / window(r.high, r.age, 60, np.maximum) - 1.0


PRICE_FEATURES = (
    Feature("return_1", 2, "total return over the last row of the stock", lambda r: r.returns),
    Feature("return_2", 3, "total return over 2 rows", lambda r: r.back(2)),
    Feature("return_5", 6, "total return over 5 rows", lambda r: r.back(5)),
    Feature("return_10", 11, "total return over 10 rows", lambda r: r.back(10)),
    Feature("return_20", 21, "total return over 20 rows", lambda r: r.back(20)),
    Feature("return_60", 61, "total return over 60 rows", lambda r: r.back(60)),
    Feature("momentum_12_1", 127, "return from 252 (at least 126) to 21 rows ago", _momentum),
    Feature(
        "gap", 2, "open over the close before, less 1", lambda r: r.open / r.lag(r.close, 1) - 1
    ),
    Feature("body", 1, "close over open, less 1", lambda r: r.close / r.open - 1.0),
    Feature("close_location", 1, "close within the day's range, 0 low to 1 high", _close_location),
    Feature("range", 1, "high less low, over close", _range),
    Feature("range_ratio_20", 20, "range over its mean of 20 rows", _range_ratio),
    Feature("atr_ratio_14", 15, "Wilder's average true range of 14 rows, over close", _atr_ratio),
    Feature("volatility_20", 21, "deviation of 20 daily returns", lambda r: r.volatility_20),
    Feature(
        "volatility_60", 61, "deviation of 60 daily returns", lambda r: spread(r.returns, r.age, 60)
    ),
    Feature("downside_volatility_20", 21, "root mean square of 20 daily losses", _downside),
    Feature("reversal_5", 21, "5-row return turned round, in volatilities of 5 rows", _reversal),
    Feature("rsi_14", 15, "Wilder's share of gains in the moves of 14 rows, 0 to 1", _rsi),
    Feature("macd", 26, "mean of 12 rows less mean of 26, exponential, over close", _macd),
    Feature("distance_mean_5", 5, "close over its mean of 5, less 1", lambda r: _from_mean(r, 5)),
    Feature(
        "distance_mean_20", 20, "close over its mean of 20, less 1", lambda r: _from_mean(r, 20)
    ),
    Feature(
        "distance_mean_60", 60, "close over its mean of 60, less 1", lambda r: _from_mean(r, 60)
    ),
    Feature("distance_high_60", 60, "close over the highest high of 60 rows, less 1", _from_high),
)
