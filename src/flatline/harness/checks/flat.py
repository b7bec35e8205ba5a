"""No kind of flat: at the start, after training, on shifted inputs, among the quantiles."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from flatline.harness.checks.degeneracy import WHERE, name_kinds, spread
from flatline.harness.probes.looks import Looks
from flatline.harness.subject import Axis
from flatline.harness.verdicts import Stage, Status, Verdict, not_judged
from flatline.metrics.dispersion import Flat, FlatFinding, find_flat, rounding_floor

__all__ = ["alive_at_start", "alive_when_shifted", "follows_inputs", "quantiles_alive"]

Floats = NDArray[np.float64]
Names = Sequence[int] | None

# What is divided by is at least this.
TINY = float(np.finfo(np.float64).tiny)
OF_INPUTS = {Flat.INPUT_INDEPENDENT, Flat.CONSTANT_IN_TIME, Flat.NOT_FINITE}
OF_QUANTILES = {Flat.COLLAPSED_QUANTILES, Flat.CROSSING_QUANTILES, Flat.NOT_FINITE}


def alive_at_start(
    found: Looks, *, axis: Axis = "stocks", eps: float = 2.0**-23, names: Names = None
) -> Verdict:
    """Scores of a fresh model must be of no flat kind, whatever their scale.

    Args:
        found: A fresh model, or one after its first steps.
        axis: Whether scores must differ within the day or in time.
        eps: Relative spacing of the numbers that the model computes with.
        names: What to call the columns of the scores.
    """
    findings = _all_kinds(found, eps, names)
    return _verdict(
        "start_scores_vary",
        Stage.START,
        findings,
        _spread_of(found, found.score, axis, eps, "scores of a fresh model"),
    )


def follows_inputs(
    found: Looks, *, axis: Axis = "stocks", eps: float = 2.0**-23, names: Names = None
) -> Verdict:
    """Scores must move with the inputs: with their rows, and from day to day.

    Args:
        found: A trained model.
        axis: Whether scores must differ within the day or in time.
        eps: Relative spacing of the numbers that the model computes with.
        names: What to call the columns of the scores.
    """
    findings = _all_kinds(found, eps, names)
    moved = np.sqrt(np.square(found.shuffled - found.score).mean(0))
    usual = spread(found.score, found.day, axis=axis)
    worst = int(np.argmin(np.nan_to_num(moved / np.maximum(usual, TINY), nan=-np.inf)))
    return _verdict(
        "scores_follow_inputs",
        Stage.TRAINED,
        [one for one in findings if one.kind in OF_INPUTS],
        (
            float(moved[worst]),
            float(np.sqrt(2) * _floor(found.score, found.again, eps)[worst]),
            "rms change of the score",
            (
                f"shuffling the rows' inputs moves scores of column {worst} by "
                f"{moved[worst]:.3g}, while they vary by {usual[worst]:.3g} {WHERE[axis]}"
            ),
        ),
    )


def alive_when_shifted(
    found: Looks, *, axis: Axis = "stocks", eps: float = 2.0**-23, names: Names = None
) -> Verdict:
    """Scores must be of no flat kind either where all inputs went up, or down, by two spreads.

    A spread below a thousandth of the usual one counts as vanished. Inputs of one sign, such
    as prices and volumes, keep it.

    Args:
        found: A trained model.
        axis: Whether scores must differ within the day or in time.
        eps: Relative spacing of the numbers that the model computes with.
        names: What to call the columns of the scores.
    """
    if all(np.array_equal(score, found.score) for score in found.shifted):
        # A row alone has no spread to be shifted by; what follows no input is told elsewhere.
        return not_judged("shifted_scores_vary", Stage.EVALUATION, "the shift moves no score")
    usual = _kinds(find_flat(found.score, found.day, horizons=names))
    looks = []
    for score in found.shifted:
        floor = rounding_floor(np.nan_to_num(score), eps=eps)
        findings = find_flat(
            score, found.day, target=found.score, noise_floor=floor, horizons=names
        )
        # What is flat without a shift has a verdict of its own; no numbers are never a pass.
        findings = [
            one
            for one in findings
            if one.kind == Flat.NOT_FINITE or (one.kind, one.horizon) not in usual
        ]
        numbers = _spread_of(found, score, axis, eps, "scores of shifted inputs")
        looks.append((findings, numbers))
    findings, numbers = min(looks, key=lambda one: (not one[0], one[1][0] / max(one[1][1], TINY)))
    return _verdict("shifted_scores_vary", Stage.EVALUATION, findings, numbers)


def quantiles_alive(found: Looks, *, names: Names = None) -> Verdict:
    """Quantiles must lie apart and in order.

    Args:
        found: A trained model, with quantiles.
        names: What to call the columns of the scores.
    """
    if found.quantiles is None:
        raise ValueError("quantiles cannot be judged without `quantiles`")
    findings = find_flat(
        found.score, found.day, target=found.target, quantiles=found.quantiles, horizons=names
    )
    gaps = np.diff(found.quantiles, axis=2)
    narrow = np.abs(gaps).mean(0).min(1)
    floor = rounding_floor(np.nan_to_num(found.quantiles.reshape(len(gaps), -1)))
    crossing = float((gaps < -floor.max()).any(2).mean())
    worst = int(np.argmin(np.nan_to_num(narrow, nan=-np.inf)))
    return _verdict(
        "quantiles_alive",
        Stage.TRAINED,
        [one for one in findings if one.kind in OF_QUANTILES],
        (
            float(narrow[worst]),
            float(floor.max()),
            "mean gap of two neighbouring quantiles",
            (
                f"two neighbouring quantiles of column {worst} lie {narrow[worst]:.3g} apart on "
                f"average, and {crossing:.1%} of the rows have quantiles that cross"
            ),
        ),
    )


def _floor(score: Floats, again: Floats, eps: float) -> Floats:
    """What rounding makes of a constant, or what a second look differs by: (horizons,)."""
    apart = np.sqrt(np.square(score - again).mean(0))
    return np.asarray(np.fmax(rounding_floor(np.nan_to_num(score), eps=eps), apart))


def _spread_of(
    found: Looks, score: Floats, axis: Axis, eps: float, what: str
) -> tuple[float, float, str, str]:
    apart, floor = (
        spread(score, found.day, axis=axis),
        rounding_floor(np.nan_to_num(score), eps=eps),
    )
    worst = int(np.argmin(np.nan_to_num(apart - floor, nan=-np.inf)))
    listed = " ".join(f"{one:.3g}" for one in apart)
    return (
        float(apart[worst]),
        float(floor[worst]),
        f"standard deviation {WHERE[axis]}",
        (
            f"{what} vary by {listed} {WHERE[axis]}; column {worst} by {apart[worst]:.3g}, "
            f"expected more than {floor[worst]:.2g}"
        ),
    )


def _all_kinds(found: Looks, eps: float, names: Names) -> list[FlatFinding]:
    return find_flat(
        found.score,
        found.day,
        stock=found.stock,
        repeated=found.again,
        shuffled=found.shuffled,
        noise_floor=_floor(found.score, found.again, eps),
        horizons=names,
    )


def _kinds(findings: Collection[FlatFinding]) -> set[tuple[Flat, int]]:
    return {(one.kind, one.horizon) for one in findings}


def _verdict(
    check: str,
    stage: Stage,
    findings: Sequence[FlatFinding],
    numbers: tuple[float, float, str, str],
) -> Verdict:
    """Failed where there is a finding, whose numbers it then shows."""
    value, bound, unit, measured = numbers
    if findings:
        worst = findings[0]
        value, bound, unit = worst.measured, worst.bound, worst.unit
        measured = worst.sentence
    return Verdict(
        check=check,
        stage=stage,
        status=Status.FAIL if findings else Status.PASS,
        value=value,
        bound=bound,
        unit=unit,
        measured=measured,
        false_alarm_rate=0.0,
        hint=name_kinds(list(findings)),
    )
