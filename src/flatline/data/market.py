"""The embedded market: daily bars that need no download and whose truth is known.

Deterministic by seed. The log return of stock i on day u is m[i, u-1] + noise[i, u]. What is
known, m, is planted along each way a model can see: the newest day, a pattern some days back,
the peers in a graph, a static attribute that turns a feature's sign; `market_signals` has the
equations. The noise is made of fat-tailed market, sector and cluster factors and a stock's
own shocks, with volatility that clusters in time:

    noise[i, u] = SCALE * climate[u] * (sqrt(MARKET) * beta[i] * F[u]
                + sqrt(SECTOR) * S[sector(i), u] + sqrt(CLUSTER) * C[cluster(i), u]
                + sqrt(OWN) * exp(0.25 * q[i, u] - 0.25**2) * e[i, u])

F, S, C and e are Student t with 5 degrees of freedom, log climate is AR(1). Clusters are 6 to
10 stocks of different sectors: trailing correlations show them, sector averages do not.
`market_bars` says how bars are made of returns and channels. Prices move on while a stock is
suspended; its rows are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.stats import rankdata

from flatline.data.market_bars import draw_bars, index_frame, price_frame, sector_frame
from flatline.data.market_paths import (
    Size,
    draw_channels,
    draw_climate,
    draw_dates,
    draw_noise,
    draw_universe,
)
from flatline.data.market_signals import (
    Channels,
    Dense,
    Signals,
    expected_sum,
    hit_share,
    peer_mean,
)
from flatline.errors import SettingsError

__all__ = ["Market", "Signals", "make_market"]

SizeName = Literal["tiny", "small", "large"]
Edges = NDArray[np.int64] | Callable[[int], NDArray[np.int64]] | Literal["true"]
SIZES: dict[str, Size] = {
    "tiny": Size(codes=64, days=260, sectors=10),
    "small": Size(codes=316, days=2500, sectors=12),
    "large": Size(codes=4380, days=2500, sectors=33),
}


@dataclass(frozen=True, slots=True, eq=False)
class Market:
    """Bars, and the truth behind them.

    Args:
        dates: Trading days, ascending. Shape (dates,), datetime64[D].
        codes: Stock codes, ascending. Shape (stocks,), str.
        prices: date, code, open, high, low, close, volume; one row per traded stock and day.
        sectors: as_of, code, sector, segment.
        index: date, close.
        present: True where *prices* has a row. Shape (dates, stocks).
        true_edges: Source and target of every pair of the same cluster, both ways, as
            positions in *codes*. Shape (2, edges).
        log_close: Also on days without a row. Shape (dates, stocks).
        channels: The states that carry the signals.
        signals: Their strengths.
    """

    dates: NDArray[np.datetime64]
    codes: NDArray[np.str_]
    prices: pl.DataFrame
    sectors: pl.DataFrame
    index: pl.DataFrame
    present: NDArray[np.bool_]
    true_edges: NDArray[np.int64]
    log_close: NDArray[np.float64]
    channels: Channels
    signals: Signals

    def expected_return(
        self, horizons: Sequence[int], *, edges: Edges = "true"
    ) -> NDArray[np.float64]:
        """Expected log return from close(t+1) to close(t+1+h), given the bars up to t.

        Args:
            horizons: In trading days.
            edges: What is known of the graph: the true edges; or edges that a
                pipeline inferred, source and target as positions in *codes*,
                either (2, edges) for all days or a function of the day's
                position. The mean over inferred peers counts for the share of
                the true edges that they hit, which makes it the best forecast
                from that mean.

        Returns:
            As a fraction: 0.01 is one percent. NaN where the stock has no row.
            Shape (dates, stocks, horizons).

        Raises:
            SettingsError: A horizon is below one day.
        """
        check_horizons(horizons)
        peers = self.peers(edges)
        expected = np.empty((*self.present.shape, len(horizons)))
        for column, h in enumerate(horizons):
            expected[:, :, column] = expected_sum(
                self.channels, self.signals, peers, first=2, last=1 + h
            )
        expected[~self.present] = np.nan
        return expected

    def expected_rank(
        self, horizons: Sequence[int], *, edges: Edges = "true"
    ) -> NDArray[np.float64]:
        """Rank of the expected return among the stocks present that day.

        Returns:
            From 0, the lowest, to 1, the highest; ties share their average.
            NaN where the stock has no row. Shape (dates, stocks, horizons).
        """
        expected = self.expected_return(horizons, edges=edges)
        names = self.present.sum(axis=1)[:, None, None]
        # Absent stocks are put last, where they do not touch the ranks of the present.
        ranks = rankdata(np.where(np.isnan(expected), np.inf, expected), axis=1)
        return np.where(np.isnan(expected), np.nan, (ranks - 1.0) / np.maximum(names - 1, 1))

    def realised_return(self, horizons: Sequence[int]) -> NDArray[np.float64]:
        """Log return from close(t+1) to close(t+1+h) that came.

        Returns:
            As a fraction. NaN unless the stock has rows on days t, t+1 and t+1+h.
            Shape (dates, stocks, horizons).
        """
        check_horizons(horizons)
        days = len(self.dates)
        realised = np.full((*self.present.shape, len(horizons)), np.nan)
        close = np.where(self.present, self.log_close, np.nan)
        for column, h in enumerate(horizons):
            realised[: max(days - 1 - h, 0), :, column] = (
                close[1 + h :] - close[1 : max(days - h, 1)]
            )
        realised[~self.present] = np.nan
        return realised

    def peers(self, edges: Edges = "true") -> Dense:
        """Mean of the graph channel over each stock's peers. Shape (dates, stocks)."""
        channel, listed = self.channels.graph, self.channels.listed
        if isinstance(edges, str):
            return peer_mean(channel, listed, self.true_edges)
        if isinstance(edges, np.ndarray):
            return hit_share(edges, self.true_edges) * peer_mean(channel, listed, edges)
        peers = np.zeros_like(channel)
        for day in range(len(channel)):
            found, row = edges(day), slice(day, day + 1)
            both = listed[day][self.true_edges].all(axis=0)
            share = hit_share(found, self.true_edges[:, both])
            peers[row] = share * peer_mean(channel[row], listed[row], found)
        return peers


