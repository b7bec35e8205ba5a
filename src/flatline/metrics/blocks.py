"""Rows laid out as days, in numpy, so that a metric is one pass over blocks of whole days.

Days of similar length are padded to one width and worked on together, a cache's
worth at a time. No step loops over days, stocks or rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from flatline.errors import ShapeError

__all__ = ["Block", "DayBlocks", "as_columns", "as_days"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

# Values worked on together: 256 KiB of float64, so that a few such arrays share a core's cache.
CELLS = 2**15


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Some days of similar length, padded to the longest of them.

    Args:
        days: Positions of these days in `DayBlocks.ids`. Shape (block days,).
        cells: Row of each cell, in the order of the input; any row where absent.
            Shape (block days, width), or a slice of rows where nothing need move.
        shape: (block days, width).
        present: True where the cell holds a row; None when all do.
    """

    days: Ints
    cells: Ints | slice
    shape: tuple[int, int]
    present: Bools | None

    def take(self, column: Floats) -> Floats:
        """One column of rows as days: (rows,) to (block days, width)."""
        return column[self.cells].reshape(self.shape)


@dataclass(frozen=True, slots=True, eq=False)
class DayBlocks:
    """The days of a set of rows, cut into blocks.

    Args:
        ids: Day ids as given, ascending. Shape (days,).
        index: Position of each row's day in *ids*. Shape (rows,).
        lengths: Rows of each day. Shape (days,).
        blocks: Every day is in exactly one of them.

    Example:
        >>> blocks = DayBlocks.of(np.array([3, 3, 8]))
        >>> blocks.ids, blocks.lengths
        (array([3, 8]), array([2, 1]))
    """

    ids: NDArray[np.generic]
    index: Ints
    lengths: Ints
    blocks: tuple[Block, ...]

    @classmethod
    def of(cls, day: ArrayLike, *, cells: int = CELLS) -> DayBlocks:
        """Lay out the rows of *day*: one id per row, in any order.

        Args:
            day: Integers or dates. Shape (rows,).
            cells: About how many cells a block may have.

        Raises:
            ShapeError: *day* is empty, or not a vector of integers or dates.
        """
        ids_of_rows = as_days(day)
        if bool(np.greater_equal(ids_of_rows[1:], ids_of_rows[:-1]).all()):
            order = None
            starts = np.flatnonzero(np.r_[True, ids_of_rows[1:] != ids_of_rows[:-1]])
            ids = ids_of_rows[starts]
        else:
            order = np.argsort(ids_of_rows, kind="stable")
            ids, starts = np.unique(ids_of_rows[order], return_index=True)
        lengths = np.diff(np.r_[starts, ids_of_rows.size])
        index = np.repeat(np.arange(ids.size), lengths)
        if order is not None:
            by_row = np.empty_like(index)
            by_row[order] = index
            index = by_row
        return cls(ids, index, lengths, tuple(_blocks(starts, lengths, order, cells)))

    @property
    def count(self) -> int:
        """Number of days."""
        return int(self.ids.size)

    @property
    def rows(self) -> int:
        """Number of rows."""
        return int(self.index.size)

    def total(self, column: Floats) -> Floats:
        """Sum over the rows of each day: (rows,) to (days,)."""
        return _totals(self.index, column, self.count)


def _totals(index: Ints, column: Floats, count: int) -> Floats:
    return np.bincount(index, weights=column, minlength=count).astype(np.float64, copy=False)


def _blocks(starts: Ints, lengths: Ints, order: Ints | None, cells: int) -> list[Block]:
    # Half octaves: a day is padded by at most 41 percent of its length.
    size_class = np.ceil(2 * np.log2(lengths)).astype(np.int64)
    by_size = np.argsort(size_class, kind="stable")
    edges = np.flatnonzero(np.diff(size_class[by_size])) + 1
    found: list[Block] = []
    for group in np.split(by_size, edges):
        per_block = max(1, cells // int(lengths[group].max()))
        cuts = range(0, group.size, per_block)
        found += [_block(group[at : at + per_block], starts, lengths, order) for at in cuts]
    return found


def _block(days: Ints, starts: Ints, lengths: Ints, order: Ints | None) -> Block:
    width = int(lengths[days].max())
    shape = (days.size, width)
    full = bool((lengths[days] == width).all())
    if full and order is None and int(days[-1] - days[0]) == days.size - 1:
        first = int(starts[days[0]])
        return Block(days, slice(first, first + days.size * width), shape, None)
    slots = np.arange(width)
    present = slots < lengths[days][:, None]
    sorted_rows = np.where(present, starts[days][:, None] + slots, starts[days][:, None])
    cells = sorted_rows if order is None else order[sorted_rows]
    return Block(days, cells, shape, None if full else present)


def as_days(day: ArrayLike) -> NDArray[np.generic]:
    """Day ids as a vector of integers or dates.

    Raises:
        ShapeError: *day* is empty, or not a vector of integers or dates.
    """
    ids = np.asarray(day)
    if ids.dtype == object:
        ids = ids.astype("datetime64[D]")
    if ids.ndim != 1 or ids.size == 0 or ids.dtype.kind not in "iuM":
        raise ShapeError(
            f"day has shape {ids.shape} and type {ids.dtype}, expected one integer or date per "
            "row and at least one row. Give the day of every row as a vector."
        )
    return ids


def as_columns(rows: int, **arrays: ArrayLike) -> tuple[Floats, ...]:
    """Arrays of (rows,) or (rows, horizons) as float64 columns: (horizons, rows) each.

    One column serves all horizons of the others and stays one column.

    Raises:
        ShapeError: An array does not have one entry per row, or the horizons differ.

    Example:
        >>> as_columns(2, score=[1, 2], target=[[1, 2], [3, 4]])[1]
        array([[1., 3.],
               [2., 4.]])
    """
    columns = []
    for name, array in arrays.items():
        values = np.asarray(array)
        if values.ndim not in (1, 2) or values.shape[0] != rows:
            raise ShapeError(
                f"{name} has shape {values.shape}, expected ({rows},) or ({rows}, horizons): one "
                "value per row of day. Take both from the same frame."
            )
        wide = values if values.ndim == 2 else values[:, None]
        columns.append(np.ascontiguousarray(wide.T, dtype=np.float64))
    widths = {name: column.shape[0] for name, column in zip(arrays, columns, strict=True)}
    if len({width for width in widths.values() if width != 1}) > 1:
        raise ShapeError(
            f"horizons of {', '.join(arrays)} are {list(widths.values())}, expected the same "
            "number, or one for all. Give every array one column per horizon."
        )
    return tuple(columns)
