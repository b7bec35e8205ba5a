"""The embedded series: daily bars of one stock, whose chance to rise is known.

Deterministic by seed. Log returns are r[t] = drift + sqrt(v[t]) z[t], z standard normal, with

    v[t + 1] = VARIANCE * (1 - ALPHA - BETA) + ALPHA * (r[t] - drift)**2 + BETA * v[t]

(GARCH): tomorrow's variance is known today, from returns that everybody sees. So the chance that
one of the next closes lies a percent higher depends on volatility alone, and `touch_probability`
knows it; the sign of a return can hardly be foretold. The drift carries the level many times higher
from the days that are learned from to those that are judged.

References:
    Bollerslev, Generalized autoregressive conditional heteroskedasticity, 1986, equation 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import ndtr

from flatline.data.targets import check_horizons
from flatline.errors import SettingsError

__all__ = ["SeriesMarket", "make_series_market"]

SizeName = Literal["tiny", "small", "large"]
Floats = NDArray[np.float64]


class Size(NamedTuple):
    """Days, and the mean log return of each."""

    days: int
    drift: float


SIZES: Final = {
    "tiny": Size(2500, 0.0018),
    "small": Size(6000, 0.001),
    "large": Size(24000, 0.0003),
}
# Variance of a usual day, and how it follows the days before: volatility comes in long spells.
VARIANCE, ALPHA, BETA = 0.009**2, 0.12, 0.87
START, CODE, FIRST_DATE = 100.0, "SERIES", "1990-01-01"
# Days that pass before the first, so that it is a day like others.
WARM_UP = 500
# Paths of the oracle for each variance, and variances between which it is interpolated.
PATHS, GRID = 4000, 64


@dataclass(frozen=True, slots=True, eq=False)
class SeriesMarket:
    """Bars of one code, and the truth behind them.

    Args:
        dates: Trading days, ascending. Shape (dates,), datetime64[D].
        prices: date, code, open, high, low, close, volume; one row a day.
        next_variance: Variance of tomorrow's log return, as known today. Shape (dates,).
        drift: Mean log return of a day.
    """

    dates: NDArray[np.datetime64]
    prices: pl.DataFrame
    next_variance: Floats
    drift: float

    def touch_probability(self, horizons: Sequence[int], *, rise: float = 0.01) -> Floats:
        """Chance that the highest close of the next h days lies *rise* above today's.

        Exact for one day; beyond it the mean over simulated paths, the last day of which is
        exact again: its error is below 0.01.

        Args:
            horizons: In trading days, ascending.
            rise: As a fraction: 0.01 is one percent.

        Returns:
            Shape (dates, horizons).

        Raises:
            SettingsError: The horizons make no sense, or the rise is not above -1.
        """
        chosen = check_horizons(horizons)
        if not rise > -1.0:
            raise SettingsError(
                f"rise is {rise}, expected a fraction above -1. Give 0.01 for one percent."
            )
        spread = np.sqrt(self.next_variance)
        grid = np.geomspace(spread.min(), spread.max() * (1 + 1e-9), GRID)
        chances = _chances(grid**2, self.drift, float(np.log1p(rise)), max(chosen))
        return np.stack([np.interp(spread, grid, chances[h - 1]) for h in chosen], axis=1)


def _chances(variance: Floats, drift: float, barrier: float, days: int) -> Floats:
    """Chance to have closed above *barrier* within 1, 2, ... days: (days, variances)."""
    # The same shocks for every variance: the chances are then smooth in it.
    z = np.random.default_rng(0).standard_normal((days, PATHS // 2))
    z = np.concatenate([z, -z], axis=1)
    v = np.repeat(variance[:, None], PATHS, axis=1)
    risen, chances = np.zeros_like(v), np.empty((days, len(variance)))
    touched = np.zeros(v.shape, bool)
    for day in range(days):
        spread = np.sqrt(v)
        over = ndtr((risen + drift - barrier) / spread)
        chances[day] = np.where(touched, 1.0, over).mean(axis=1)
        shock = spread * z[day]
        risen += drift + shock
        touched |= risen >= barrier
        v = _next_variance(v, shock)
    return chances


def _next_variance(variance: Floats, shock: Floats) -> Floats:
    return VARIANCE * (1.0 - ALPHA - BETA) + ALPHA * shock**2 + BETA * variance


def make_series_market(size: SizeName = "small", *, seed: int = 0) -> SeriesMarket:
    """A series of that size.

    Args:
        size: `tiny` (2,500 days), `small` (6,000) or `large` (24,000).
        seed: Of everything random.

    Raises:
        SettingsError: The size is unknown.

    Example:
        >>> market = make_series_market("tiny", seed=1)
        >>> market.prices.height, market.touch_probability((1, 5)).shape
        (2500, (2500, 2))
    """
    if size not in SIZES:
        raise SettingsError(
            f"market is {size!r}, expected one of {', '.join(SIZES)}. Choose one of them."
        )
    days, drift = SIZES[size]
    rng = np.random.default_rng([seed, days])
    z = rng.standard_normal(WARM_UP + days)
    variance = np.empty(WARM_UP + days + 1)
    variance[0] = VARIANCE
    for day, shock in enumerate(z):  # Each day's variance needs the day's before.
        v = variance[day]
        variance[day + 1] = _next_variance(v, np.sqrt(v) * shock)
    spread = np.sqrt(variance[WARM_UP:-1])
    log_return = drift + spread * z[WARM_UP:]
    first = np.datetime64(FIRST_DATE, "D")
    dates = np.busday_offset(first, np.arange(days), roll="forward")
    return SeriesMarket(
        dates=dates,
        prices=_bars(rng, dates, log_return, spread),
        next_variance=variance[WARM_UP + 1 :],
        drift=drift,
    )


def _bars(
    rng: np.random.Generator, dates: NDArray[np.datetime64], log_return: Floats, spread: Floats
) -> pl.DataFrame:
    """Bars that end at these closes; ranges and volumes swell with volatility."""
    days = len(dates)
    close = START * np.exp(np.cumsum(log_return))
    before = np.concatenate([[START], close[:-1]])
    opened = before * np.exp(0.3 * spread * rng.standard_normal(days))
    above, below = 0.5 * spread * np.abs(rng.standard_normal((2, days)))
    busy = (spread / np.sqrt(VARIANCE)) ** 0.5
    volume = 5e7 * busy * np.exp(0.2 * rng.standard_normal(days))
    return pl.DataFrame(
        {
            "date": dates,
            "code": CODE,
            "open": opened,
            "high": np.maximum(opened, close) * np.exp(above),
            "low": np.minimum(opened, close) * np.exp(-below),
            "close": close,
            "volume": np.rint(volume).astype(np.int64),
        }
    )
