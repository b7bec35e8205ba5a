"""Every column of a later period beside the train period: level, spread, distribution, support."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flatline.errors import ShapeError
from flatline.harness.drift.sample import Sample
from flatline.harness.drift.shift import mean_shift

__all__ = ["ColumnDrift", "compare"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Where the two distribution functions are held against each other: at the train deciles.
DECILES = np.arange(1, 10) / 10
# Rows left out at either end of the train range: one value that was mistyped is no support.
TAIL = 1e-3
# A column of which stocks differ by less than this share of its size is the same for all of them.
SHARED = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnDrift:
    """What became of one column. A bound is what chance reaches, see `compare`.

    Args:
        name: Of the column.
        level: Shift of the mean, in train spreads (standard deviation over all train rows);
            NaN where the train rows have none.
        level_bound: Infinite where there are too few days to tell.
        beyond: How far the median of the later day means lies beyond the range of those of
            the train days, as a share of that range; below 0 within it.
        spread: Spread within the day over that of the train days, less 1; of a column
            that all stocks share, that of its days around the train mean.
        spread_bound: NaN where the train days have no spread.
        gap: Largest distance of the two distribution functions (Kolmogorov, Smirnov),
            at the train deciles; a share of the rows.
        gap_bound: At the decile where the gap is largest for its bound.
        psi: Population stability index over the bins between the train deciles.
        wasserstein: Between the day means of the two periods, in train spreads.
        outside: Share of the later rows beyond the train range.
        days: Train days and later days.
    """

    name: str
    level: float
    level_bound: float
    beyond: float
    spread: float
    spread_bound: float
    gap: float
    gap_bound: float
    psi: float
    wasserstein: float
    outside: float
    days: tuple[int, int]


def compare(train: Sample, later: Sample, *, chance: float) -> tuple[ColumnDrift, ...]:
    """Hold every column of a later period against the train period.

    A stationary panel exceeds the bounds of one kind (level, spread, gap), anywhere in its
    columns, with probability *chance*: days are taken in blocks, see `mean_shift`.

    Args:
        train: Rows of the train period.
        later: Rows of a later one, of the same columns.
        chance: Shared out evenly between the columns.

    Raises:
        ShapeError: The columns differ.

    References:
        Siddiqi, Credit Risk Scorecards, 2006, chapter 9 (population stability index).
    """
    if train.names != later.names:
        raise ShapeError(
            f"columns of the later period are {later.names}, expected {train.names}. "
            "Give both periods the same columns in the same order."
        )
    means = train.day_means(train.values), later.day_means(later.values)
    spreads = _spreads(train, later, means)
    series = [
        (*(x[:, i] for x in means), *(x[:, i] for x in spreads)) for i in range(len(train.names))
    ]
    return tuple(
        _column(train, later, i, found, chance / len(series)) for i, found in enumerate(series)
    )


def _column(
    train: Sample, later: Sample, column: int, daily: tuple[Floats, ...], chance: float
) -> ColumnDrift:
    """One column; *daily* are its means of the two periods, and its spreads."""
    means, spreads = daily[:2], daily[2:]
    when = {"train_day": train.days, "later_day": later.days}
    before, after = train.values[:, column], later.values[:, column]
    known, new = before[np.isfinite(before)], after[np.isfinite(after)]
    unit = float(known.std()) if known.size else math.nan
    level, width = mean_shift(*means, **when), mean_shift(*spreads, **when)
    gap = _gap(train, later, column, chance, when) if known.size and new.size else _Gap()
    # A column that did not move on the train days has no unit to measure a shift in.
    scale = 1.0 / unit if unit > 0 else math.nan
    return ColumnDrift(
        name=train.names[column],
        level=level.value * scale,
        level_bound=level.bound(chance) * scale,
        beyond=_beyond(*means),
        spread=width.value,
        spread_bound=width.bound(chance),
        gap=gap.value,
        gap_bound=gap.bound,
        psi=gap.psi,
        wasserstein=_wasserstein(*means) * scale,
        outside=_outside(known, new),
        days=(len(train.days), len(later.days)),
    )


def _spreads(train: Sample, later: Sample, means: tuple[Floats, Floats]) -> tuple[Floats, Floats]:
    """Mean distance of each day's rows from their centre, over that of the train days."""
    within = [
        sample.day_means(np.abs(sample.values - sample.to_rows(mean)))
        for sample, mean in zip((train, later), means, strict=True)
    ]
    with np.errstate(invalid="ignore"):
        centre = _mean(means[0])
        size = _mean(np.abs(means[0]))
        usual = _mean(within[0])
        shared = ~(usual > SHARED * size)
        # One value a day: its distance from where the train days lie.
        found = [
            np.where(shared, np.abs(mean - centre), day)
            for mean, day in zip(means, within, strict=True)
        ]
        unit = _mean(found[0])
        unit = np.where(unit > SHARED * size, unit, np.nan)
        return found[0] / unit, found[1] / unit


