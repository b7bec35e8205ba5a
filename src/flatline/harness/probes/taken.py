"""Batches laid out by day and stock, so that those of two runs can be held side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from flatline.errors import ShapeError
from flatline.harness.inputs import Input, Role, inputs_of
from flatline.harness.pipeline import Pipeline
from flatline.harness.probes.rows import columns_of, laid_out
from flatline.harness.subject import Subject
from flatline.harness.trees import leaves, read

__all__ = ["Moved", "Taken", "moved", "take_rows"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Of a column's spread: what rounding may change, and an intervention on prices goes far beyond.
ROUNDING = 1e-4
# Stocks are numbered below this, so that day and stock make one key.
MOST_STOCKS = 1 << 31


@dataclass(frozen=True, slots=True, eq=False)
class Taken:
    """All rows of some splits.

    Args:
        split: Position of each row's split among those that were read. Shape (rows,).
        day: Position of each row's date among the dates of the prices. Shape (rows,).
        stock: Which stock. Shape (rows,).
        values: Windows and what has none, NaN where unknown. Shape (rows, steps, columns),
            one array per input.
        names: Of the columns of each input.
        labels: NaN where not known. Shape (rows, horizons).
        edges: Day, stock at the source, stock at the target of each edge, and its
            attributes. Shape (edges, 3 + attributes); None without a graph.
        units: Spread of the columns of each input.
    """

    split: Ints
    day: Ints
    stock: Ints
    values: tuple[NDArray[np.float32], ...]
    names: tuple[tuple[str, ...], ...]
    labels: Floats
    edges: Floats | None
    units: tuple[Floats, ...]

    @property
    def key(self) -> Ints:
        """One number for each day and stock. Shape (rows,)."""
        return self.day * MOST_STOCKS + self.stock


@dataclass(frozen=True, slots=True, eq=False)
class Moved:
    """What differs between two runs.

    Args:
        days: All days that were compared. Shape (days,).
        columns: By name, the days on which the column differs.
        crooked: The same of columns that differ on most days, less the days on which their
            newest step differs by no more than another unit and another zero.
        rows: Days on which the rows are not those of the same stocks.
        edges: Days on which the edges or their attributes differ.
        labels: For each horizon, the days on which its labels differ.
        moves: How far the labels of each of *days* differ at most. Shape (days, horizons).
        splits: For each split that was read, whether any of its labels differ.
    """

    days: Ints
    columns: dict[str, Ints]
    crooked: dict[str, Ints]
    rows: Ints
    edges: Ints
    labels: tuple[Ints, ...]
    moves: Floats
    splits: tuple[bool, ...]


def take_rows(subject: Subject, pipeline: Pipeline, prices: Any, splits: Sequence[str]) -> Taken:  # noqa: ANN401
    """The batches of these splits, made of these prices.

    Args:
        subject: Says what the tensors of a batch are.
        pipeline: Makes the batches.
        prices: As those of the pipeline.
        splits: In the order in which they are read.
    """
    made, calendar = pipeline.make(prices), pipeline.calendar()
    parts = [
        _part(subject, pipeline, calendar, batch) | {"split": at}
        for at, split in enumerate(splits)
        for batch in made(split)
    ]
    if not parts:
        raise ShapeError(
            f"pipeline of subject {subject.name!r} gives 0 batches for {list(splits)}, expected "
            "some. Give prices of more days, or name other splits."
        )
    return _joined(parts)


def moved(before: Taken, after: Taken, *, until: int) -> Moved:
    """What differs between two runs on days up to the *until*-th date."""
    here, there = np.flatnonzero(before.day <= until), np.flatnonzero(after.day <= until)
    old, new = before.key[here], after.key[there]
    lost = np.setxor1d(old, new) // MOST_STOCKS
    _, first, second = np.intersect1d(old, new, return_indices=True)
    a, b = here[first], there[second]
    day = before.day[a]
    days = np.unique(before.day[here])
    columns: dict[str, Ints] = {}
    crooked: dict[str, Ints] = {}
    inputs = zip(before.names, before.values, after.values, before.units, strict=True)
    for names, x, y, unit in inputs:
        differs = np.asarray(_differs(x[a], y[b], unit).any(1))
        columns |= {
            name: np.unique(day[differs[:, i]])
            for i, name in enumerate(names)
            if differs[:, i].any()
        }
        broad = [i for i, name in enumerate(names) if len(columns.get(name, ())) > len(days) / 2]
        for i in broad:
            bent = _bent(x[a, -1, i], y[b, -1, i], float(unit[i]))
            crooked[names[i]] = np.unique(day[bent])
    labels = _differs(before.labels[a], after.labels[b], _spread(before.labels))
    splits = [bool(labels[before.split[a] == i].any()) for i in range(int(before.split.max()) + 1)]
    away = np.nan_to_num(np.abs(before.labels[a] - after.labels[b]))
    moves = np.zeros((len(days), away.shape[1]))
    np.maximum.at(moves, np.searchsorted(days, day), away)
    return Moved(
        days=days,
        columns=columns,
        crooked=crooked,
        rows=np.unique(lost),
        edges=_edge_days(before.edges, after.edges, until),
        labels=tuple(np.unique(day[column]) for column in labels.T),
        moves=moves,
        splits=tuple(splits),
    )


def _bent(x: NDArray[np.float32], y: NDArray[np.float32], unit: float) -> NDArray[Any]:
    """Rows that lie off the line which most others lie on: (rows,)."""
    old, new = x.astype(np.float64), y.astype(np.float64)
    # What was not known and filled with the same number is on no line.
    known = np.isfinite(old) & np.isfinite(new) & (old != new)
    for side in (old, new):
        for bound in (np.nanmin(side), np.nanmax(side)):
            # Nor is what was cut off at a bound, which several rows then share.
            known &= (side != bound) | ((side == bound).sum() == 1)
    if known.sum() < 3 or not np.ptp(old[known]) > 0:
        return np.zeros(len(x), dtype=np.bool_)
    away = np.abs(new - old)
    usual = known & (away <= np.quantile(away[known], 0.9))
    slope, zero = np.polyfit(old[usual], new[usual], 1)
    off = np.abs(new - (slope * old + zero)) > 100 * ROUNDING * unit
    return np.asarray(known & off)


def _part(
    subject: Subject, pipeline: Pipeline, calendar: pl.Series, batch: tuple[Any, Any]
) -> dict[str, Any]:
    inputs, targets = batch
    parts = inputs_of(subject, inputs)
    by_row = [part for part in parts if part.role == Role.ROWS]
    raw = subject.day_of(inputs).cpu().numpy().astype(np.int64)
    day, stock = pipeline.positions(raw, calendar), _stocks(pipeline, inputs, raw)
    return {
        "day": day,
        "stock": stock,
        "values": [laid_out(part, inputs).float().numpy() for part in by_row],
        "names": tuple(tuple(columns_of(subject, part)) for part in by_row),
        "labels": _labels(subject, targets, len(raw)),
        "edges": _edges(parts, inputs, day, stock),
    }


def _joined(parts: list[dict[str, Any]]) -> Taken:
    lengths = [len(part["day"]) for part in parts]
    edges = [part["edges"] for part in parts if part["edges"] is not None]
    table = np.concatenate(edges) if edges else None
    values = tuple(np.concatenate(x) for x in zip(*(p["values"] for p in parts), strict=True))
    return Taken(
        split=np.repeat([part["split"] for part in parts], lengths).astype(np.int64),
        day=np.concatenate([part["day"] for part in parts]),
        stock=np.concatenate([part["stock"] for part in parts]),
        values=values,
        names=parts[0]["names"],
        labels=np.concatenate([part["labels"] for part in parts]),
        edges=table,
        units=tuple(_spread(x) for x in values),
    )


def _stocks(pipeline: Pipeline, inputs: Any, day: Ints) -> Ints:  # noqa: ANN401
    if pipeline.stocks is not None:
        return pipeline.stocks(inputs).cpu().numpy().astype(np.int64)
    named = dict(leaves(inputs)).get("stock_id")
    if named is not None:
        return named.cpu().numpy().astype(np.int64)
    order = np.argsort(day, kind="stable")
    starts = np.flatnonzero(np.diff(day[order], prepend=day[order][0] - 1))
    place = np.arange(len(day)) - np.repeat(starts, np.diff(starts, append=len(day)))
    slot = np.empty_like(day)
    slot[order] = place
    return slot


def _labels(subject: Subject, targets: Any, rows: int) -> Floats:  # noqa: ANN401
    """The labels of a batch, whose scores are not known: every float tensor by rows."""
    found = [targets] if subject.labels is None else [subject.labels(targets)]
    tensors = [x for tree in found for _, x in leaves(tree) if x.ndim and x.shape[0] == rows]
    columns = [x.reshape(rows, -1) for x in tensors]
    masks = [x for x in columns if x.dtype == torch.bool]
    values = [x for x in columns if x.is_floating_point()]
    if not values:
        return np.empty((rows, 0))
    known = [m for m in masks if m.shape == values[0].shape]
    label = values[0].detach().cpu().double().numpy()
    return np.where(known[0].cpu().numpy(), label, np.nan) if len(known) == 1 else label


def _edges(parts: Sequence[Input], inputs: Any, day: Ints, stock: Ints) -> Floats | None:  # noqa: ANN401
    ends = [read(inputs, part.path) for part in parts if part.role == Role.EDGES]
    if not ends:
        return None
    source, target = ends[0].cpu().numpy()
    named = [day[target], stock[source], stock[target]]
    attributes = [
        read(inputs, part.path).detach().cpu().double().reshape(len(source), -1).numpy()
        for part in parts
        if part.role == Role.EDGE_ATTRIBUTES
    ]
    return np.concatenate([np.stack(named, 1).astype(np.float64), *attributes], axis=1)


def _edge_days(before: Floats | None, after: Floats | None, until: int) -> Ints:
    """Days whose edges or attributes differ."""
    if before is None or after is None:
        return np.empty(0, dtype=np.int64)
    a, b = before[before[:, 0] <= until], after[after[:, 0] <= until]
    stocks = int(max(x[:, 1:3].max(initial=0) for x in (a, b))) + 1
    old, new = _edge_keys(a, stocks), _edge_keys(b, stocks)
    _, first, second = np.intersect1d(old, new, return_indices=True)
    differs = (np.abs(a[first, 3:] - b[second, 3:]) > ROUNDING).any(1)
    wrong = np.concatenate([np.setxor1d(old, new), old[first[differs]]])
    return np.unique(wrong // (stocks * stocks))


def _edge_keys(edges: Floats, stocks: int) -> Ints:
    """One number for each day, source and target: (edges,)."""
    day, source, target = edges[:, :3].T.astype(np.int64)
    return np.asarray((day * stocks + source) * stocks + target)


def _spread(x: NDArray[Any]) -> Floats:
    """Spread of each column over all rows and steps; 1 where there is none. Shape (columns,)."""
    # The newest step tells: a unit need not be exact.
    flat = (x[:, -1] if x.ndim == 3 else x).astype(np.float64)
    known = np.isfinite(flat)
    rows = np.maximum(known.sum(0), 1)
    mean = np.where(known, flat, 0.0).sum(0) / rows
    spread = np.sqrt((np.where(known, flat - mean, 0.0) ** 2).sum(0) / rows)
    return np.where(spread > 0, spread, 1.0)


def _differs(x: NDArray[Any], y: NDArray[Any], unit: Floats) -> NDArray[Any]:
    with np.errstate(invalid="ignore"):
        apart = np.abs(x - y) > (ROUNDING * unit).astype(x.dtype)
    return np.asarray(apart | (np.isnan(x) != np.isnan(y)))
