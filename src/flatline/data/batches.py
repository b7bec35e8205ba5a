"""Day batches: slices of whole days out of a panel, as tensors.

A `DayBatches` is handed to a training loop as its loader. It cuts windows out
of the panel's arrays when they are asked for and holds no copy of them, so a
memory-mapped panel is read only where its days are visited. It remembers how
many batches it handed out: `state_dict` and `load_state_dict` resume a pass at
the very batch where it stopped.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple, Protocol, Self, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from flatline.batch import DayBatch, Labels
from flatline.data.panel import Panel
from flatline.data.within_day import day_rank, day_zscore
from flatline.errors import ArtifactError, SettingsError

__all__ = ["DayBatches", "EdgeSource", "TargetScale", "static_names"]

TargetScale = Literal["raw", "zscore", "rank"]


class EdgeSource(Protocol):
    """Anything that can say which stocks of a day are joined."""

    def edges(
        self, day: int, stocks: NDArray[np.integer]
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Edges as positions in *stocks*, (2, edges), and their attributes."""
        ...


class _Day(NamedTuple):
    """What one day adds to a batch."""

    features: NDArray[np.float32]
    stocks: NDArray[np.int64]
    target: NDArray[np.float64]
    static: NDArray[np.float32]
    edge_index: NDArray[np.int64]
    edge_attr: NDArray[np.float32]


def static_names(panel: Panel) -> tuple[str, ...]:
    """Names of the columns of `static_features`: every level of every attribute, and unknown."""
    return tuple(
        f"{name}={level}"
        for name, attribute in panel.attributes.items()
        for level in (*attribute.levels, "unknown")
    )


