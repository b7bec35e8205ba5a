"""Rows dealt out anew among those they are compared with, and what chance makes of that."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

from flatline.harness.statistics import Estimate
from flatline.metrics.blocks import DayBlocks
from flatline.metrics.variance import within_day

__all__ = ["agreement", "deal", "normal_scores", "shuffle"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def shuffle(group: ArrayLike, draw: np.random.Generator) -> Ints:
    """A random order of the rows that leaves every row in its group.

    Returns:
        Row i gets what row `order[i]` had. Shape (rows,).

    Example:
        >>> group = np.array([0, 1, 0, 1])
        >>> (group[shuffle(group, np.random.default_rng(0))] == group).all()
        np.True_
    """
    ids = np.asarray(group)
    order = np.empty(ids.size, np.int64)
    order[np.argsort(ids, kind="stable")] = np.lexsort((draw.random(ids.size), ids))
    return order


def normal_scores(x: ArrayLike, group: ArrayLike) -> Floats:
    """The quantile of a normal at each row's rank within its group; ties share their mean rank.

    Args:
        x: Shape (rows,).
        group: Shape (rows,).

    Returns:
        0 where a group has one row, or one value. Shape (rows,).

    Example:
        >>> normal_scores([3.0, 1.0, 2.0, 9.0], [0, 0, 0, 1]).round(2)
        array([ 0.97, -0.97,  0.  ,  0.  ])
    """
    values, ids = np.asarray(x, dtype=np.float64), np.asarray(group)
    order = np.lexsort((values, ids))
    of_group, sorted_values = ids[order], values[order]
    new_group = np.r_[True, of_group[1:] != of_group[:-1]]
    new_value = new_group | np.r_[True, sorted_values[1:] != sorted_values[:-1]]
    place = np.arange(ids.size)
    start = np.maximum.accumulate(np.where(new_group, place, 0))
    size = np.bincount(np.cumsum(new_group) - 1)[np.cumsum(new_group) - 1]
    tie = np.cumsum(new_value) - 1
    rank = (np.bincount(tie, weights=place - start) / np.bincount(tie))[tie] + 0.5
    found = np.empty(ids.size)
    found[order] = ndtri(rank / size)
    return found


def deal(labels: Floats, by: ArrayLike, group: ArrayLike) -> Floats:
    """Each group's labels, dealt out anew in the order of *by*: the largest to the largest.

    Labels that are not known stay where they are, and every group keeps the labels it has.

    Args:
        labels: NaN where not known. Shape (rows, columns).
        by: Shape (rows,).
        group: Shape (rows,).

    Example:
        >>> deal(np.array([[5.0], [np.nan], [1.0], [7.0]]), [1, 2, 3, 0], [0, 0, 0, 1]).ravel()
        array([ 1., nan,  5.,  7.])
    """
    order, ids = np.asarray(by, dtype=np.float64), np.asarray(group)
    dealt = labels.copy()
    for k, column in enumerate(labels.T):
        known = np.flatnonzero(np.isfinite(column))
        to = known[np.lexsort((order[known], ids[known]))]
        dealt[to, k] = column[known[np.lexsort((column[known], ids[known]))]]
    return dealt


def agreement(score: Floats, label: Floats, group: ArrayLike) -> Estimate:
    """The correlation within groups of scores and labels, and its spread were labels shuffled.

    Where there are several columns, the correlation of each with its own, averaged. The spread
    is that over all orders of the rows within their groups, in which a row keeps its labels
    together: exact, whatever the distributions and whatever columns have in common.

    Args:
        score: Shape (rows, columns).
        label: Shape (rows, columns).
        group: Shape (rows,).

    Returns:
        An Estimate, NaN where a column has no spread within groups or is no number.

    References:
        Hoeffding, A combinatorial central limit theorem, 1951, equation 10 (the variance).

    Example:
        >>> x = np.random.default_rng(0).standard_normal((500, 1))
        >>> found = agreement(x, x, np.zeros(500, int))
        >>> round(found.value, 3), round(float(found.error * np.sqrt(499)), 3)
        (1.0, 1.0)
    """
    blocks = DayBlocks.of(group)
    if not (np.isfinite(score).all() and np.isfinite(label).all()):
        return Estimate(np.nan, np.nan, 0)
    s, y = within_day(score.T, blocks), within_day(label.T, blocks)
    sizes = np.sqrt((s**2).sum(1)), np.sqrt((y**2).sum(1))
    # What is left of a constant is rounding, and has no direction.
    alive = [
        size > 1e-12 * np.sqrt((x**2).sum(1))
        for size, x in zip(sizes, (score.T, label.T), strict=True)
    ]
    if not all(one.all() for one in alive):
        return Estimate(np.nan, np.nan, 0)
    s, y = s / sizes[0][:, None], y / sizes[1][:, None]
    columns = len(s)
    together = np.zeros(blocks.count)
    for a in range(columns):
        for b in range(columns):
            together += blocks.total(s[a] * s[b]) * blocks.total(y[a] * y[b])
    variance = (together / np.maximum(blocks.lengths - 1, 1)).sum()
    error = float(np.sqrt(max(variance, 0.0)) / columns)
    return Estimate(float((s * y).sum() / columns), error, float("inf"))
