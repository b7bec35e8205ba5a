"""Scores with what known exposures explain taken out, day by day.

A score that merely ranks stocks by volatility, size or sector looks like skill.
What is left of it after a regression on those, within each day, is what the model
adds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from flatline.errors import ShapeError
from flatline.metrics.blocks import DayBlocks, Floats, Ints, as_columns

__all__ = ["Residual", "residualise"]

# Exposures whose squared size left of the others is below this share are copies of them.
RANK_TOLERANCE = 1e-10


@dataclass(frozen=True, slots=True, eq=False)
class Residual:
    """Scores less what the exposures explain.

    Args:
        score: NaN where the score was NaN. Shape (rows, horizons).
        explained: Share of each day's variance that the exposures took, in [0, 1]; NaN
            where the day's scores are constant. Shape (days, horizons).
        filled: Missing exposures that were set to their group's mean.
    """

    score: Floats
    explained: Floats
    filled: int


def residualise(
    score: ArrayLike,
    day: ArrayLike,
    *,
    exposures: ArrayLike | None = None,
    group: ArrayLike | None = None,
) -> Residual:
    """Residuals of a least-squares regression of the scores on exposures, within each day.

    Groups act as dummies: scores and exposures are centred in each group of each day,
    which is the same regression (Frisch, Waugh and Lovell) without its wide matrix.
    Exposures that repeat each other or the groups do no harm.

    Args:
        score: Model output; a NaN stays NaN and does not count. Shape (rows,) or
            (rows, horizons).
        day: Day of every row. Shape (rows,).
        exposures: Such as volatility and the logarithm of size, in any unit; what is
            missing (NaN) takes its group's mean that day. Shape (rows,) or
            (rows, exposures).
        group: Sector of every row, any ids; without it the day is one group. Shape (rows,).

    Raises:
        ShapeError: The arrays disagree on the rows.

    References:
        Lovell, Seasonal adjustment of economic time series and multiple regression
        analysis, 1963.

    Example:
        >>> volatility = [1.0, 2.0, 3.0, 4.0]
        >>> out = residualise([2.0, 4.0, 6.0, 8.0], [1, 1, 1, 1], exposures=volatility)
        >>> out.score.round(9).ravel(), out.explained
        (array([0., 0., 0., 0.]), array([[1.]]))
    """
    blocks = DayBlocks.of(day)
    (scores,) = as_columns(blocks.rows, score=score)
    known = np.isfinite(scores)
    columns = np.empty((0, blocks.rows))
    if exposures is not None:
        (columns,) = as_columns(blocks.rows, exposures=exposures)
    cell = _cells(blocks, group)
    left = np.where(known, scores, np.nan)
    explained = np.full((blocks.count, len(scores)), np.nan)
    for horizon, (values, counted) in enumerate(zip(scores, known, strict=True)):
        y = _centre(values[None], cell, counted)[0]
        fitted = _fit(_centre(columns, cell, counted), y, blocks)
        left[horizon, counted] = (y - fitted)[counted]
        day_only = _centre(values[None], blocks.index, counted)[0]
        before, after = blocks.total(day_only**2), blocks.total((y - fitted) ** 2)
        share = 1 - after / np.where(before > 0, before, 1.0)
        explained[:, horizon] = np.where(before > 0, np.clip(share, 0.0, 1.0), np.nan)
    return Residual(left.T.copy(), explained, int((~np.isfinite(columns)).sum()))


def _cells(blocks: DayBlocks, group: ArrayLike | None) -> Ints:
    """One number for each group of each day."""
    if group is None:
        return blocks.index
    groups = np.asarray(group)
    if groups.shape != (blocks.rows,):
        raise ShapeError(
            f"group has shape {groups.shape}, expected ({blocks.rows},): one id per row of day. "
            "Take both from the same frame."
        )
    labels, of_row = np.unique(groups, return_inverse=True)
    return blocks.index * labels.size + of_row


def _centre(columns: Floats, cell: Ints, counted: NDArray[np.bool_]) -> Floats:
    """Columns less the mean of their cell, 0 where not known or not counted."""
    centred = np.zeros_like(columns)
    for k, column in enumerate(columns):
        known = counted & np.isfinite(column)
        names = np.bincount(cell, weights=known)
        totals = np.bincount(cell, weights=np.where(known, column, 0.0))
        means = totals / np.maximum(names, 1)
        centred[k] = np.where(known, column - means[cell], 0.0)
    return centred


def _fit(x: Floats, y: Floats, blocks: DayBlocks) -> Floats:
    """What the exposures explain of *y*, by each day's own least squares. Shape (rows,)."""
    count = len(x)
    if count == 0:
        return np.zeros_like(y)
    gram = np.empty((blocks.count, count, count))
    moment = np.empty((blocks.count, count))
    # Each exposure in units of its own spread that day: the units then cannot hide a rank.
    size = np.sqrt(np.stack([blocks.total(column**2) for column in x]))
    x = x / np.where(size > 0, size, 1.0)[:, blocks.index]
    for i in range(count):
        moment[:, i] = blocks.total(x[i] * y)
        for j in range(i, count):
            gram[:, i, j] = gram[:, j, i] = blocks.total(x[i] * x[j])
    inverse = np.linalg.pinv(gram, rcond=RANK_TOLERANCE, hermitian=True)
    slopes = np.einsum("dij,dj->di", inverse, moment)
    return np.asarray(np.einsum("ir,ri->r", x, slopes[blocks.index]))