class DayBatches:
    """Batches of whole days, with what happened beside them.

    The rows of a day are the stocks that are present on it and on at least
    *min_present* of its window. Features that are unknown are filled with 0,
    which is the neutral value after every normaliser but `raw`. Days whose
    window would begin before the panel, or that have no row, are listed in
    `skipped`.

    With *shuffle* each pass draws a new order of the days from the seed and
    the epoch; the pass after a complete one is the next epoch, and `set_epoch`
    chooses one. Without it the days come as given and every pass is the same.

    Args:
        panel: Normalised features, targets, attributes.
        days: Positions of the days in the panel's dates. Shape (days,), integer.
        lookback: Steps of a window, the day itself being the newest.
        days_per_batch: Whole days in a batch; the last one of a pass may have fewer.
        edges: Joins the stocks of each day; no edges in the batch if None.
        target: Labels as returns, or standardised across the day's labelled
            rows: "zscore" by their mean and standard deviation, "rank" as
            average ranks between -1 and 1. On a day where that is undefined
            (one label, or all equal) no label is known.
        shuffle: Draw the order of the days anew each epoch.
        seed: Of the order and of the sampled stocks.
        max_stocks: Rows of a day at most, drawn anew each epoch if shuffled.
            Labels and edges are then those of the sample, not of the full day.
        min_present: Share of the window's steps on which a stock must be present.

    Raises:
        SettingsError: A number is out of range, or no day is left.

    Example:
        >>> from flatline.data import build_panel, holdout, make_market, make_normaliser
        >>> from flatline.data import EdgeBuilder, prices_from_frame
        >>> market = make_market("tiny")
        >>> raw = build_panel(prices_from_frame(market.prices, sectors=market.sectors))
        >>> fold = holdout(raw, valid=0.2)
        >>> panel = make_normaliser("day_zscore").fit(raw, fold.train).apply(raw)
        >>> loader = DayBatches(panel, fold.train, lookback=20, edges=EdgeBuilder(panel))
        >>> batch, labels = next(iter(loader))
        >>> batch["features"].shape[1:], batch["group_day"].unique(), labels.value.shape[1]
        (torch.Size([20, 32]), tensor([19]), 4)
    """

    # Lightning asks for it wherever it finds a sampler.
    batch_sampler: None = None

    def __init__(
        self,
        panel: Panel,
        days: Sequence[int] | NDArray[np.integer],
        *,
        lookback: int,
        days_per_batch: int = 1,
        edges: EdgeSource | None = None,
        target: TargetScale = "zscore",
        shuffle: bool = False,
        seed: int = 0,
        max_stocks: int | None = None,
        min_present: float = 0.5,
    ) -> None:
        rules = {
            "lookback": (lookback >= 1, lookback, "at least 1 step"),
            "days_per_batch": (days_per_batch >= 1, days_per_batch, "at least 1 day"),
            "max_stocks": (max_stocks is None or max_stocks >= 1, max_stocks, "at least 1 stock"),
            "min_present": (0.0 <= min_present <= 1.0, min_present, "a share from 0 to 1"),
            "target": (target in get_args(TargetScale), target, "raw, zscore or rank"),
            "seed": (seed >= 0, seed, "at least 0"),
        }
        for name, (holds, value, rule) in rules.items():
            if not holds:
                raise SettingsError(f"{name} is {value!r}, expected {rule}. Choose another.")
        self.panel = panel
        self.lookback = lookback
        self.days_per_batch = days_per_batch
        self.target = target
        self.shuffle = shuffle
        self.seed = seed
        self.max_stocks = max_stocks
        self._edges = edges
        self._least_present = max(1, math.ceil(min_present * lookback))
        self._one_hot = [
            np.eye(len(attribute.levels) + 1, dtype=np.float32)
            for attribute in panel.attributes.values()
        ]
        wanted = np.asarray(days, dtype=np.int64)
        usable = self._usable(wanted)
        self.days = wanted[usable]
        self.skipped = wanted[~usable]
        if self.days.size == 0:
            raise SettingsError(
                f"days with a full window of {lookback} steps is 0 of {wanted.size}, expected at "
                "least one. Use later days, a shorter lookback, or a lower min_present."
            )
        self.epoch = 0
        self._position = 0
        self._resume_at = 0

    def __len__(self) -> int:
        """Batches of a pass."""
        return math.ceil(len(self.days) / self.days_per_batch)

    def __iter__(self) -> Iterator[tuple[DayBatch, Labels]]:
        start, self._resume_at = self._resume_at, 0
        if self.shuffle and self._position >= len(self):
            self.epoch += 1
        order = self._order()
        for batch in range(start, len(self)):
            # Counted before it is handed out: a checkpoint taken while the
            # batch is in use resumes behind it.
            self._position = batch + 1
            first = batch * self.days_per_batch
            yield self._batch(order[first : first + self.days_per_batch])

    def rows(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Day and stock of every row of a pass at this epoch, in order; reads no feature."""
        order = self._order()
        stocks = [self._sample(day, self._stocks(day)) for day in order.tolist()]
        return np.repeat(order, [len(found) for found in stocks]), np.concatenate(stocks)

    @property
    def sampler(self) -> Self:
        """Itself: Lightning calls `loader.sampler.set_epoch` before each epoch."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of the next pass; a resumed pass of that epoch goes on."""
        if epoch != self.epoch or self._position >= len(self):
            self._position = self._resume_at = 0
        self.epoch = epoch

    def state_dict(self) -> dict[str, int]:
        """Where the pass stands: its epoch, the batches handed out, and of which loader."""
        return {"epoch": self.epoch, "position": self._position, "of": self._fingerprint()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where `state_dict` was taken: the next pass begins at that batch.

        Raises:
            ArtifactError: The state is of a loader with other days, batches, order or seed.
        """
        if state.get("of") != self._fingerprint():
            raise ArtifactError(
                f"loader state is of {state.get('of')}, expected {self._fingerprint()}. "
                "Resume with the same days, batch size, seed and sampling."
            )
        self.epoch = int(state["epoch"])
        self._position = int(state["position"])
        self._resume_at = self._position if self._position < len(self) else 0

    def _fingerprint(self) -> int:
        setup = (self.lookback, self.days_per_batch, self.shuffle, self.seed, self.max_stocks)
        return zlib.crc32(self.days.tobytes(), zlib.crc32(repr(setup).encode()))

    def _order(self) -> NDArray[np.int64]:
        if not self.shuffle:
            return self.days
        return np.random.default_rng([self.seed, self.epoch]).permutation(self.days)

    def _usable(self, days: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Days inside the panel with a whole window and at least one row: (days,) bool."""
        count = len(self.panel.dates)
        if days.size and not 0 <= days.min() <= days.max() < count:
            raise SettingsError(
                f"days reach from {days.min()} to {days.max()}, expected 0 to {count - 1}. "
                "Take them from a Fold of this panel."
            )
        rows = [day >= self.lookback - 1 and self._stocks(day).size > 0 for day in days.tolist()]
        return np.array(rows, dtype=np.bool_)

    def _stocks(self, day: int) -> NDArray[np.int64]:
        """Positions of the stocks with a row on *day*, ascending."""
        window = self.panel.present[day - self.lookback + 1 : day + 1]
        return np.flatnonzero(window[-1] & (window.sum(axis=0) >= self._least_present))

    def _sample(self, day: int, stocks: NDArray[np.int64]) -> NDArray[np.int64]:
        if self.max_stocks is None or stocks.size <= self.max_stocks:
            return stocks
        # A pass that is not shuffled is an evaluation: its sample must not move.
        epoch = self.epoch if self.shuffle else 0
        rng = np.random.default_rng([self.seed, epoch, day + 1])
        return np.sort(rng.choice(stocks, self.max_stocks, replace=False))

    def _day(self, day: int) -> _Day:
        stocks = self._sample(day, self._stocks(day))
        window = self.panel.features[day - self.lookback + 1 : day + 1]
        target = self.panel.target[day, stocks][None].astype(np.float64)
        if self.target == "zscore":
            target = day_zscore(target)
        elif self.target == "rank":
            target = day_rank(target)
        codes = [attribute.code[day, stocks] for attribute in self.panel.attributes.values()]
        # The code of the unknown, -1, finds the last row: the level named unknown.
        static = [eye[code] for eye, code in zip(self._one_hot, codes, strict=True)]
        none = np.empty((stocks.size, 0), dtype=np.float32)
        index, attributes = np.empty((2, 0), dtype=np.int64), np.empty((0, 0), dtype=np.float32)
        if self._edges is not None:
            index, attributes = self._edges.edges(day, stocks)
        # Picked along the transposed axis: the one copy of the window. Filled by
        # numpy: waking torch's threads for it costs more than the work.
        features = window.transpose(1, 0, 2)[stocks]
        np.putmask(features, np.isnan(features), 0.0)
        return _Day(
            features=features,
            stocks=stocks,
            target=target[0],
            static=np.concatenate([none, *static], axis=1),
            edge_index=index,
            edge_attr=attributes,
        )

    def _batch(self, days: NDArray[np.int64]) -> tuple[DayBatch, Labels]:
        parts = [self._day(day) for day in days.tolist()]
        rows = np.array([part.stocks.size for part in parts])
        batch = DayBatch(
            features=_tensor([part.features for part in parts]),
            group_day=torch.from_numpy(np.repeat(days, rows)),
            stock_id=_tensor([part.stocks for part in parts]),
        )
        if self._one_hot:
            batch["static_features"] = _tensor([part.static for part in parts])
        if self._edges is not None:
            first = np.cumsum(rows) - rows
            moved = [part.edge_index + at for part, at in zip(parts, first, strict=True)]
            batch["edge_index"] = _tensor(moved, axis=1)
            batch["edge_attr"] = _tensor([part.edge_attr for part in parts])
        value = _tensor([part.target for part in parts]).to(torch.float32)
        return batch, Labels(value, torch.isfinite(value))


def _tensor(parts: list[NDArray[Any]], axis: int = 0) -> Tensor:
    """Days joined into one tensor; a single day is not copied again."""
    return torch.from_numpy(parts[0] if len(parts) == 1 else np.concatenate(parts, axis=axis))
