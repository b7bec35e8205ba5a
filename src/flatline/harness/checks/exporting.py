"""What is exported are the model's scores: all rows, each under its own key and horizon."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from flatline.harness.probes.exporting import Exported
from flatline.harness.statistics import HALF_THE_DIGITS
from flatline.harness.verdicts import Culprit, Stage, Status, Verdict

__all__ = ["export_agrees"]


def export_agrees(found: Exported) -> Verdict:
    """An export must hold every row that was scored, once, with the scores of that row.

    Args:
        found: Rows of the export beside those that were scored.
    """
    off = _off(found)
    fault = _fault(found, off)
    matched = f"matched by {' and '.join(found.keys)}" if found.keys else "in the order of batches"
    return Verdict(
        check="export_agrees",
        stage=Stage.EVALUATION,
        status=Status.FAIL if fault else Status.PASS,
        value=off,
        bound=HALF_THE_DIGITS,
        unit="root mean square difference / spread of the scores",
        measured=(
            f"{found.found} rows are exported of {found.rows} scored, {matched}; they differ by "
            f"{off:.2g} of the scores' spread, expected at most {HALF_THE_DIGITS:.2g}"
            + (f": {fault}" if fault else "")
        ),
        false_alarm_rate=0.0,
        hint="Someone would trade on other scores than were judged." if fault else "",
        culprit=Culprit(
            kind="part",
            path="export",
            evidence=fault,
            remedy="Write rows with their keys in one frame, and name score columns by horizon.",
        )
        if fault
        else None,
    )


def _fault(found: Exported, off: float) -> str:
    if found.found == 0:
        return "nothing was written"
    if found.lost or found.unknown:
        return f"{found.lost} rows are lost, and {found.unknown} are double or nobody's"
    if found.score.shape[1] != found.written.shape[1]:
        return f"{found.written.shape[1]} columns of scores for {found.score.shape[1]} horizons"
    return _what_differs(found) if off > HALF_THE_DIGITS else ""


def _what_differs(found: Exported) -> str:
    apart = _between(found.score, found.written)
    if bool((apart.min(1) <= HALF_THE_DIGITS).all()):
        places = enumerate(apart.argmin(1))
        return "columns are swapped: " + ", ".join(f"{h} is that of {k}" for h, k in places)
    ours, theirs = np.sort(found.score, 0), np.sort(found.written, 0)
    alike = np.diagonal(_between(ours, theirs)).max() <= HALF_THE_DIGITS
    return "the scores are those of other rows" if alike else "the scores are others"


def _off(found: Exported) -> float:
    if found.score.shape != found.written.shape or not len(found.score):
        return float("inf")
    return float(np.diagonal(_between(found.score, found.written)).max())


def _between(score: NDArray[np.float64], written: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far every written column is from every one of the model's: (columns, columns)."""
    apart = np.sqrt(np.square(written.T[:, None] - score.T[None]).mean(2))
    spread = np.maximum(score.std(0), HALF_THE_DIGITS * np.sqrt(np.square(score).mean(0)))
    return np.asarray(np.divide(apart, spread, out=np.zeros_like(apart), where=apart > 0))
