"""The subject's own evaluation loop scores every row, and in eval mode."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from flatline.harness.statistics import HALF_THE_DIGITS
from flatline.harness.verdicts import Culprit, Stage, Status, Verdict

__all__ = ["predictions_agree"]

Floats = NDArray[np.float64]


def predictions_agree(
    own: Floats,
    wanted: Floats,
    *,
    own_target: Floats,
    target: Floats,
    file: str | None = None,
    line: int | None = None,
) -> Verdict:
    """The rows that the subject's loop scores must be those of the split, scored in eval mode.

    Rows may come in any order: targets and scores are compared as sets of rows. Scores may
    differ by the square root of float32's rounding, in units of their size, because a loop
    may cut its batches in another way.

    Args:
        own: Scores of the subject's loop. Shape (its rows, horizons).
        wanted: Eval-mode scores of every row of the split. Shape (rows, horizons).
        own_target: Targets of the subject's loop. Shape (its rows, horizons).
        target: Targets of the split. Shape (rows, horizons).
        file: Source file of the loop, for the culprit.
        line: Its first line.
    """
    size = float(np.sqrt(np.square(wanted).mean()))
    bound, difference = HALF_THE_DIGITS * size, float("nan")
    if own.shape != wanted.shape:
        evidence = f"{own.shape[0]} of {wanted.shape[0]} rows are scored"
        if own.shape[1] != wanted.shape[1]:
            evidence += f", in {own.shape[1]} columns instead of {wanted.shape[1]}"
    else:
        difference = float(np.abs(_ordered(own, own_target) - _ordered(wanted, target)).max())
        evidence = f"scores differ by up to {difference:.3g} from those in eval mode"
    # A NaN difference agrees with nothing.
    agree = difference <= bound
    return Verdict(
        check="predictions_agree",
        stage=Stage.EVALUATION,
        status=Status.PASS if agree else Status.FAIL,
        value=difference,
        bound=bound,
        unit="largest difference of two scores",
        measured=f"{evidence}; expected all {wanted.shape[0]} rows, and at most {bound:.2g}",
        false_alarm_rate=0.0,
        hint=""
        if agree
        else "Look for a last batch that is dropped, dropout that stays on, or "
        "columns in another order.",
        culprit=None
        if agree
        else Culprit(
            kind="code",
            path="predict",
            evidence=evidence,
            remedy="Call model.eval(), and keep every batch and the order of the columns.",
            file=file,
            line=line,
        ),
    )


def _ordered(score: Floats, target: Floats) -> Floats:
    """Scores with their rows in the order of the targets, which both sides have in common.

    Rows whose targets tie are ordered by each column itself: what rounding swaps then is
    equal but for rounding.
    """
    known = list(np.nan_to_num(target.astype(np.float32), nan=-np.inf).T)
    return np.stack([column[np.lexsort([column, *known])] for column in score.T], 1)
