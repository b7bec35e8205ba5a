"""How much of a book lies in each group of stocks, such as a sector, over time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from flatline.errors import ShapeError
from flatline.metrics.blocks import Floats

__all__ = ["GroupExposure", "group_exposure"]


@dataclass(frozen=True, slots=True, eq=False)
class GroupExposure:
    """Value of a book in each group, as a fraction of capital.

    Args:
        net: Longs less shorts. Shape (days, groups + 1), the last column unknown groups.
        gross: Longs and shorts added. Same shape.
    """

    net: Floats
    gross: Floats


def group_exposure(held: ArrayLike, group: ArrayLike, *, groups: int) -> GroupExposure:
    """Net and gross value of a book in each group, day by day.

    Args:
        held: Value of each stock, as a fraction of capital. Shape (days, stocks).
        group: Number of the group of each stock on each day, from 0 on; negative where
            unknown. Shape (days, stocks), integer.
        groups: How many groups there are.

    Raises:
        ShapeError: The tables differ in shape, or a group has no place among *groups*.

    Example:
        >>> found = group_exposure([[0.5, -0.2, 0.3]], [[0, 0, -1]], groups=1)
        >>> found.net, found.gross
        (array([[0.3, 0.3]]), array([[0.7, 0.3]]))
    """
    value, of = np.asarray(held, dtype=np.float64), np.asarray(group, dtype=np.int64)
    if value.ndim != 2 or of.shape != value.shape or (of.size and of.max() >= groups):
        raise ShapeError(
            f"group has shape {of.shape} and numbers up to {of.max(initial=-1)}, expected "
            f"{value.shape} as held has and numbers under {groups}. Take both from one panel."
        )
    of = np.where(of < 0, groups, of)
    cell = (np.arange(len(value))[:, None] * (groups + 1) + of).ravel()
    shape = len(value), groups + 1

    def total(x: Floats) -> Floats:
        sums = np.bincount(cell, weights=x.ravel(), minlength=shape[0] * shape[1])
        return sums.astype(np.float64).reshape(shape)

    return GroupExposure(total(value), total(np.abs(value)))
