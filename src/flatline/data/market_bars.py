"""From log returns and channels to the bars people trade on, and to frames."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.random import Generator
from numpy.typing import NDArray

from flatline.data.market_paths import SEGMENTS, Universe
from flatline.data.market_signals import SCALE, Channels, Dense

__all__ = ["Bars"]

# Of the log volume, the overnight gap, the close's place and the log range, per unit of the
# channel that each carries.
VOLUME, GAP, PLACE, WIDTH = 0.5, 0.4 * SCALE, 0.3, 0.35
# The usual range beside SCALE. Wide, so that open and close seldom push it further out.
RANGE = 5.5


@dataclass(frozen=True, slots=True, eq=False)
class Bars:
    """Dense bars on every day, whether a row is shown or not. Each of shape (dates, stocks)."""

    open: NDArray[np.float64]
    high: NDArray[np.float64]
    low: NDArray[np.float64]
    close: NDArray[np.float64]
    volume: NDArray[np.int64]


def draw_bars(
    rng: Generator, log_return: NDArray[np.float64], channels: Channels, climate: Dense
) -> Bars:
    """Bars whose close-to-close log return is *log_return* and that show the channels.

    The overnight gap reverts in the session, so the close-to-close return knows nothing of it.
    With R the log range and p the close's place in it, 0 at the low and 1 at the high,

        open = previous close * exp(GAP * g),  close = previous close * exp(r)
        p = 1 / (1 + exp(-PLACE * c)),  R = RANGE * SCALE * climate * exp(WIDTH * q)
        low = close * exp(-p * R),  high = close * exp((1 - p) * R)

    where R is widened to reach the open if it has to be.
    """
    stocks = log_return.shape[1]
    start = np.exp(rng.normal(np.log(1500.0), 0.6, size=stocks))
    close = np.exp(np.cumsum(log_return, axis=0))
    close *= start
    gap = GAP * channels.gap
    before = np.concatenate([start[None], close[:-1]])
    opened = before * np.exp(gap)

    body = (log_return - gap).astype(np.float32)
    place = 1.0 / (1.0 + np.exp(-PLACE * channels.graph))
    width = RANGE * SCALE * climate * np.exp(WIDTH * channels.width)
    np.maximum(width, np.maximum(body / place, -body / (1.0 - place)), out=width)
    # Rounding may put the open a last digit outside the range.
    low = np.minimum(close * np.exp(-place * width), np.minimum(opened, close))
    high = np.maximum(close * np.exp((1.0 - place) * width), np.maximum(opened, close))

    usual = rng.normal(float(np.log(3e5)), 0.8, size=(stocks,)).astype(np.float32)
    noise = 0.05 * rng.standard_normal(log_return.shape, dtype=np.float32)
    volume = np.exp(usual + VOLUME * channels.newest + 0.3 * np.log(climate) + noise)
    return Bars(opened, high, low, close, np.maximum(np.rint(volume), 1.0).astype(np.int64))


def price_frame(
    dates: NDArray[np.datetime64], codes: NDArray[np.str_], present: NDArray[np.bool_], bars: Bars
) -> pl.DataFrame:
    """One row per traded stock and day, by date and code."""
    day, stock = np.nonzero(present)
    columns = {
        name: getattr(bars, name)[present] for name in ("open", "high", "low", "close", "volume")
    }
    return pl.DataFrame(
        {
            "date": pl.Series(dates[day]),
            "code": pl.Series(codes.tolist(), dtype=pl.String).gather(stock),
            **columns,
        }
    )


def sector_frame(
    dates: NDArray[np.datetime64], codes: NDArray[np.str_], universe: Universe
) -> pl.DataFrame:
    """One snapshot of every code's sector and segment, of the first date."""
    return pl.DataFrame(
        {
            "as_of": np.repeat(dates[:1], len(codes)),
            "code": codes.tolist(),
            "sector": [f"sector {sector:02d}" for sector in universe.sector + 1],
            "segment": [SEGMENTS[segment] for segment in universe.segment],
        }
    )


def index_frame(
    dates: NDArray[np.datetime64], log_return: NDArray[np.float64], listed: NDArray[np.bool_]
) -> pl.DataFrame:
    """An index of equal weights over the listed stocks."""
    returns = np.where(listed, np.expm1(log_return), 0.0).sum(axis=1) / listed.sum(axis=1)
    return pl.DataFrame({"date": dates, "close": 1000.0 * np.cumprod(1.0 + returns)})