def check_horizons(horizons: Sequence[int]) -> None:
    """Refuse horizons below one day."""
    if any(h < 1 for h in horizons):
        raise SettingsError(
            f"horizons are {tuple(horizons)}, expected trading days of at least 1. "
            "Leave out the others."
        )


def make_market(
    size: SizeName = "tiny", *, seed: int = 0, signals: Signals | None = None
) -> Market:
    """Draw a market. The same size and seed give the same noise whatever the signals.

    Args:
        size: `tiny` (64 codes, 260 days), `small` (316 codes, 2,500 days) or
            `large` (4,380 codes, 2,500 days, 10.6 million rows).
        seed: Of all draws.
        signals: Strengths; by default all four are on.

    Raises:
        SettingsError: The size is none of the three.

    Example:
        >>> market = make_market("tiny", seed=1, signals=Signals.only("newest"))
        >>> market.prices.columns
        ['date', 'code', 'open', 'high', 'low', 'close', 'volume']
        >>> market.expected_return((1, 5)).shape
        (260, 64, 2)
    """
    if size not in SIZES:
        raise SettingsError(
            f"size is {size!r}, expected one of {', '.join(SIZES)}. Choose one of these."
        )
    signals = Signals() if signals is None else signals
    # One stream per part: a part that draws more leaves the others alone.
    calendar, people, weather, states, shocks, bars = np.random.default_rng(seed).spawn(6)
    dates = draw_dates(calendar, SIZES[size].days)
    universe = draw_universe(people, SIZES[size])
    codes = np.array([str(1001 + 2 * stock) for stock in range(SIZES[size].codes)])
    channels = draw_channels(states, universe)
    climate = draw_climate(weather, len(dates))
    source, target = np.nonzero(universe.cluster[:, None] == universe.cluster)
    true_edges = np.stack([source, target])[:, source != target]

    peers = peer_mean(channels.graph, channels.listed, true_edges)
    log_return = draw_noise(shocks, universe, channels.width, climate).astype(np.float64)
    log_return[1:] += expected_sum(channels, signals, peers, first=1, last=1)[:-1]
    day_bars = draw_bars(bars, log_return, channels, climate)
    return Market(
        dates=dates,
        codes=codes,
        prices=price_frame(dates, codes, universe.present, day_bars),
        sectors=sector_frame(dates, codes, universe),
        index=index_frame(dates, log_return, universe.listed),
        present=universe.present,
        true_edges=true_edges,
        log_close=np.log(day_bars.close),
        channels=channels,
        signals=signals,
    )
