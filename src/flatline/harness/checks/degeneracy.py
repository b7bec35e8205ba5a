"""Scores tell the stocks of a day apart, or the days of a series, on the scale of what happens."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from flatline.harness.subject import Axis
from flatline.harness.verdicts import Stage, Status, Verdict, not_judged
from flatline.metrics.blocks import DayBlocks
from flatline.metrics.dispersion import Flat, FlatFinding, find_flat, rounding_floor
from flatline.metrics.variance import within_day

__all__ = [
    "WHERE", "name_kinds", "probability_floor", "scale_in_range", "scale_of_its_own",
    "scores_vary", "spread",
]  # fmt: skip

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# What a spread is taken over.
WHERE: dict[Axis, str] = {"stocks": "within the day", "time": "in time"}

# A loss holds the spread if ten times as much is worse than a forecast that is upside down.
HOLDS = 1.0


def scores_vary(
    score: Floats,
    again: Floats,
    day: Ints,
    *,
    axis: Axis = "stocks",
    eps: float = 2.0**-23,
    probability: Floats | None = None,
    label: Floats | None = None,
) -> Verdict:
    """For every horizon, eval-mode scores must differ beyond the noise floor.

    The floor is what rounding makes of a constant of the same size, or what a second
    evaluation differs by, whichever is larger. Every kind of flat that the scores show,
    or the probabilities made of them, is named.

    Args:
        score: Shape (rows, horizons).
        again: The same scores, evaluated once more. Shape (rows, horizons).
        day: Day of each row. Shape (rows,).
        axis: Whether they must differ within the day or in time.
        eps: Relative spacing of the numbers the model computes with: 2**-23 for
            float32, 2**-8 for bfloat16.
        probability: Of the class. Shape (rows, horizons).
        label: 0 or 1, NaN where not known. Shape (rows, horizons).
    """
    apart = spread(score, day, axis=axis)
    floor = np.maximum(rounding_floor(score, eps=eps), np.sqrt(np.square(score - again).mean(0)))
    worst = int(np.argmin(np.nan_to_num(apart - floor, nan=-np.inf)))
    findings = find_flat(score, day, repeated=again, noise_floor=floor)
    if probability is not None:
        # What is read are the probabilities; only noise is told by two looks at the scores.
        noise = [found for found in findings if found.kind == Flat.INPUT_INDEPENDENT]
        rounding = probability_floor(probability, score, eps=eps)
        of_classes = find_flat(
            probability, day, target=label, probability=True, noise_floor=rounding
        )
        # A second sigmoid has a verdict of its own.
        findings = [f for f in of_classes if f.kind != Flat.SECOND_SIGMOID] + noise
    varies = bool(np.all(apart > floor)) and not findings
    listed = " ".join(f"{s:.3g}" for s in apart)
    return Verdict(
        check="scores_vary",
        stage=Stage.TRAINED,
        status=Status.PASS if varies else Status.FAIL,
        value=float(apart[worst]),
        bound=float(floor[worst]),
        unit=f"standard deviation {WHERE[axis]}",
        measured=(
            f"yhat_std by horizon {listed}; column {worst} has {apart[worst]:.3g}, "
            f"expected more than its noise floor {floor[worst]:.2g}"
        ),
        false_alarm_rate=0.0,
        hint=name_kinds(findings),
    )


def scale_in_range(
    score: Floats,
    target: Floats,
    day: Ints,
    *,
    axis: Axis = "stocks",
    low: float = 1e-2,
    high: float = 1e1,
) -> Verdict:
    """For every horizon, the scores' spread must be comparable to the targets'.

    A forecast with correlation r to the target is at its best at a SCALE of
    r, hence well under 1 for any honest model; under 0.01 not even a weak
    signal is expressed, and over 10 the scores are of another unit. Probabilities
    are held against classes: over 1 they claim more than perfect foresight would.

    Args:
        score: Or the probability of the class. Shape (rows, horizons).
        target: Or the class, 0 or 1. NaN where not known. Shape (rows, horizons).
        day: Day of each row. Shape (rows,).
        axis: Whether spreads are taken within the day or in time.
        low: Smallest ratio of the spreads.
        high: Largest ratio.
    """
    known = np.isfinite(target)
    if not known.any():
        return not_judged("scale_in_range", Stage.TRAINED, "no label is known")
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = np.array(
            [
                spread(score[k, h : h + 1], day[k], axis=axis)[0]
                / spread(target[k, h : h + 1], day[k], axis=axis)[0]
                if k.any()
                else np.nan
                for h, k in enumerate(known.T)
            ]
        )
        # How far outside, on a log scale; an undefined ratio is as bad as can be.
        excess = np.nan_to_num(np.abs(np.log(scale / np.sqrt(low * high))), nan=np.inf)
    # A horizon without labels has no ratio to be judged by.
    worst = int(np.where(known.any(0), excess, -np.inf).argmax())
    fits = bool(low <= scale[worst] <= high)
    listed = " ".join(f"{s:.3g}" for s in scale)
    return Verdict(
        check="scale_in_range",
        stage=Stage.TRAINED,
        status=Status.PASS if fits else Status.FAIL,
        value=float(scale[worst]),
        bound=low if scale[worst] < 1 else high,
        unit=f"spread of the scores / of the targets, {WHERE[axis]}",
        measured=f"SCALE(yhat/y) by horizon {listed}, expected {low:g} to {high:g}",
        false_alarm_rate=0.0,
        hint="" if fits else "Look at the head's layer scale and initial spread.",
    )


def scale_of_its_own(
    verdict: Verdict,
    score: Floats,
    day: Ints,
    *,
    cost: float,
    axis: Axis = "stocks",
    eps: float = 2.0**-23,
) -> Verdict:
    """A spread out of range is no fault where the loss does not hold it to that of the targets.

    A loss of ranks or correlations leaves the spread where the weights started, and one of
    pairwise logits has a unit of its own. Only a spread within rounding is then too small.

    Args:
        verdict: That the spread is out of range.
        score: Shape (rows, horizons).
        day: Day of each row. Shape (rows,).
        cost: Of ten times the spread, over that of the same forecast upside down; NaN where
            not known.
        axis: Whether the spread is taken within the day or in time.
        eps: Relative spacing of the numbers the model computes with.
    """
    beyond = spread(score, day, axis=axis) > rounding_floor(score, eps=eps)
    if cost > HOLDS or not beyond.all() or verdict.value is None or not np.isfinite(verdict.value):
        return verdict
    return not_judged(
        verdict.check,
        verdict.stage,
        f"{verdict.measured}, yet the loss does not hold the scores to it: ten times the spread "
        f"costs {cost:.2g} of what the same forecast upside down does, {HOLDS:g} at least",
    )


def probability_floor(probability: Floats, score: Floats, *, eps: float) -> Floats:
    """Standard deviation that rounding of the scores may give the probabilities made of them.

    Scores are rounded in proportion to their own size, and a probability moves by so much
    less as it varies less than the score. It is itself computed in float32.

    Args:
        probability: Shape (rows, horizons).
        score: Shape (rows, horizons).
        eps: Relative spacing of the numbers that the scores were computed with.

    Returns:
        Shape (horizons,).
    """
    apart = score.std(0)
    slope = np.divide(probability.std(0), apart, out=np.zeros_like(apart), where=apart > 0)
    rounded = slope * rounding_floor(score, eps=eps)
    return np.asarray(np.maximum(rounding_floor(probability), rounded))


def spread(x: Floats, day: Ints, *, axis: Axis) -> Floats:
    """Standard deviation within the day, or in time: (rows, columns) to (columns,)."""
    groups = day if axis == "stocks" else np.zeros_like(day)
    deviations = within_day(x.T, DayBlocks.of(groups))
    return np.asarray(np.sqrt(np.square(deviations).mean(1)))


def name_kinds(findings: list[FlatFinding]) -> str:
    """What was found, each kind of flat by its name."""
    return "; ".join(f"{f.kind} (column {f.horizon}): {f.sentence}" for f in findings)
