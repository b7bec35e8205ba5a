"""Features of trading activity: volume, turnover, illiquidity."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from flatline.data.feature_rows import Feature, StockRows
from flatline.data.feature_windows import window_mean

__all__ = ["VOLUME_FEATURES"]

Floats = NDArray[np.float64]


def _volume_ratio(r: StockRows, rows: int) -> Floats:
    return np.log(r.volume / window_mean(r.volume, r.age, rows))


def _turnover_ratio(r: StockRows) -> Floats:
    return np.log(r.turnover / window_mean(r.turnover, r.age, 20))


def _illiquidity(r: StockRows) -> Floats:
    return np.log(window_mean(np.abs(r.returns) / r.turnover, r.age, 20))


VOLUME_FEATURES = (
    Feature(
        "volume_ratio_20", 20, "log of volume over its mean of 20", lambda r: _volume_ratio(r, 20)
    ),
    Feature(
        "volume_ratio_60", 60, "log of volume over its mean of 60", lambda r: _volume_ratio(r, 60)
    ),
    Feature(
        "log_turnover", 1, "log of close times volume, in currency", lambda r: np.log(r.turnover)
    ),
    Feature("turnover_ratio_20", 20, "log of turnover over its mean of 20", _turnover_ratio),
    Feature(
        "illiquidity_20", 21, "log of mean absolute return per turnover (Amihud)", _illiquidity
    ),
)
