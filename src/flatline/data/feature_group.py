"""Features of a stock against its market and sector, and of these themselves."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from flatline.data.feature_days import pick
from flatline.data.feature_rows import Feature, StockRows
from flatline.data.feature_windows import window_mean

__all__ = ["GROUP_FEATURES"]

Floats = NDArray[np.float64]


def _market(r: StockRows, rows: int) -> Floats:
    """Return of the market over the days that the stock's last *rows* rows span."""
    span = r.tables.market.between(r.then(rows), r.date)
    return np.where(r.age >= rows, span, np.nan)


def _sector_relative(r: StockRows, rows: int) -> Floats:
    return r.back(rows) - r.tables.sectors.between(r.then(rows), r.date, r.sector)


def _beta(r: StockRows) -> Floats:
    own, market = r.returns, _market(r, 1)

    def mean(x: Floats) -> Floats:
        return window_mean(x, r.age, 60)

    covariance = mean(own * market) - mean(own) * mean(market)
    return covariance / (mean(market * market) - mean(market) ** 2)


def _days_back(r: StockRows, level_days: int) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    """Calendar position some days ago, and whether the calendar reaches that far."""
    return np.maximum(r.date - level_days, 0), r.date >= level_days


def _sector_return(r: StockRows, days: int) -> Floats:
    then, reached = _days_back(r, days)
    return np.where(reached, r.tables.sectors.between(then, r.date, r.sector), np.nan)


def _index_return(r: StockRows, days: int) -> Floats:
    then, reached = _days_back(r, days)
    return np.where(reached, r.tables.index.between(then, r.date), np.nan)


GROUP_FEATURES = (
    Feature(
        "market_relative_5",
        6,
        "5-row return less the market's",
        lambda r: r.back(5) - _market(r, 5),
    ),
    Feature(
        "sector_relative_1", 2, "1-row return less the sector's", lambda r: _sector_relative(r, 1)
    ),
    Feature(
        "sector_relative_5", 6, "5-row return less the sector's", lambda r: _sector_relative(r, 5)
    ),
    Feature(
        "sector_relative_20",
        21,
        "20-row return less the sector's",
        lambda r: _sector_relative(r, 20),
    ),
    Feature("beta_60", 61, "slope of the return on the market's over 60 rows", _beta),
    Feature(
        "sector_return_1", 1, "equal-weight return of the sector", lambda r: _sector_return(r, 1)
    ),
    Feature("sector_return_5", 1, "the sector's over 5 days", lambda r: _sector_return(r, 5)),
    Feature(
        "sector_dispersion",
        1,
        "deviation of the day's returns in the sector",
        lambda r: pick(r.tables.dispersion, r.date, r.sector),
    ),
    Feature("index_return_1", 1, "return of the index", lambda r: _index_return(r, 1)),
    Feature(
        "index_return_20", 1, "return of the index over 20 days", lambda r: _index_return(r, 20)
    ),
    Feature(
        "index_volatility_20",
        1,
        "deviation of 20 daily index returns",
        lambda r: pick(r.tables.index_volatility, r.date),
    ),
)
