"""Random draws of the embedded market: calendar, universe, channels and noise."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.signal import lfilter

from flatline.data.market_signals import (
    PHI_GRAPH,
    PHI_NEWEST,
    PHI_STATIC,
    SCALE,
    Channels,
    Dense,
)

__all__ = ["Size", "Universe"]

SEGMENTS = ("growth", "prime", "standard")
# Half of the stocks are prime, the side on which the static signal is positive.
SEGMENT_SHARES = (0.2, 0.5, 0.3)
# Variance shares of the noise. The cluster's is large so that 60 days of returns tell who
# belongs to it.
MARKET, SECTOR, CLUSTER, OWN = 0.18, 0.05, 0.53, 0.24
TAIL_FREEDOM, TAIL_CAP = 5.0, 10.0
PHI_CLIMATE, CLIMATE, OWN_VOLATILITY = 0.97, 0.2, 0.25


@dataclass(frozen=True, slots=True)
class Size:
    """Codes that ever trade, trading days, and sectors."""

    codes: int
    days: int
    sectors: int


@dataclass(frozen=True, slots=True, eq=False)
class Universe:
    """Who is there, and when.

    Args:
        sector: Shape (stocks,).
        segment: Position in SEGMENTS. Shape (stocks,).
        cluster: Shape (stocks,).
        listed: Shape (dates, stocks).
        present: Listed and not suspended. Shape (dates, stocks).
    """

    sector: NDArray[np.int64]
    segment: NDArray[np.int64]
    cluster: NDArray[np.int64]
    listed: NDArray[np.bool_]
    present: NDArray[np.bool_]


def draw_dates(rng: Generator, days: int) -> NDArray[np.datetime64]:
    """Weekdays without holidays, about ten of which a year fall on a weekday. Shape (days,)."""
    holidays = max(2, days // 25)
    weekdays = np.busday_offset(np.datetime64("2015-01-05", "D"), np.arange(days + holidays))
    closed = 1 + rng.choice(days + holidays - 2, size=holidays, replace=False)
    return np.delete(weekdays, closed)


def draw_clusters(rng: Generator, stocks: int) -> NDArray[np.int64]:
    """Sizes of 6 to 10, mostly 8 to 10, that add up to *stocks*, 12 or more."""
    sizes = rng.integers(8, 11, size=math.ceil(stocks / 9))
    while (missing := stocks - int(sizes.sum())) != 0:
        step = 1 if missing > 0 else -1
        room = np.flatnonzero((sizes + step >= 6) & (sizes + step <= 10))
        sizes[rng.permutation(room)[: abs(missing)]] += step
    return sizes


def draw_universe(rng: Generator, size: Size) -> Universe:
    """Sectors, segments, clusters across the sectors, listings, delistings and suspensions."""
    days, stocks = size.days, size.codes
    sizes = draw_clusters(rng, stocks)
    cluster = np.repeat(np.arange(len(sizes)), sizes)
    # Neighbours in this order have different sectors; then the order is shuffled away.
    sector = (np.arange(stocks) + rng.integers(size.sectors, size=len(sizes))[cluster]) % (
        size.sectors
    )
    order = rng.permutation(stocks)
    bounds = np.round(np.cumsum(SEGMENT_SHARES) * stocks).astype(np.int64)
    segment = rng.permutation(np.searchsorted(bounds, np.arange(stocks), side="right"))

    late, gone = rng.random((2, stocks))
    first = np.where(late < 0.06, rng.integers(days // 20, days // 2, stocks), 0)
    last = np.where(gone < 0.04, rng.integers(days * 6 // 10, days - days // 20, stocks), days)
    # A draw without any would leave a market that cannot show what it should.
    first[0], last[1] = days // 4, days * 3 // 4
    day = np.arange(days)[:, None]
    listed = (day >= first) & (day < last)

    stops = max(2, round(0.0006 * days * stocks))
    stock, start = rng.integers(stocks, size=stops), rng.integers(1, days, size=stops)
    edge = np.zeros((days + 1, stocks), dtype=np.int16)
    np.add.at(edge, (start, stock), 1)
    np.add.at(edge, (np.minimum(start + rng.integers(1, 9, size=stops), days), stock), -1)
    suspended = np.cumsum(edge[:-1], axis=0, dtype=np.int16) > 0
    return Universe(sector[order], segment, cluster[order], listed, listed & ~suspended)


def draw_ar(rng: Generator, shape: tuple[int, ...], phi: float) -> Dense:
    """AR(1) along the first axis, stationary from the first day, unit spread."""
    shocks = rng.standard_normal(shape, dtype=np.float32)
    shocks[1:] *= math.sqrt(1.0 - phi**2)
    one = np.ones(1, dtype=np.float32)
    return np.asarray(
        lfilter(one, np.array([1.0, -phi], dtype=np.float32), shocks, axis=0), dtype=np.float32
    )


def draw_tails(rng: Generator, shape: tuple[int, ...]) -> Dense:
    """Student t draws of unit spread, cut at TAIL_CAP spreads."""
    draws = rng.standard_t(TAIL_FREEDOM, size=shape) * math.sqrt(1.0 - 2.0 / TAIL_FREEDOM)
    return np.clip(draws, -TAIL_CAP, TAIL_CAP).astype(np.float32)


def draw_channels(rng: Generator, universe: Universe) -> Channels:
    """The states that carry the signals."""
    shape = universe.listed.shape
    prime = universe.segment == SEGMENTS.index("prime")
    return Channels(
        newest=draw_ar(rng, shape, PHI_NEWEST),
        gap=rng.standard_normal(shape, dtype=np.float32),
        graph=draw_ar(rng, shape, PHI_GRAPH),
        width=draw_ar(rng, shape, PHI_STATIC),
        sign=np.where(prime, 1.0, -1.0).astype(np.float32),
        listed=universe.listed,
    )


def draw_climate(rng: Generator, days: int) -> Dense:
    """Volatility of the whole market beside its usual level. Shape (dates, 1)."""
    climate = CLIMATE * draw_ar(rng, (days, 1), PHI_CLIMATE)
    return np.asarray(np.exp(climate - CLIMATE**2), dtype=np.float32)


def draw_noise(
    rng: Generator, universe: Universe, width: Dense, climate: Dense
) -> NDArray[np.float32]:
    """Noise of the log returns: market, sector, cluster and own shocks. Shape (dates, stocks).

    All shocks have fat tails. The factors' volatility follows the *climate*, a stock's own
    volatility also follows the *width* of its range: both cluster in time.
    """
    days, stocks = width.shape
    beta = rng.normal(1.0, 0.2, size=(stocks,)).astype(np.float32)
    noise: Dense = math.sqrt(MARKET) * beta * draw_tails(rng, (days, 1))
    for share, member in ((SECTOR, universe.sector), (CLUSTER, universe.cluster)):
        noise += math.sqrt(share) * draw_tails(rng, (days, int(member.max()) + 1))[:, member]
    own = draw_tails(rng, (days, stocks))
    own *= np.exp(OWN_VOLATILITY * width - OWN_VOLATILITY**2)
    own *= math.sqrt(OWN)
    noise += own
    noise *= SCALE * climate
    return noise
