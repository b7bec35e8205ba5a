"""Features of one price series, with its level and without.

Two sets say the same things about a day. `level` is in the units of the market: prices, share
counts and what is added up of them, which drift away from the days that were learned from.
`ratio` is the same relative to the day's close or volume, beside oscillators and realised
volatilities, and stays in its range.

| level | ratio |
|---|---|
| open, high, low, close | gap, change: over the last close; high_ratio, low_ratio: over today's |
| mean_5, mean_20, mean_60, mean_200 | close over each of them, less 1 |
| macd, macd_signal | the same over the close |
| atr | atr_ratio: over the close |
| obv | obv_flow: its change in 20 days over the volume of those |
| volume | volume_ratio: over its mean of 20 days, as a logarithm |
| | rsi, stochastic: in [0, 1]; volatility_5, _20, _60: of daily log returns |

Every value is made of the day's bar and those before it.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import polars as pl

__all__ = ["FEATURE_SETS", "series_features"]

MEANS: Final = (5, 20, 60, 200)
SPREADS: Final = (5, 20, 60)
# The usual lengths of Wilder's averages, of the stochastic, and of the two means of MACD and its
# signal.
WILDER, STOCHASTIC, FAST, SLOW, SIGNAL = 14, 14, 12, 26, 9
FLOW = 20
# Shares are counted in millions: single precision holds them, and what is added up of them.
MILLION = 1e6


def _close() -> pl.Expr:
    return pl.col("close")


def _before() -> pl.Expr:
    return pl.col("close").shift(1)


def _wilder(x: pl.Expr) -> pl.Expr:
    return x.ewm_mean(alpha=1 / WILDER, adjust=False, min_samples=WILDER)


def _macd() -> pl.Expr:
    fast = _close().ewm_mean(span=FAST, adjust=False)
    slow = _close().ewm_mean(span=SLOW, adjust=False, min_samples=SLOW)
    return fast - slow


def _macd_signal() -> pl.Expr:
    return _macd().ewm_mean(span=SIGNAL, adjust=False, min_samples=SIGNAL)


def _atr() -> pl.Expr:
    top = pl.max_horizontal("high", _before())
    bottom = pl.min_horizontal("low", _before())
    # The first day has no close before it.
    return _wilder(pl.when(_before().is_not_null()).then(top - bottom))


def _volume() -> pl.Expr:
    return pl.col("volume") / MILLION


def _signed_volume() -> pl.Expr:
    """The day's volume, with the sign of its change; 0 on the first day."""
    return (_close().diff().sign() * _volume()).fill_null(0.0)


def _rsi() -> pl.Expr:
    change = _close().diff()
    gain, loss = _wilder(change.clip(lower_bound=0.0)), _wilder((-change).clip(lower_bound=0.0))
    # A series that did not move at all is in the middle.
    return pl.when(gain + loss > 0).then(gain / (gain + loss)).otherwise(0.5)


def _stochastic() -> pl.Expr:
    low = pl.col("low").rolling_min(STOCHASTIC)
    height = pl.col("high").rolling_max(STOCHASTIC) - low
    return pl.when(height > 0).then((_close() - low) / height).otherwise(0.5)


def _known(x: pl.Expr, days: int) -> pl.Expr:
    """Unknown on the first *days* days, on which a `when` would give its other value."""
    return pl.when(pl.int_range(pl.len()) >= days).then(x)


LEVEL: Final[Mapping[str, pl.Expr]] = MappingProxyType(
    {
        "open": pl.col("open"),
        "high": pl.col("high"),
        "low": pl.col("low"),
        "close": _close(),
        **{f"mean_{days}": _close().rolling_mean(days) for days in MEANS},
        "macd": _macd(),
        "macd_signal": _macd_signal(),
        "atr": _atr(),
        "obv": _signed_volume().cum_sum(),
        "volume": _volume(),
    }
)
RATIO: Final[Mapping[str, pl.Expr]] = MappingProxyType(
    {
        "gap": pl.col("open") / _before() - 1.0,
        "high_ratio": pl.col("high") / _close() - 1.0,
        "low_ratio": pl.col("low") / _close() - 1.0,
        "change": _close() / _before() - 1.0,
        **{f"from_mean_{days}": _close() / _close().rolling_mean(days) - 1.0 for days in MEANS},
        "macd_ratio": _macd() / _close(),
        "macd_signal_ratio": _macd_signal() / _close(),
        "atr_ratio": _atr() / _close(),
        "obv_flow": _signed_volume().rolling_sum(FLOW) / _volume().rolling_sum(FLOW),
        "volume_ratio": (_volume() / _volume().rolling_mean(FLOW)).log(),
        "rsi": _known(_rsi(), WILDER),
        "stochastic": _known(_stochastic(), STOCHASTIC - 1),
        **{f"volatility_{days}": _close().log().diff().rolling_std(days) for days in SPREADS},
    }
)
FEATURE_SETS: Final[Mapping[str, Mapping[str, pl.Expr]]] = MappingProxyType(
    {"level": LEVEL, "ratio": RATIO}
)


def series_features(bars: pl.DataFrame, chosen: str = "ratio") -> pl.DataFrame:
    """The features of one series, point in time.

    Args:
        bars: open, high, low, close and volume (shares), one row a day, in the order of the days.
        chosen: `level` or `ratio`; the table at the top of this module has both.

    Returns:
        One column per feature, null where the series is too short for it yet. Prices are in
        the unit of the bars, volume and obv in millions of shares, the rest are fractions.

    References:
        Wilder, New Concepts in Technical Trading Systems, 1978 (ATR, RSI); Granville, New Key to
        Stock Market Profits, 1963 (OBV).

    Example:
        >>> bar = {"open": 10.0, "high": 12.0, "low": 10.0, "volume": 2_000_000}
        >>> bars = pl.DataFrame([bar | {"close": close} for close in (10.0, 11.0, 10.5)])
        >>> series_features(bars, "level")["obv"].to_list()
        [0.0, 2.0, 0.0]
        >>> series_features(bars, "ratio")["change"].round(3).to_list()
        [None, 0.1, -0.045]
    """
    return bars.select(**FEATURE_SETS[chosen])
