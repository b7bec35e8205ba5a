"""The figures of a forecast: its errors, its scale, its calibration and its quantiles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from flatline.errors import SettingsError, ShapeError
from flatline.metrics.blocks import DayBlocks, Floats, as_columns
from flatline.metrics.daily import Daily, daily_metrics
from flatline.metrics.pairs import ROUNDING

__all__ = ["Coverage", "ForecastFigures", "forecast_figures", "quantile_coverage"]

Naive = Literal["zero", "mean", "day_mean"]


@dataclass(frozen=True, slots=True)
class ForecastFigures:
    """The row of a horizon in the table users know. A figure that is undefined is None.

    Args:
        horizon: In trading days.
        rows: Labelled rows with a score.
        days: Days with a label.
        undefined_days: Days without an IC: too few names, constant or not finite.
        ic: Mean daily IC.
        rank_ic: Mean daily RankIC.
        icir: Mean daily IC over its spread across days, not annualised. Days of an
            overlapping horizon are not independent, which makes it look better.
        rank_icir: The same of the RankIC.
        yhat_std: Standard deviation of the scores over all rows.
        yhat_std_day: The same within the day (mean over rows of the within-day variance).
        y_std: Standard deviation of the targets over all rows.
        scale: yhat_std / y_std. A calibrated forecast of correlation r has scale r.
        scale_day: The same of the within-day deviations.
        r2: One less squared error over squared deviation of the targets from their mean.
        r2_naive: One less squared error over that of the naive forecast.
        mae: Mean absolute error.
        rmse: Root of the mean squared error.
        naive_rmse: The same of the naive forecast.
        intercept: a of the least-squares line y = a + b yhat over all rows.
        slope: b of that line; 1 is calibrated, below 1 is overconfident.
    """

    horizon: int
    rows: int
    days: int
    undefined_days: int
    ic: float | None
    rank_ic: float | None
    icir: float | None
    rank_icir: float | None
    yhat_std: float | None
    yhat_std_day: float | None
    y_std: float | None
    scale: float | None
    scale_day: float | None
    r2: float | None
    r2_naive: float | None
    mae: float | None
    rmse: float | None
    naive_rmse: float | None
    intercept: float | None
    slope: float | None


def forecast_figures(
    score: ArrayLike,
    target: ArrayLike,
    day: ArrayLike,
    *,
    horizons: Sequence[int] | None = None,
    naive: Naive = "zero",
    min_names: int = 5,
    result: Daily | None = None,
) -> list[ForecastFigures]:
    """The figures of every horizon.

    Scores that are not finite make the pooled figures undefined: an error that leaves
    them out would hide them.

    Args:
        score: Forecasts in units of the target. Shape (rows,) or (rows, horizons).
        target: What happened, as a fraction; NaN without label. Shape as *score*.
        day: Day of every row. Shape (rows,).
        horizons: In trading days; 1, 2, ... if None.
        naive: The forecast to beat: "zero" (no return, which anyone can make), "mean"
            (the mean of these targets) or "day_mean" (each day's own mean, which knows
            the market's move: what is left is the cross-section alone).
        min_names: Days with fewer labelled stocks are undefined.
        result: `daily_metrics` of the same arrays, where it is at hand.

    Raises:
        ShapeError: The arrays disagree.
        SettingsError: An option is not known.

    References:
        Gu, Kelly and Xiu, Empirical asset pricing via machine learning, 2020, equation
        19 (R2 against the forecast of zero). Mincer and Zarnowitz, The evaluation of
        economic forecasts, 1969 (calibration).

    Example:
        >>> y = np.array([0.01, -0.02, 0.03, 0.00])
        >>> row = forecast_figures(2 * y, y, [1, 1, 2, 2], min_names=2)[0]
        >>> round(row.slope, 6), round(row.scale, 6), round(row.rmse, 6)
        (0.5, 2.0, 0.018708)
    """
    blocks = DayBlocks.of(day)
    scores, targets = as_columns(blocks.rows, score=score, target=target)
    count = max(len(scores), len(targets))
    names = list(range(1, count + 1)) if horizons is None else list(horizons)
    if len(names) != count:
        raise ShapeError(f"horizons is {names}, expected {count} of them: one per column.")
    if naive not in ("zero", "mean", "day_mean"):
        raise SettingsError(f"naive is {naive!r}, expected 'zero', 'mean' or 'day_mean'.")
    found = result or daily_metrics(
        score, target, day, min_names=min_names, metrics=("ic", "rank_ic"), threads=1
    )
    return [
        _figures(
            scores[k % len(scores)],
            targets[k % len(targets)],
            blocks,
            naive=naive,
            found=found,
            column=k,
            horizon=name,
        )
        for k, name in enumerate(names)
    ]


def _figures(
    score: Floats,
    target: Floats,
    blocks: DayBlocks,
    *,
    naive: Naive,
    found: Daily,
    column: int,
    horizon: int,
) -> ForecastFigures:
    known = ~np.isnan(target)
    # An infinity is as unknown as a NaN, and differences of infinities would warn.
    x, y = (np.where(np.isfinite(z), z, np.nan)[known] for z in (score, target))
    index = blocks.index[known]
    names = np.bincount(index, minlength=blocks.count)
    undefined = found.ic.undefined_days[column]
    ic, rank_ic = found.ic, found.rank_ic
    ratios = [_over(m.mean()[column], m.std()[column]) for m in (ic, rank_ic)]
    x_mean, y_mean = _mean(x), _mean(y)
    x_away, y_away = x - x_mean, y - y_mean
    x_within, y_within = _within(x, index, names), _within(y, index, names)
    x_std, y_std = _flat_or_rms(x_away, x), _flat_or_rms(y_away, y)
    baseline = {"zero": y, "mean": y_away, "day_mean": y_within}[naive]
    rmse, naive_rmse = _rms(x - y), _rms(baseline)
    slope = _over(float(x_away @ y_away), x.size * x_std**2) if x.size > 2 else None
    return ForecastFigures(
        horizon=horizon,
        rows=int(known.sum()),
        days=int((names > 0).sum()),
        undefined_days=int(undefined),
        ic=_known(ic.mean()[column]),
        rank_ic=_known(rank_ic.mean()[column]),
        icir=ratios[0],
        rank_icir=ratios[1],
        yhat_std=_known(x_std),
        yhat_std_day=_known(_flat_or_rms(x_within, x)),
        y_std=_known(y_std),
        scale=_over(x_std, y_std),
        scale_day=_over(_flat_or_rms(x_within, x), _flat_or_rms(y_within, y)),
        r2=_less_than_one(rmse, y_std),
        r2_naive=_less_than_one(rmse, naive_rmse),
        mae=_known(_mean(np.abs(x - y))),
        rmse=_known(rmse),
        naive_rmse=_known(naive_rmse),
        intercept=None if slope is None else float(y_mean - slope * x_mean),
        slope=slope,
    )


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _over(a: float, b: float) -> float | None:
    return float(a / b) if np.isfinite(a) and np.isfinite(b) and b > 0 else None


def _less_than_one(error: float, spread: float) -> float | None:
    ratio = _over(error, spread)
    return None if ratio is None else 1.0 - ratio**2


def _mean(x: Floats) -> float:
    return float(x.mean()) if x.size else float("nan")


def _rms(x: Floats) -> float:
    return float(np.sqrt(np.mean(x**2))) if x.size else float("nan")


def _flat_or_rms(away: Floats, x: Floats) -> float:
    """Root mean square of deviations; 0 where they are what rounding leaves of a constant."""
    spread = _rms(away)
    return 0.0 if spread <= ROUNDING * _rms(x) else spread


def _within(x: Floats, index: NDArray[np.int64], names: NDArray[np.int64]) -> Floats:
    means = np.bincount(index, weights=x, minlength=names.size) / np.maximum(names, 1)
    return np.asarray(x - means[index])


@dataclass(frozen=True, slots=True, eq=False)
class Coverage:
    """How often the target lies at or below each quantile.

    Args:
        levels: Nominal coverage, ascending. Shape (levels,).
        observed: Share of labelled rows at or below the quantile; NaN without a label or
            where a quantile is not finite. Shape (horizons, levels).
        per_day: The same day by day, for intervals. Shape (days, horizons, levels).
        crossing: Share of labelled rows on which a quantile lies below a lower one. Shape
            (horizons,).
        width: Mean distance of the outermost quantiles, in units of the target. Shape
            (horizons,).
    """

    levels: Floats
    observed: Floats
    per_day: Floats
    crossing: Floats
    width: Floats


def quantile_coverage(
    quantiles: ArrayLike, target: ArrayLike, day: ArrayLike, *, levels: Sequence[float]
) -> Coverage:
    """Coverage of every quantile level, overall and day by day.

    Args:
        quantiles: Shape (rows, horizons, levels), or (rows, levels) for one horizon.
        target: NaN without label. Shape (rows,) or (rows, horizons).
        day: Day of every row. Shape (rows,).
        levels: Nominal coverage, ascending, in (0, 1).

    Raises:
        ShapeError: The arrays disagree, or not one quantile per level.

    Example:
        >>> q = np.tile([-1.0, 0.0, 1.0], (4, 1))
        >>> y = [-2.0, -0.5, 0.5, 2.0]
        >>> quantile_coverage(q, y, [1, 1, 1, 1], levels=(0.25, 0.5, 0.75)).observed
        array([[0.25, 0.5 , 0.75]])
    """
    blocks = DayBlocks.of(day)
    (targets,) = as_columns(blocks.rows, target=target)
    q = np.asarray(quantiles, dtype=np.float64)
    q = q[:, None] if q.ndim == 2 else q
    expected = (blocks.rows, len(targets), len(levels))
    if q.shape != expected:
        raise ShapeError(
            f"quantiles has shape {q.shape}, expected {expected}: (rows, horizons, levels). "
            "Give one column per level."
        )
    known = ~np.isnan(targets.T)
    below = np.where(known[..., None] & np.isfinite(q), targets.T[..., None] <= q, np.nan)
    below[~known] = 0.0
    flat = below.reshape(blocks.rows, -1)
    hits = np.stack([blocks.total(column) for column in flat.T], axis=1)
    hits = hits.reshape(blocks.count, *expected[1:])
    names = np.stack([blocks.total(column.astype(np.float64)) for column in known.T], axis=1)
    rows = names.sum(0)
    crossed = (np.diff(q, axis=2) < 0).any(2) & known
    width = np.where(known, q[..., -1] - q[..., 0], 0.0)
    return Coverage(
        np.asarray(levels, dtype=np.float64),
        _ratio(hits.sum(0), rows[:, None]),
        _ratio(hits, names[..., None]),
        _ratio(crossed.sum(0), rows),
        _ratio(width.sum(0), rows),
    )


def _ratio(a: Floats, b: Floats) -> Floats:
    return np.asarray(np.divide(a, b, out=np.full(a.shape, np.nan), where=b > 0))
