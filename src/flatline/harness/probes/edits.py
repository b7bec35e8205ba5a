"""Batches with other rows in them: taken out, put in another order, changed in place."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from flatline.harness.inputs import Input, Role
from flatline.harness.trees import leaves, map_tensors, write

__all__ = [
    "Rows",
    "another_graph",
    "half_of",
    "half_the_edges",
    "spread_of",
    "traded",
    "without_edges",
]


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """The inputs of some rows, what their tensors are, and the day of each row.

    Args:
        inputs: Any nesting of tensors.
        parts: What each tensor is.
        day: Shape (rows,).
        answers: Paths of inputs that hold the same numbers as a target.
    """

    inputs: Any
    parts: tuple[Input, ...]
    day: Tensor
    answers: frozenset[str] = frozenset()

    @property
    def count(self) -> int:
        """Number of rows."""
        return self.day.numel()

    def tensors(self) -> dict[str, Tensor]:
        """The tensors by their path."""
        return dict(leaves(self.inputs))

    def edges(self) -> Tensor | None:
        """Both ends of each edge, None without a graph: (2, edges)."""
        part = next((p for p in self.parts if p.role is Role.EDGES), None)
        if part is None:
            return None
        found = self.tensors()[part.path]
        return found if part.axes[0] == "ends" else found.T

    def take(self, index: Tensor) -> Rows:
        """These rows only, in this order, and the edges between them.

        Args:
            index: Positions of rows, each at most once. Shape (rows,).
        """
        edges, place = self.edges(), torch.full_like(self.day, -1)
        place[index] = torch.arange(index.numel(), device=index.device)
        kept = None if edges is None else (place[edges] >= 0).all(0)
        by_path = {part.path: part for part in self.parts}

        def pick(path: str, x: Tensor) -> Tensor:
            part = by_path[path]
            if part.role is Role.EDGES and kept is not None:
                ends = place[edges][:, kept]
                return ends if part.axes[0] == "ends" else ends.T
            if part.role is Role.EDGE_ATTRIBUTES and kept is not None:
                return x.index_select(part.axes.index("edges"), kept.nonzero().flatten())
            axis = part.axis("rows")
            return x if axis is None else x.index_select(axis, index)

        return replace(self, inputs=map_tensors(pick, self.inputs), day=self.day[index])

    def change(self, rows: Tensor) -> Rows:
        """The same rows, of which some have other values: those of one another, and noise.

        Args:
            rows: Which of them, bool. Shape (rows,).
        """
        where = rows.nonzero().flatten()
        by_path = {part.path: part for part in self.parts}

        def replaced(path: str, x: Tensor) -> Tensor:
            part = by_path[path]
            axis = part.axis("rows")
            if axis is None or part.role not in (Role.ROWS, Role.CATEGORY):
                return x
            other = x.index_select(axis, where.roll(1))
            if part.role is Role.ROWS:
                other = other + spread_of(x, part) * torch.randn_like(other)
            return x.index_copy(axis, where, other)

        return replace(self, inputs=map_tensors(replaced, self.inputs))


def traded(x: Tensor, part: Input) -> Tensor:
    """Every row, or edge, with the values of another; noise where all have the same.

    Values stay among those that there are: a model may take a logarithm of them.
    """
    axis = part.axes.index("rows" if "rows" in part.axes else "edges")
    # No shift: of stocks in the same order every day a shift by a day would find the same ones.
    other = x.index_select(axis, _mixed(x.shape[axis]).to(x.device))
    if not x.is_floating_point():
        return other
    alike = (other == x).movedim(axis, 0).all(0, keepdim=True).movedim(0, axis)
    return torch.where(alike, x + spread_of(x, part) * torch.randn_like(x), other)


def _mixed(count: int) -> Tensor:
    """An order in which something is elsewhere, where there is more than one."""
    order = torch.randperm(count)
    return order.roll(1) if bool((order == torch.arange(count)).all()) else order


def spread_of(x: Tensor, part: Input) -> Tensor:
    """The spread of each feature over all else, 1 where it has none; of a shape to multiply by."""
    axes = [i for i, name in enumerate(part.axes) if name != "features"]
    if not axes or x.numel() == 0:
        return torch.ones_like(x)
    known = torch.nan_to_num(x.detach())
    found = known.std(axes, keepdim=True, correction=0)
    size = known.abs().amax(axes, keepdim=True)
    # What varies by rounding only is constant.
    return torch.where(found > 1e-6 * size, found, torch.where(size > 0, size, 1.0))


def without_edges(rows: Rows) -> Rows:
    """The same rows with a graph that has no edge."""
    return _with_edges(rows, torch.zeros(_edges_of(rows), dtype=torch.bool))


def half_the_edges(rows: Rows) -> Rows:
    """The same rows with every edge there or not, as a coin says."""
    return _with_edges(rows, torch.rand(_edges_of(rows)) < 0.5)


def another_graph(rows: Rows) -> Rows:
    """The same rows, each edge starting where another edge of its day did."""
    edges = rows.edges()
    part = next((p for p in rows.parts if p.role is Role.EDGES), None)
    if edges is None or part is None:
        return rows
    order = torch.argsort(rows.day[edges[1]], stable=True)
    sources = torch.empty_like(edges[0])
    sources[order] = edges[0][order].roll(1)
    # The first edge of a day would start on another day: it keeps its own source.
    sources = torch.where(rows.day[sources] == rows.day[edges[1]], sources, edges[0])
    ends = torch.stack([sources, edges[1]])
    moved = ends if part.axes[0] == "ends" else ends.T
    return replace(rows, inputs=write(rows.inputs, part.path, moved))


def half_of(count: int, device: torch.device) -> Tensor:
    """Half of so many rows, drawn at random, as a mask over them."""
    kept = torch.zeros(count, dtype=torch.bool, device=device)
    kept[torch.randperm(count, device=device)[: max(count // 2, 1)]] = True
    return kept


def _edges_of(rows: Rows) -> int:
    edges = rows.edges()
    return 0 if edges is None else edges.shape[1]


def _with_edges(rows: Rows, kept: Tensor) -> Rows:
    by_path = {part.path: part for part in rows.parts}

    def some(path: str, x: Tensor) -> Tensor:
        axis = by_path[path].axis("edges")
        return x if axis is None else x.index_select(axis, kept.nonzero().flatten().to(x.device))

    return replace(rows, inputs=map_tensors(some, rows.inputs))
