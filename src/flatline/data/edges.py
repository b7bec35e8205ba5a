"""Edges between the stocks of a day: who has moved with whom of late, and who shares a sector.

The graph of day t uses returns up to the last rebuild day at or before t, and
nothing later. Edges run from the neighbour (source) to the stock that listens
to it (target), and index the positions of the stocks they were asked for.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from flatline.data.panel import Panel
from flatline.data.within_day import FLAT
from flatline.errors import DataError, SettingsError

__all__ = ["EDGE_ATTRIBUTES", "EdgeBuilder"]

EDGE_ATTRIBUTES = ("correlation", "same_sector", "same_segment")
# Rows of the correlation matrix held at a time.
BLOCK_ROWS = 512


class _Graph(NamedTuple):
    """Edges into the ascending stocks of a universe, 12 bytes each."""

    source: NDArray[np.int32]
    target: NDArray[np.int32]
    correlation: NDArray[np.float32]

    @property
    def nbytes(self) -> int:
        return self.source.nbytes + self.target.nbytes + self.correlation.nbytes


class EdgeBuilder:
    """Edges of a day among any stocks of a panel.

    Every stock listens to its *neighbours* most correlated stocks, and to the
    *same_sector* most correlated ones of its own sector; a pair found both ways
    is one edge. The correlation is that of daily returns over the trailing
    *window*, with unknown returns held at the stock's mean, which shrinks the
    correlation of stocks with gaps towards 0. A stock with fewer known returns
    than *min_observations*, or with returns that never move, has no edges.

    Args:
        panel: Gives `daily_return` and, in `attributes`, `sector` and `segment`.
        neighbours: Most correlated stocks that each stock listens to.
        window: Trailing days of returns, the rebuild day included.
        rebuild_every: Days from one rebuild to the next, counted from the panel's first day.
        same_sector: Most correlated stocks of the own sector; 4 if the panel
            has sectors and 0 otherwise when None.
        min_observations: Known returns a stock needs; half the window if None.
        cache_bytes: Memory for graphs already built; the least recently used go first.

    Raises:
        SettingsError: A number is out of range, or sectors are asked for that
            the panel does not have.

    References:
        Mantegna, Hierarchical structure in financial markets, 1999, eq. 1.
    """

    def __init__(
        self,
        panel: Panel,
        *,
        neighbours: int = 8,
        window: int = 60,
        rebuild_every: int = 5,
        same_sector: int | None = None,
        min_observations: int | None = None,
        cache_bytes: int = 256 * 2**20,
    ) -> None:
        has_sectors = "sector" in panel.attributes
        self.neighbours = neighbours
        self.window = window
        self.rebuild_every = rebuild_every
        self.same_sector = (4 if has_sectors else 0) if same_sector is None else same_sector
        self.min_observations = window // 2 if min_observations is None else min_observations
        rules = {
            "neighbours": (neighbours >= 0, "at least 0 stocks"),
            "same_sector": (self.same_sector >= 0, "at least 0 stocks"),
            "neighbours + same_sector": (neighbours + self.same_sector > 0, "at least one stock"),
            "window": (window >= 3, "at least 3 days"),
            "rebuild_every": (rebuild_every >= 1, "at least 1 day"),
            "min_observations": (2 <= self.min_observations <= window, "from 2 to the window"),
        }
        for name, (holds, rule) in rules.items():
            if not holds:
                value = getattr(self, name, 0)
                raise SettingsError(f"{name} is {value}, expected {rule}. Choose another.")
        if self.same_sector and not has_sectors:
            raise SettingsError(
                f"same_sector is {self.same_sector}, expected 0 for a panel without sectors. "
                "Read a sector table with the prices, or set it to 0."
            )
        self._panel = panel
        self._cache: OrderedDict[tuple[int, bytes], _Graph] = OrderedDict()
        self._cache_bytes = cache_bytes
        self._cached_bytes = 0

    def rebuild_day(self, day: int) -> int:
        """The day whose close is the last that the graph of *day* knows."""
        return day - day % self.rebuild_every

    def edges(
        self, day: int, stocks: NDArray[np.integer]
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Edges of a day among these stocks, in any order.

        Args:
            day: Position in the panel's dates.
            stocks: Positions in the panel's codes, each once. Shape (stocks,), integer.

        Returns:
            Source and target of each edge as positions in *stocks*, (2, edges)
            int64; and its attributes in the order of `EDGE_ATTRIBUTES`,
            (edges, 3) float32: the correlation, then 1 or 0 for a sector and a
            segment known on the rebuild day and shared.

        Raises:
            DataError: The day is outside the panel, or a stock is, or comes twice.
        """
        asked: NDArray[np.int64] = np.asarray(stocks, dtype=np.int64)
        order = np.argsort(asked, kind="stable")
        universe = asked[order]
        self._check(day, universe)
        anchor = self.rebuild_day(day)
        graph = self._cached(anchor, universe)
        index = np.stack([order[graph.source], order[graph.target]])
        attributes = np.stack(
            [
                graph.correlation,
                self._shared("sector", anchor, asked, index),
                self._shared("segment", anchor, asked, index),
            ],
            axis=1,
        )
        return index, attributes

    def _check(self, day: int, universe: NDArray[np.int64]) -> None:
        if not 0 <= day < len(self._panel.dates):
            raise DataError(
                f"day is {day}, expected 0 to {len(self._panel.dates) - 1}. "
                "Give a position in the dates of the panel the edges were made for."
            )
        if universe.size and (universe[0] < 0 or universe[-1] >= len(self._panel.codes)):
            raise DataError(
                f"stocks reach from {universe[0]} to {universe[-1]}, expected 0 to "
                f"{len(self._panel.codes) - 1}. Give positions in the panel's codes."
            )
        if (universe[1:] == universe[:-1]).any():
            raise DataError("stocks has one of them twice, expected each once. Drop the copy.")

    def _cached(self, anchor: int, universe: NDArray[np.int64]) -> _Graph:
        # The universe is part of the key: positions of one mean nothing in another.
        key = (anchor, hashlib.blake2b(universe.tobytes(), digest_size=16).digest())
        graph = self._cache.pop(key, None)
        if graph is None:
            graph = self._build(anchor, universe)
            self._cached_bytes += graph.nbytes
        self._cache[key] = graph
        while self._cached_bytes > self._cache_bytes:
            self._cached_bytes -= self._cache.popitem(last=False)[1].nbytes
        return graph

    def _build(self, anchor: int, universe: NDArray[np.int64]) -> _Graph:
        start = max(anchor - self.window + 1, 0)
        returns = self._panel.daily_return[start : anchor + 1][:, universe]
        unit, linked = _unit_returns(returns, self.min_observations)
        target, source, value = _nearest(unit, self.neighbours)
        if self.same_sector:
            sector = self._panel.attributes["sector"].code[anchor, universe[linked]]
            parts = [(target, source, value), *_nearest_in_groups(unit, sector, self.same_sector)]
            target, source, value = (torch.cat(column) for column in zip(*parts, strict=True))
        # One edge for a pair found both ways, in the order of the targets.
        pair = (target * len(unit) + source).numpy()
        kept = np.unique(pair, return_index=True)[1]
        return _Graph(
            linked[source.numpy()[kept]].astype(np.int32),
            linked[target.numpy()[kept]].astype(np.int32),
            value.numpy()[kept].clip(-1.0, 1.0),
        )

    def _shared(
        self, name: str, day: int, stocks: NDArray[np.int64], index: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        attribute = self._panel.attributes.get(name)
        if attribute is None:
            return np.zeros(index.shape[1], dtype=np.float32)
        source, target = attribute.code[day, stocks][index]
        shared: NDArray[np.bool_] = (source == target) & (source >= 0)
        return shared.astype(np.float32)


def _unit_returns(
    returns: NDArray[np.float32], min_observations: int
) -> tuple[Tensor, NDArray[np.int64]]:
    """Each stock's centred returns as a vector of length 1, and which stocks have one.

    Args:
        returns: NaN where unknown. Shape (days, stocks).
        min_observations: Known returns a stock needs.

    Returns:
        Vectors whose products are correlations, (linked, days); positions of
        the stocks they belong to, (linked,).
    """
    known = np.isfinite(returns)
    count = np.count_nonzero(known, axis=0)
    filled = np.where(known, returns, 0.0)
    centred = np.where(known, filled - filled.sum(axis=0) / np.maximum(count, 1), 0.0)
    length = np.sqrt(np.square(centred).sum(axis=0))
    moves = length > FLAT * np.sqrt(np.square(filled).sum(axis=0))
    linked = np.flatnonzero((count >= min_observations) & moves)
    unit = (centred[:, linked] / length[linked]).T.astype(np.float32)
    return torch.from_numpy(np.ascontiguousarray(unit)), linked


def _nearest(unit: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Target, source and correlation of each vector's *count* nearest others."""
    total = len(unit)
    count = max(min(count, total - 1), 0)
    value = unit.new_empty(total, count)
    source = torch.empty(total, count, dtype=torch.int64)
    for start in range(0, total if count else 0, BLOCK_ROWS):
        rows = slice(start, start + BLOCK_ROWS)
        correlation = unit[rows] @ unit.T
        # Nobody is their own neighbour.
        correlation.diagonal(start).fill_(-torch.inf)
        torch.topk(correlation, count, sorted=False, out=(value[rows], source[rows]))
    target = torch.arange(total).repeat_interleave(count)
    return target, source.flatten(), value.flatten()


def _nearest_in_groups(
    unit: Tensor, group: NDArray[np.int16], count: int
) -> list[tuple[Tensor, Tensor, Tensor]]:
    """`_nearest` within each group of at least two; a negative group is no group."""
    order = torch.from_numpy(np.argsort(group, kind="stable"))
    names, first = np.unique(group[order.numpy()], return_index=True)
    bounds = np.append(first, len(group))
    found = []
    # One step a sector: a few dozen small products instead of one masked large one.
    for name, start, stop in zip(names, bounds[:-1], bounds[1:], strict=True):
        if name >= 0:
            members = order[start:stop]
            target, source, value = _nearest(unit[members], count)
            found.append((members[target], members[source], value))
    return found
