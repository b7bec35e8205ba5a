"""What the embedded market plants: four signals, their channels, the exact expectation.

Write u for a trading day, i for a stock and SCALE for the spread of a day's noise. The log
return from close(u-1) to close(u) is

    r[i, u] = m[i, u-1] + noise[i, u]
    m[i, u] / SCALE = newest  * x[i, u]
                    + pattern * g[i, u+1-LAG]
                    + graph   * sqrt(PEERS) * mean(c[j, u] for the peers j of i)
                    + static  * sign[i] * q[i, u]

with four channels of unit spread, independent of each other and of the noise: x, c and q are
AR(1) over days (PHI_NEWEST, PHI_GRAPH, PHI_STATIC), independent between stocks, and g is
white. Peers are the other listed stocks of the same cluster. So, given the days up to t,

    E[r[t+j]] / SCALE = newest * PHI_NEWEST**(j-1) * x[t] + pattern * g[t+j-LAG] if j <= LAG
                      + graph * PHI_GRAPH**(j-1) * sqrt(PEERS) * mean(c[t]) + ...

Each channel can be read from the bars: x is the log volume beside its slow mean, g the
overnight gap, c the close's place in the day's range, q the width of that range.

The expectation takes today's peers for the peers of the days ahead: it is exact but for the
few stocks one of whose peers lists or delists within the horizon.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from flatline.errors import SettingsError

__all__ = ["Channels", "Signals"]

SCALE = 0.012
LAG = 7
PEERS = 8
PHI_NEWEST, PHI_GRAPH, PHI_STATIC = 0.75, 0.9, 0.9

Dense = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Signals:
    """Strength of each planted signal: about the IC it gives one day on.

    Args:
        newest: Read from the newest day's volume.
        pattern: The overnight gap of LAG days before the return it drives.
        graph: The peers' mean place of the close in the day's range.
        static: The day's range, upwards in one segment and downwards in the others.

    Raises:
        SettingsError: A strength is not finite.

    Example:
        >>> Signals.only("graph")
        Signals(newest=0.0, pattern=0.0, graph=0.08, static=0.0)
        >>> Signals.only() == Signals(0.0, 0.0, 0.0, 0.0)
        True
    """

    newest: float = 0.085
    pattern: float = 0.07
    graph: float = 0.08
    static: float = 0.08

    def __post_init__(self) -> None:
        for name in SIGNALS:
            strength = getattr(self, name)
            if not math.isfinite(strength):
                raise SettingsError(
                    f"{name} is {strength}, expected a finite strength. Use 0 to switch it off."
                )

    @classmethod
    def only(cls, *names: str) -> Signals:
        """The named signals at their default strength, all others off.

        Raises:
            SettingsError: A name is none of the signals.
        """
        for name in names:
            if name not in SIGNALS:
                raise SettingsError(
                    f"signal is {name!r}, expected one of {', '.join(SIGNALS)}. Correct the name."
                )
        default = cls()
        return cls(**{name: getattr(default, name) * (name in names) for name in SIGNALS})


SIGNALS = tuple(field.name for field in fields(Signals))


@dataclass(frozen=True, slots=True, eq=False)
class Channels:
    """The states that carry the signals, on listed and unlisted days alike.

    Args:
        newest: Shape (dates, stocks), unit spread, AR(1).
        gap: Shape (dates, stocks), unit spread, white.
        graph: Shape (dates, stocks), unit spread, AR(1).
        width: Shape (dates, stocks), unit spread, AR(1).
        sign: 1 or -1 by segment. Shape (stocks,).
        listed: True from a stock's first day to its last, suspensions included.
            Shape (dates, stocks).
    """

    newest: Dense
    gap: Dense
    graph: Dense
    width: Dense
    sign: Dense
    listed: NDArray[np.bool_]


def peer_mean(
    channel: Dense, listed: NDArray[np.bool_], edges: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Mean of *channel* over each stock's listed sources, 0 where it has none.

    Args:
        channel: Shape (days, stocks).
        listed: Shape (days, stocks).
        edges: Source and target of every edge. Shape (2, edges).

    Returns:
        Shape (days, stocks).
    """
    stocks = channel.shape[1]
    ones = np.ones(edges.shape[1], dtype=np.float32)
    into = sparse.csr_array((ones, (edges[0], edges[1])), shape=(stocks, stocks))
    known = listed.astype(np.float32)
    total: Dense = (channel * known) @ into
    names: Dense = known @ into
    # A stock without listed peers has a total of 0: divide it by 1.
    return np.divide(total, np.maximum(names, 1.0), dtype=np.float32)


def hit_share(found: NDArray[np.int64], true: NDArray[np.int64]) -> float:
    """Share of the *true* edges that are among the *found* ones, as a fraction.

    It is also what the peers' mean over the found edges is worth: with channels
    independent between stocks, the regression of the true peers' mean on the found peers'
    mean has the slope (true peers found) / (true peers).
    """
    stocks = 1 + max(int(found.max(initial=-1)), int(true.max(initial=-1)))
    hits = np.isin(true[0] * stocks + true[1], found[0] * stocks + found[1])
    return float(hits.mean()) if hits.size else 0.0


def expected_sum(
    channels: Channels, signals: Signals, peers: Dense, *, first: int, last: int
) -> NDArray[np.float64]:
    """Expected log return of days t+first to t+last, given the days up to t.

    Args:
        channels: What the expectation is read from.
        signals: Strengths.
        peers: Mean of the graph channel over each stock's peers. Shape (dates, stocks).
        first: First day counted, at least 1.
        last: Last day counted, at least *first*.

    Returns:
        As a fraction: 0.01 is one percent. Shape (dates, stocks).
    """

    def decay(phi: float) -> float:
        return (phi ** (first - 1) - phi**last) / (1.0 - phi)

    mean = np.zeros(peers.shape)
    if signals.newest:
        mean += signals.newest * decay(PHI_NEWEST) * channels.newest
    if signals.graph:
        mean += signals.graph * decay(PHI_GRAPH) * math.sqrt(PEERS) * peers
    if signals.static:
        mean += signals.static * decay(PHI_STATIC) * channels.sign * channels.width
    if signals.pattern:
        for ahead in range(first, min(last, LAG) + 1):
            back = LAG - ahead
            mean[back:] += signals.pattern * channels.gap[: len(mean) - back]
    mean *= SCALE
    return mean
