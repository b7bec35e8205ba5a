"""Ranks within the day, average ranks on ties, for many days at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flatline.metrics.blocks import Bools, Floats, Ints

__all__ = ["Ranked", "rank_rows", "tile_weight"]


@dataclass(frozen=True, slots=True, eq=False)
class Ranked:
    """Where each stock stands in its day.

    Args:
        centred: Average rank less the day's mean rank; 0 where a cell does not count.
            Multiples of one half, hence exact. Shape (days, width).
        ties: Stocks that share the rank, itself included; None when no two do.
            Shape (days, width).
        counted: True where a cell counts; None when all do. Shape (days, width).
    """

    centred: Floats
    ties: Floats | None
    counted: Bools | None


def rank_rows(x: Floats, counted: Bools | None = None) -> Ranked:
    """Rank the cells of each row of *x* that count.

    Args:
        x: Values. Shape (days, width).
        counted: True where a cell counts; None for all. Shape (days, width).

    Example:
        >>> rank_rows(np.array([[5.0, 1.0, 5.0]])).centred
        array([[ 0.5, -1. ,  0.5]])
    """
    width = x.shape[1]
    # Cells that do not count sort behind all others and so leave their ranks alone.
    filled = x if counted is None else np.where(counted, x, np.inf)
    order = np.argsort(filled, axis=1)
    ordered = np.take_along_axis(filled, order, axis=1)
    tied = ordered[:, 1:] == ordered[:, :-1]
    if counted is not None:
        tied &= ordered[:, 1:] < np.inf
    names = np.full((len(x), 1), width) if counted is None else counted.sum(1)[:, None]
    slots = np.arange(width, dtype=np.float64)[None]
    ties: Floats | None = None
    ranks = np.empty_like(x)
    if tied.any():
        first, last = _runs(tied)
        placed = (first + last) / 2
        ties = np.empty_like(x)
        np.put_along_axis(ties, order, last - first + 1, axis=1)
    else:
        placed = slots
    np.put_along_axis(ranks, order, placed - (names - 1) / 2, axis=1)
    if counted is not None:
        ranks[~counted] = 0.0
    return Ranked(ranks, ties, counted)


def _runs(tied: Bools) -> tuple[Floats, Floats]:
    """First and last slot of the run of equal values each slot is in."""
    days, width = tied.shape[0], tied.shape[1] + 1
    slots = np.broadcast_to(np.arange(width, dtype=np.float64), (days, width))
    edge = np.ones((days, 1), dtype=bool)
    first = np.maximum.accumulate(np.where(np.hstack([edge, ~tied]), slots, 0.0), axis=1)
    ends = np.where(np.hstack([~tied, edge]), slots, np.inf)[:, ::-1]
    return first, np.minimum.accumulate(ends, axis=1)[:, ::-1]


def tile_weight(ranked: Ranked, names: Ints, tiles: float | Floats) -> tuple[Floats, Floats]:
    """How much of each stock lies in its day's top tile, and in the bottom one.

    A tile is `names / tiles` wide. A stock on its border counts in part, and stocks
    that share a rank share what part of the tile falls on them, so that neither the
    order of the rows nor the direction of the scores matters.

    Returns:
        Weights in [0, 1]; each day's sum to `names / tiles`. Shapes (days, width).

    Example:
        >>> tile_weight(rank_rows(np.array([[4.0, 1.0, 1.0, 3.0]])), np.array([4]), 4)
        (array([[1., 0., 0., 0.]]), array([[0. , 0.5, 0.5, 0. ]]))
    """
    ties = 1.0 if ranked.ties is None else ranked.ties
    # A stock's group spans ranked.centred +- ties / 2; the top tile begins at *border*.
    border = (names * (0.5 - 1.0 / tiles))[:, None]
    top = np.clip((ranked.centred + ties / 2 - border) / ties, 0.0, 1.0)
    bottom = np.clip((-ranked.centred + ties / 2 - border) / ties, 0.0, 1.0)
    if ranked.counted is None:
        return top, bottom
    return np.where(ranked.counted, top, 0.0), np.where(ranked.counted, bottom, 0.0)
