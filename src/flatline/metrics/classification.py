"""Figures of probabilities of a class: discrimination, accuracy and calibration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from flatline.errors import DataError, ShapeError
from flatline.metrics.blocks import DayBlocks, Floats, as_columns
from flatline.metrics.pairs import ROUNDING
from flatline.metrics.ranks import rank_rows

__all__ = ["ClassFigures", "auc", "class_figures", "daily_auc"]


@dataclass(frozen=True, slots=True, eq=False)
class ClassFigures:
    """The figures of one horizon's probabilities. A figure that is undefined is None.

    Args:
        horizon: In trading days.
        rows: Labelled rows.
        base_rate: Share of the class.
        auc: Chance that a row of the class has the higher probability than one that is
            not of it, ties counting one half; 0.5 is chance, over all rows.
        auc_day: The same within the day, averaged over the days that have both classes.
        undefined_days: Labelled days that have one class only.
        brier: Mean squared error of the probability.
        brier_naive: That of the base rate for all.
        yhat_std: Standard deviation of the probabilities.
        intercept: a of the least-squares line label = a + b probability.
        slope: b of that line; 1 is calibrated.
        calibration_error: Mean distance of mean probability and share of the class, over
            bins of equal numbers of rows, as a fraction.
        bins: For each bin mean probability, share of the class and rows. Shape (bins, 3).
    """

    horizon: int
    rows: int
    base_rate: float | None
    auc: float | None
    auc_day: float | None
    undefined_days: int
    brier: float | None
    brier_naive: float | None
    yhat_std: float | None
    intercept: float | None
    slope: float | None
    calibration_error: float | None
    bins: Floats


def auc(probability: ArrayLike, label: ArrayLike) -> float | None:
    """Area under the receiver operating curve, ties counting one half; None for one class.

    Args:
        probability: Or any score. Shape (rows,).
        label: 0 or 1. Shape (rows,).

    References:
        Hanley and McNeil, The meaning and use of the area under a receiver operating
        characteristic curve, 1982.

    Example:
        >>> auc([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1])
        0.75
    """
    p, y = np.asarray(probability, dtype=np.float64), np.asarray(label, dtype=np.float64)
    if p.size == 0:
        return None
    (area,) = _areas(p[None], y[None], None)
    return None if np.isnan(area) else float(area)


def _areas(p: Floats, y: Floats, counted: np.ndarray | None) -> Floats:
    """AUC of each row of a block; NaN where there is one class only or a NaN. Shape (days,)."""
    here = np.ones(p.shape, dtype=bool) if counted is None else counted
    one = np.where(here, y, 0.0)
    ones, names = one.sum(1), here.sum(1)
    pairs = ones * (names - ones)
    above = np.einsum("dw,dw->d", rank_rows(np.where(here, p, 0.0), counted).centred, one)
    sound = (pairs > 0) & np.isfinite(np.where(here, p, 0.0)).all(1)
    return np.where(sound, 0.5 + above / np.where(pairs > 0, pairs, 1.0), np.nan)


def class_figures(
    probability: ArrayLike,
    label: ArrayLike,
    day: ArrayLike,
    *,
    horizons: Sequence[int] | None = None,
    bins: int = 10,
) -> list[ClassFigures]:
    """The figures of every horizon.

    Args:
        probability: In [0, 1]. Shape (rows,) or (rows, horizons).
        label: 0 or 1; NaN without label. Shape as *probability*.
        day: Day of every row. Shape (rows,).
        horizons: In trading days; 1, 2, ... if None.
        bins: Bins of the calibration, of equal numbers of rows.

    Raises:
        ShapeError: The arrays disagree.
        DataError: A label is neither 0 nor 1, or a probability lies outside [0, 1].

    References:
        Brier, Verification of forecasts expressed in terms of probability, 1950.

    Example:
        >>> row = class_figures([0.2, 0.4, 0.6, 0.8], [0, 0, 1, 1], [1, 1, 2, 2], bins=2)[0]
        >>> row.auc, round(row.brier, 3), row.undefined_days, round(row.calibration_error, 3)
        (1.0, 0.1, 2, 0.3)
    """
    blocks = DayBlocks.of(day)
    ps, ys = as_columns(blocks.rows, probability=probability, label=label)
    count = max(len(ps), len(ys))
    names = list(range(1, count + 1)) if horizons is None else list(horizons)
    if len(names) != count:
        raise ShapeError(f"horizons is {names}, expected {count} of them: one per column.")
    if not np.isin(ys[~np.isnan(ys)], (0.0, 1.0)).all():
        raise DataError("label has values beside 0, 1 and NaN. Give the class, not the return.")
    if bool(((ps < 0) | (ps > 1)).any()):
        raise DataError(
            f"probability reaches from {np.nanmin(ps):g} to {np.nanmax(ps):g}, expected numbers "
            "in [0, 1]. Put logits through a sigmoid first."
        )
    return [
        _figures(ps[k % len(ps)], ys[k % len(ys)], blocks, horizon=name, bins=bins)
        for k, name in enumerate(names)
    ]


def _figures(p: Floats, y: Floats, blocks: DayBlocks, *, horizon: int, bins: int) -> ClassFigures:
    known = ~np.isnan(y)
    by_day = _by_day(p, y, blocks)
    labelled = blocks.total(known.astype(np.float64)) > 0
    defined = ~np.isnan(by_day)
    x, t = p[known], y[known]
    sound = x.size > 0 and bool(np.isfinite(x).all())
    base = float(t.mean()) if t.size else None
    std = float(x.std()) if sound else None
    slope = None
    if sound and std is not None and x.size > 2 and std > ROUNDING * float(x.max()):
        slope = float(((x - x.mean()) * (t - t.mean())).mean() / std**2)
    table = _bins(x, t, bins) if sound else np.empty((0, 3))
    rows = table[:, 2]
    return ClassFigures(
        horizon=horizon,
        rows=int(t.size),
        base_rate=base,
        auc=auc(x, t),
        auc_day=float(by_day[defined].mean()) if defined.any() else None,
        undefined_days=int((labelled & ~defined).sum()),
        brier=float(((x - t) ** 2).mean()) if sound else None,
        brier_naive=None if base is None else base * (1 - base),
        yhat_std=std,
        intercept=None if slope is None else float(t.mean() - slope * x.mean()),
        slope=slope,
        calibration_error=(
            float((np.abs(table[:, 0] - table[:, 1]) * rows).sum() / rows.sum()) if sound else None
        ),
        bins=table,
    )


def daily_auc(probability: ArrayLike, label: ArrayLike, day: ArrayLike) -> Floats:
    """AUC within each day; NaN where a day has one class only.

    Args:
        probability: Or any score. Shape (rows,).
        label: 0 or 1; NaN without label. Shape (rows,).
        day: Day of every row. Shape (rows,).

    Returns:
        In the order of the days. Shape (days,).

    Raises:
        ShapeError: The arrays disagree.

    Example:
        >>> daily_auc([0.1, 0.2, 0.9, 0.8], [0, 1, 0, 1], [1, 1, 2, 2])
        array([1., 0.])
    """
    blocks = DayBlocks.of(day)
    (p,), (y,) = as_columns(blocks.rows, probability=probability, label=label)
    return _by_day(p, y, blocks)


def _by_day(p: Floats, y: Floats, blocks: DayBlocks) -> Floats:
    known = (~np.isnan(y)).astype(np.float64)
    found = np.full(blocks.count, np.nan)
    for block in blocks.blocks:
        here = block.take(known) > 0
        if block.present is not None:
            here &= block.present
        found[block.days] = _areas(block.take(p), block.take(y), here)
    return found


def _bins(x: Floats, t: Floats, bins: int) -> Floats:
    """Rows cut by probability into bins of equal numbers; equal probabilities stay together."""
    edges = np.unique(np.quantile(x, np.linspace(0, 1, bins + 1)[1:-1]))
    index = np.searchsorted(edges, x, side="left")
    rows = np.bincount(index)
    held = rows > 0
    sums = np.stack([np.bincount(index, weights=x), np.bincount(index, weights=t)], axis=1)
    return np.column_stack([sums[held] / rows[held, None], rows[held]])
