"""Confidence intervals for the AUC of one series, by resampling blocks of days."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import rankdata

from flatline.errors import DataError, ShapeError
from flatline.metrics.blocks import Floats
from flatline.metrics.bootstrap import Interval, bootstrap_mean

__all__ = ["auc_interval", "auc_parts"]


def auc_parts(probability: ArrayLike, label: ArrayLike) -> Floats:
    """What each row adds to the AUC: numbers whose mean is the AUC.

    A row of the class wins against a share of the others, any other row loses to a share of
    the class. How far each share lies from the AUC, over the share of its kind among the
    rows, is the influence of the row.

    Args:
        probability: Or any score. Shape (rows,).
        label: 0 or 1. Shape (rows,).

    Returns:
        Shape (rows,); all NaN where there is one class only.

    References:
        DeLong, DeLong and Clarke-Pearson, Comparing the areas under two or more correlated
        receiver operating characteristic curves, 1988, section 2.

    Example:
        >>> auc_parts([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1]).mean()
        np.float64(0.75)
    """
    p, y = np.asarray(probability, dtype=np.float64), np.asarray(label, dtype=np.float64)
    if p.ndim != 1 or p.shape != y.shape:
        raise ShapeError(
            f"label has shape {y.shape} beside a probability of {p.shape}, expected one label and "
            "one probability per row. Give one horizon at a time."
        )
    if not np.isin(y, (0.0, 1.0)).all():
        raise DataError("label has values beside 0 and 1. Give the class, without unknown rows.")
    event = y == 1.0
    ones, rest = int(event.sum()), int((~event).sum())
    if ones == 0 or rest == 0:
        return np.full(p.shape, np.nan)
    rank = rankdata(p)
    own = np.empty_like(rank)
    own[event], own[~event] = rankdata(p[event]), rankdata(p[~event])
    # Rows of the other kind below a row, ties counting one half.
    below = rank - own
    share = np.where(event, below / rest, 1.0 - below / ones)
    area = share[event].mean()
    return np.asarray(area + (share - area) * len(p) / np.where(event, ones, rest))


def auc_interval(
    probability: ArrayLike,
    label: ArrayLike,
    *,
    horizon: int = 1,
    level: float = 0.95,
    draws: int = 2000,
    seed: int = 0,
) -> Interval:
    """AUC of a series with a confidence interval, blocks of days being drawn.

    Args:
        probability: In the order of the days; one column for each of several models, such as
            seeds, whose AUCs are averaged. Shape (days,) or (days, models).
        label: 0 or 1. Shape (days,).
        horizon: Horizon of the target, in trading days: the least block.
        level: Nominal coverage.
        draws: Resampled series.
        seed: Of the draws.

    Returns:
        Its *mean* is the AUC, averaged over the models; None for one class only.

    Raises:
        ShapeError: The arrays disagree.
        DataError: A label is neither 0 nor 1.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> label = rng.random(500) < 0.3
        >>> found = auc_interval(label + rng.standard_normal(500), label)
        >>> found.low < found.mean < found.high
        True
    """
    columns = np.asarray(probability, dtype=np.float64)
    columns = columns[:, None] if columns.ndim == 1 else columns
    parts = np.mean([auc_parts(column, label) for column in columns.T], axis=0)
    return bootstrap_mean(parts, horizon=horizon, level=level, draws=draws, seed=seed)
