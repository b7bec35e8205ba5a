"""The model keeps its word: the same inputs give the same scores."""

from __future__ import annotations

from torch import Tensor

from flatline.harness.statistics import HALF_THE_DIGITS
from flatline.harness.verdicts import Stage, Status, Verdict

__all__ = ["evaluations_agree"]


def evaluations_agree(first: Tensor, second: Tensor, *, exact: bool) -> Verdict:
    """Two eval-mode passes over the same batches must give the same scores.

    Args:
        first: Scores of one pass. Shape (rows, horizons).
        second: Scores of the next.
        exact: Whether every bit must agree, as on the CPU; otherwise sums may
            be taken in another order, and the scores may differ by the square
            root of float32's rounding, in units of their size.
    """
    size = float(first.square().mean().sqrt())
    # A NaN stays one in the difference and fails the comparison below.
    difference = float((first - second).abs().max())
    bound = 0.0 if exact else HALF_THE_DIGITS * size
    agree = difference <= bound
    return Verdict(
        check="evaluations_agree",
        stage=Stage.EVALUATION,
        status=Status.PASS if agree else Status.FAIL,
        value=difference,
        bound=bound,
        unit="largest difference of two scores",
        measured=f"scores of two passes differ by up to {difference:.3g}, expected {bound:.3g}",
        false_alarm_rate=0.0,
        hint="" if agree else "Look for dropout or batch statistics that stay on in eval mode.",
    )
