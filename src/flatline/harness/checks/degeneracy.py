"""Scores tell the stocks of a day apart, on the scale of what happens."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from flatline.harness.verdicts import Stage, Status, Verdict
from flatline.metrics.blocks import DayBlocks
from flatline.metrics.dispersion import find_flat, rounding_floor
from flatline.metrics.variance import within_day

__all__ = ["scale_in_range", "scores_vary"]


def scores_vary(
    score: NDArray[np.float64],
    again: NDArray[np.float64],
    day: NDArray[np.int64],
    *,
    eps: float = 2.0**-23,
) -> Verdict:
    """For every horizon, eval-mode scores must differ within the day beyond the noise floor.

    The floor is what rounding makes of a constant of the same size, or what a second
    evaluation differs by, whichever is larger. Every kind of flat that the scores show
    is named.

    Args:
        score: Shape (rows, horizons).
        again: The same scores, evaluated once more. Shape (rows, horizons).
        day: Day of each row. Shape (rows,).
        eps: Relative spacing of the numbers the model computes with: 2**-23 for
            float32, 2**-8 for bfloat16.
    """
    spread = _within_day(score, day)
    floor = np.maximum(rounding_floor(score, eps=eps), np.sqrt(np.square(score - again).mean(0)))
    worst = int(np.argmin(np.nan_to_num(spread - floor, nan=-np.inf)))
    findings = find_flat(score, day, repeated=again, noise_floor=floor)
    varies = bool(np.all(spread > floor)) and not findings
    listed = " ".join(f"{s:.3g}" for s in spread)
    return Verdict(
        check="scores vary within the day",
        stage=Stage.TRAINED,
        status=Status.PASS if varies else Status.FAIL,
        value=float(spread[worst]),
        bound=float(floor[worst]),
        unit="standard deviation within the day",
        measured=(
            f"yhat_std by horizon {listed}; column {worst} has {spread[worst]:.3g}, "
            f"expected more than its noise floor {floor[worst]:.2g}"
        ),
        false_alarm_rate=0.0,
        hint="; ".join(finding.sentence for finding in findings),
    )


def scale_in_range(
    score: NDArray[np.float64],
    target: NDArray[np.float64],
    day: NDArray[np.int64],
    *,
    low: float = 1e-2,
    high: float = 1e1,
) -> Verdict:
    """For every horizon, the scores' spread must be comparable to the targets'.

    A forecast with correlation r to the target is at its best at a SCALE of
    r, hence well under 1 for any honest model; under 0.01 not even a weak
    signal is expressed, and over 10 the scores are of another unit.

    Args:
        score: Shape (rows, horizons).
        target: NaN where not known. Shape (rows, horizons).
        day: Day of each row. Shape (rows,).
        low: Smallest ratio of the spreads within the day.
        high: Largest ratio.
    """
    known = np.isfinite(target)
    scale = np.array(
        [
            _within_day(score[k, h : h + 1], day[k])[0]
            / _within_day(target[k, h : h + 1], day[k])[0]
            for h, k in enumerate(known.T)
        ]
    )
    # How far outside, on a log scale; an undefined ratio is as bad as can be.
    with np.errstate(divide="ignore", invalid="ignore"):
        excess = np.nan_to_num(np.abs(np.log(scale / np.sqrt(low * high))), nan=np.inf)
    worst = int(excess.argmax())
    fits = bool(low <= scale[worst] <= high)
    listed = " ".join(f"{s:.3g}" for s in scale)
    return Verdict(
        check="SCALE in range",
        stage=Stage.TRAINED,
        status=Status.PASS if fits else Status.FAIL,
        value=float(scale[worst]),
        bound=low if scale[worst] < 1 else high,
        unit="spread of the scores / of the targets, within the day",
        measured=f"SCALE(yhat/y) by horizon {listed}, expected {low:g} to {high:g}",
        false_alarm_rate=0.0,
        hint="" if fits else "Look at the head's layer scale and initial spread.",
    )


def _within_day(x: NDArray[np.float64], day: NDArray[np.int64]) -> NDArray[np.float64]:
    deviations = within_day(x.T, DayBlocks.of(day))
    return np.asarray(np.sqrt(np.square(deviations).mean(1)))
