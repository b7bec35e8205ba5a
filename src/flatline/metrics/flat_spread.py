"""Rules on how far scores spread: over days, stocks, inputs and horizons."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike

from flatline.metrics.flat_kinds import SCALE_FLOOR, SIGMAS, Flat, FlatFinding, Scores
from flatline.metrics.variance import split_variance

__all__ = ["constant_in_time", "identical_horizons", "input_independent", "spread"]

# A mean probability this near the base rate is called the prior; only the name hangs on it.
NEAR_BASE_RATE = 0.05


def spread(s: Scores) -> Iterator[FlatFinding]:
    """Constant, constant within the day, class prior, vanished scale: the worst that holds."""
    for k, horizon in enumerate(s.horizons):
        finding = _spread_of(s, k)
        if finding is not None:
            kind, measured, bound, unit, sentence = finding
            yield FlatFinding(kind, horizon, measured, bound, unit, sentence)


def _spread_of(s: Scores, k: int) -> tuple[Flat, float, float, str, str] | None:
    floor, std, day_std = float(s.floor[k]), float(s.std[k]), float(s.day_std[k])
    mean = float(s.columns[k].mean())
    label_std = float("nan") if s.label_std is None else float(s.label_std[k])
    noun, where = ("probability" if s.probability else "score"), s.where
    label_mean = float("nan") if s.label_mean is None else float(s.label_mean[k])
    vanished = k in s.vanished
    if s.probability and (std <= floor or vanished) and _near_base_rate(s, k):
        return (
            Flat.CLASS_PRIOR,
            day_std,
            max(floor, SCALE_FLOOR * label_std),
            f"std of probability {where}",
            (
                f"every probability is {mean:.4g} to within {day_std:.2g}, beside a base rate of "
                f"{label_mean:.4g}: they say nothing of the {'stock' if s.cross_section else 'day'}"
            ),
        )
    if std <= floor:
        return (
            Flat.CONSTANT,
            std,
            floor,
            f"std of {noun}",
            (
                f"every {noun} is {mean:.6g}: they vary by {std:.2g}, no more than rounding "
                f"({floor:.2g}){_beside(s, label_mean)}"
            ),
        )
    if day_std <= floor:
        return (
            Flat.CONSTANT_WITHIN_DAY,
            day_std,
            floor,
            "std of score within the day",
            (
                f"a day's stocks all get one score: they vary by {day_std:.2g} within the "
                f"day, no more than rounding ({floor:.2g}), and by {std:.2g} over all: only the "
                "market level moves"
            ),
        )
    if vanished:
        return (
            Flat.VANISHED_SCALE,
            day_std / label_std,
            SCALE_FLOOR,
            "std(yhat)/std(y)",
            (
                f"scores vary by {day_std:.2g} {where}, {day_std / label_std:.2g} of what the "
                f"targets do{_beside(s, label_mean)}: so small a forecast claims a correlation "
                f"below {SCALE_FLOOR:g}"
            ),
        )
    return None


def _beside(s: Scores, label_mean: float) -> str:
    return (
        f", beside a base rate of {label_mean:.4g}"
        if s.probability and s.target is not None
        else ""
    )


def _near_base_rate(s: Scores, k: int) -> bool:
    if s.label_mean is None or s.label_mean_error is None:
        return False
    apart = abs(float(s.columns[k].mean() - s.label_mean[k]))
    return apart <= max(NEAR_BASE_RATE, SIGMAS * float(s.label_mean_error[k]))


def constant_in_time(s: Scores, stock: ArrayLike) -> Iterator[FlatFinding]:
    """Every stock keeps its place in the cross-section from day to day."""
    if not s.cross_section or s.blocks.count < 2:
        return
    free = s.rows - s.blocks.count - np.unique(stock).size + 1
    # Where stocks hardly recur, day and stock levels explain anything.
    if free < 0.1 * s.rows:
        return
    split = split_variance(s.columns.T, s.blocks.index, stock)
    for k, horizon in enumerate(s.horizons):
        moving, bound = float(np.sqrt(split.rest[k] * s.rows / free)), float(s.noise[k])
        if k not in s.dead | s.noise_only and moving <= bound:
            yield FlatFinding(
                Flat.CONSTANT_IN_TIME,
                horizon,
                moving,
                bound,
                "std of score in time",
                f"every stock keeps its score: beside the level of the day and of the stock, "
                f"scores move by {moving:.2g} from day to day, no more than noise ({bound:.2g}), "
                f"while stocks differ by {s.day_std[k]:.2g}",
            )


def input_independent(s: Scores) -> Iterator[FlatFinding]:
    """Scores vary, but with noise or with the row alone, not with the inputs."""
    agreement = s.agreement
    moved = None
    if s.shuffled is not None:
        moved = np.sqrt((s.within(s.shuffled - s.columns) ** 2).mean(1))
    for k, horizon in enumerate(s.horizons):
        if k in s.dead:
            continue
        if agreement is not None and k in s.noise_only:
            bound = SIGMAS / np.sqrt(s.rows)
            yield FlatFinding(
                Flat.INPUT_INDEPENDENT,
                horizon,
                float(agreement[k]),
                float(bound),
                "correlation",
                f"two evaluations of the same inputs correlate by {agreement[k]:.3f} within the "
                f"day, no more than chance ({bound:.3f}): the scores are noise",
            )
            continue
        if moved is None:
            continue
        bound = max(np.sqrt(2) * float(s.noise[k]), SCALE_FLOOR * float(s.day_std[k]))
        if moved[k] <= bound:
            yield FlatFinding(
                Flat.INPUT_INDEPENDENT,
                horizon,
                float(moved[k]),
                bound,
                "rms change of score",
                f"shuffling the inputs moves scores by {moved[k]:.2g} within the day, no more "
                f"than {bound:.2g}, though they vary by {s.day_std[k]:.2g}: not with the inputs",
            )


def identical_horizons(s: Scores) -> Iterator[FlatFinding]:
    """Two horizons have the same scores, up to a constant."""
    for i, j in combinations(range(len(s.columns)), 2):
        if (s.dead | s.noise_only) & {i, j}:
            continue
        apart = float((s.columns[i] - s.columns[j]).std())
        bound = float(np.sqrt(2) * max(s.noise[i], s.noise[j]))
        if apart <= bound:
            yield FlatFinding(
                Flat.IDENTICAL_HORIZONS,
                s.horizons[j],
                apart,
                bound,
                "std of the difference",
                f"horizons {s.horizons[i]} and {s.horizons[j]} have the same scores: their "
                f"difference varies by {apart:.2g}, no more than noise ({bound:.2g})",
            )