@dataclass(frozen=True, slots=True)
class _Gap:
    value: float = math.nan
    bound: float = math.nan
    psi: float = math.nan


def _gap(train: Sample, later: Sample, column: int, chance: float, when: dict[str, Ints]) -> _Gap:
    before = train.values[:, column]
    edges = np.quantile(before[np.isfinite(before)], DECILES)
    counts = [_counts(sample, column, edges) for sample in (train, later)]
    series = [_shares_below(found) for found in counts]
    shifts = [mean_shift(a, b, **when) for a, b in zip(series[0].T, series[1].T, strict=True)]
    bounds = np.array([shift.bound(chance / len(shifts)) for shift in shifts])
    gaps = np.abs([shift.value for shift in shifts])
    # A share that never moves, as that of a tie, has a bound of 0 and may still be met.
    worst = int(np.argmax(gaps / np.maximum(bounds, 1e-9)))
    return _Gap(float(gaps[worst]), float(bounds[worst]), _psi(*counts))


def _counts(sample: Sample, column: int, edges: Floats) -> Ints:
    """Rows of each day in the bins between the edges: (days, edges + 1)."""
    x, starts = sample.values[:, column], sample.starts
    day = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(x)))
    known = np.isfinite(x)
    bins = len(edges) + 1
    place = day[known] * bins + np.searchsorted(edges, x[known])
    return np.bincount(place, minlength=len(starts) * bins).reshape(-1, bins)


def _shares_below(counts: Ints) -> Floats:
    """Share of each day's rows at or below each edge, NaN on days without any: (days, edges)."""
    upto = counts.cumsum(1)
    rows = np.where(upto[:, -1:] > 0, upto[:, -1:], np.nan)
    return np.asarray(upto[:, :-1] / rows)


def _psi(before: Ints, after: Ints) -> float:
    p, q = (np.maximum(x.sum(0), 0.5) / x.sum() for x in (before, after))
    # Half a row for an empty bin: its logarithm would be infinite.
    return float(((q - p) * np.log(q / p)).sum())


def _wasserstein(before: Floats, after: Floats) -> float:
    from scipy.stats import wasserstein_distance  # noqa: PLC0415 (not every run compares periods)

    known = [x[np.isfinite(x)] for x in (before, after)]
    return float(wasserstein_distance(*known)) if all(x.size for x in known) else math.nan


def _beyond(train: Floats, later: Floats) -> float:
    known, new = train[np.isfinite(train)], later[np.isfinite(later)]
    if not known.size or not new.size or not np.ptp(known) > 0:
        return math.nan
    middle = float(np.median(new))
    away = max(middle - float(known.max()), float(known.min()) - middle)
    return away / float(np.ptp(known))


def _outside(known: Floats, new: Floats) -> float:
    if not known.size or not new.size:
        return math.nan
    low, high = np.quantile(known, (TAIL, 1 - TAIL))
    # Equal up to rounding is inside.
    slack = 1e-6 * max(abs(low), abs(high))
    return float(((new < low - slack) | (new > high + slack)).mean())


def _mean(x: Floats) -> Floats:
    known = np.isfinite(x)
    with np.errstate(invalid="ignore"):
        found = np.where(known, x, 0.0).sum(0) / known.sum(0)
    return np.asarray(found)
