"""What rounding does to the scores: at another precision, and after a hair's change of inputs."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from flatline.harness.probes.precision import HALF_THE_DIGITS, Nudged, Rounded
from flatline.harness.verdicts import Stage, Status, Verdict, module_culprit, not_judged

__all__ = ["bf16_agrees", "float64_agrees", "well_conditioned"]

# A function loses as many digits as its condition number has. Half of those of a
# float32 are what may be lost.
LARGEST_CONDITION = 1 / HALF_THE_DIGITS[torch.float32]
ONE_ROW = "the batch holds one row, whose score has no spread"


def float64_agrees(found: Rounded) -> Verdict:
    """Rounding to float32 must not move scores by more than half of the digits of their spread.

    A batch of one row has no spread: there it is their size.

    What models compute in float32 is off by some hundred times its spacing, where no
    sum cancels and no branch runs in fewer digits.

    References:
        Higham, Accuracy and Stability of Numerical Algorithms, 2002, section 1.6
        (condition times backward error).
    """
    return _rounded("float64_agrees", found, torch.float32, "float64")


def bf16_agrees(found: Rounded) -> Verdict:
    """Autocast to bfloat16 must not move scores by more than half of the digits of their size.

    Of their size, not their spread: what bfloat16 leaves of small differences between
    large scores is a matter of the scores, and no slip in computing them.
    """
    return _rounded("bf16_agrees", found, torch.bfloat16, "float32")


def well_conditioned(found: Nudged, *, limit: float = LARGEST_CONDITION) -> Verdict:
    """A tiny change of the inputs must make a small change of the scores.

    Args:
        found: Scores before and after.
        limit: Largest ratio of the scores' change, in units of their spread, and the
            inputs', in units of theirs.
    """
    if len(found.score) < 2:
        return not_judged("well_conditioned", Stage.START, ONE_ROW)
    score, moved = found.score.double(), found.moved.double()
    spread, change = score.std(0, unbiased=False), _rms(moved - score)
    # A constant score that stays has no condition; that it is constant is told elsewhere.
    still = (change == 0).logical_and(torch.isfinite(spread))
    ratio = torch.where(still, 0.0, change / spread / found.step)
    worst = float(ratio.nan_to_num(math.inf).max())
    passed = worst <= limit
    return Verdict(
        check="well_conditioned",
        stage=Stage.START,
        status=Status.PASS if passed else Status.FAIL,
        value=worst,
        bound=limit,
        unit="relative change of the scores / of the inputs",
        measured=(
            f"inputs moved by {found.step:.2g} of their spread move scores by "
            f"{worst * found.step:.2g} of theirs, {worst:.3g} times as much, "
            f"expected at most {limit:.3g} times"
        ),
        false_alarm_rate=0.0,
        hint=""
        if passed
        else "Look for a division by a spread or a norm that may be 0, a steep gate, or layers "
        "whose outputs grow or hide what differs.",
    )


def _rounded(check: str, found: Rounded, low: torch.dtype, high: str) -> Verdict:
    bound, name = HALF_THE_DIGITS[low], str(low).removeprefix("torch.")
    if found.refused:
        other = "float64" if low is torch.float32 else "bfloat16 autocast"
        return not_judged(
            check, Stage.START, f"the model does not run in {other} ({found.refused})"
        )
    precise = found.precise
    of_spread = low is torch.float32 and len(precise) > 1
    size = precise.std(0, unbiased=False) if of_spread else _rms(precise)
    # A constant has no spread: it is held to what rounding does to its size.
    floor = 8 * torch.finfo(low).eps * _rms(precise) / bound
    off = _rms(found.coarse - precise)
    ratio = torch.where(off == 0, 0.0, off / torch.maximum(size, floor))
    worst = float(ratio.nan_to_num(math.inf).max())
    passed, parting = worst <= bound, found.parting
    return Verdict(
        check=check,
        stage=Stage.START,
        status=Status.PASS if passed else Status.FAIL,
        value=worst,
        bound=bound,
        unit=f"root mean square difference / {'spread' if of_spread else 'size'} of the scores",
        measured=(
            f"scores in {name} are off those in {high} by {worst:.2g} of their "
            f"{'spread' if of_spread else 'size'}, expected at most {bound:.2g}"
        ),
        false_alarm_rate=0.0,
        hint=""
        if passed
        else "Look for a difference of large numbers, a cast to fewer digits, or inputs that "
        "are not normalised.",
        culprit=module_culprit(
            found.model,
            parting.path,
            evidence=f"the first whose output is off, by {parting.apart:.2g} of its size",
            remedy="Centre or scale what goes in before it is multiplied, or keep it in float32.",
        )
        if parting and not passed
        else None,
    )


def _rms(x: Tensor) -> Tensor:
    found: Tensor = x.square().mean(0).sqrt()
    return found
