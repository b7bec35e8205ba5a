"""Rows of one period: values by column, and the day of every row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flatline.errors import DataError, ShapeError

__all__ = ["Sample", "sample_of"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """Rows of one period, those of a day behind each other. Build it with `sample_of`.

    Args:
        values: NaN where unknown. Shape (rows, columns).
        day: Ascending. Shape (rows,).
        names: One per column.
    """

    values: Floats
    day: Ints
    names: tuple[str, ...]

    @property
    def days(self) -> Ints:
        """Every day once, ascending. Shape (days,)."""
        found: Ints = self.day[self.starts]
        return found

    @property
    def starts(self) -> Ints:
        """Position of the first row of every day. Shape (days,)."""
        return np.flatnonzero(np.diff(self.day, prepend=self.day[0] - 1)).astype(np.int64)

    def day_means(self, x: Floats) -> Floats:
        """Mean of what is known of each day; NaN where nothing is: (rows, n) to (days, n)."""
        known = np.isfinite(x)
        total = np.add.reduceat(np.where(known, x, 0.0), self.starts, axis=0)
        rows = np.add.reduceat(known.astype(np.int64), self.starts, axis=0)
        with np.errstate(invalid="ignore"):
            return np.asarray(total / np.where(rows > 0, rows, np.nan))

    def to_rows(self, per_day: Floats) -> Floats:
        """Each day's value to every row of it: (days, n) to (rows, n)."""
        lengths = np.diff(self.starts, append=len(self.day))
        return np.repeat(per_day, lengths, axis=0)


def sample_of(values: Any, day: Any, names: Sequence[str] | None = None) -> Sample:  # noqa: ANN401
    """Rows of one period from anything that numpy can read.

    Args:
        values: Numbers, NaN where unknown. Shape (rows, columns), or (rows,) for one column.
        day: Day of every row, in any order: whole numbers or dates. Shape (rows,).
        names: One per column; their positions by default.

    Raises:
        ShapeError: Rows, days and names do not fit each other.
        DataError: There is no row.

    Example:
        >>> sample_of([[1.0], [5.0], [3.0]], [2, 1, 2]).day_means(np.array([[5.0], [1.0], [3.0]]))
        array([[5.],
               [2.]])
    """
    x = np.asarray(values, dtype=np.float64)
    x = x[:, None] if x.ndim == 1 else x
    when = np.asarray(day)
    if np.issubdtype(when.dtype, np.datetime64):
        when = when.astype("datetime64[D]").astype(np.int64)
    if x.ndim != 2 or when.shape != x.shape[:1]:
        raise ShapeError(
            f"values have shape {x.shape} and days {when.shape}, expected (rows, columns) and "
            "(rows,). Give the day of every row."
        )
    if x.size == 0:
        raise DataError("values have 0 rows or columns, expected at least one. Check the period.")
    called = tuple(names) if names is not None else tuple(map(str, range(x.shape[1])))
    if len(called) != x.shape[1]:
        raise ShapeError(
            f"names are {len(called)}, expected {x.shape[1]}: one per column. Give each a name."
        )
    order = np.argsort(when, kind="stable")
    return Sample(x[order], when[order].astype(np.int64), called)
