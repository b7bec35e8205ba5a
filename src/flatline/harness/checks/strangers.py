"""What must not move a row's scores: other days, later ones, the batch, row order, targets."""

from __future__ import annotations

from torch import nn

from flatline.harness.probes.strangers import Change
from flatline.harness.verdicts import Culprit, Stage, Status, Verdict, module_culprit, not_judged

__all__ = ["REMEDIES", "stay"]

# A gradient below this share of the rows' own changes no digit of a float32.
GRADIENT_FLOOR = 2.0**-23

# By check: what is changed, and what to do about it.
REMEDIES = {
    "other_days_do_not_matter": (
        "the rows of other days",
        "Normalise, attend and rank within the day only.",
    ),
    "later_days_do_not_matter": (
        "the rows of later days",
        "Mask what is later than the row, or keep days apart.",
    ),
    "composition_does_not_matter": (
        "which other rows share the batch",
        "Take no statistics over the batch, and keep batch norms out of train mode.",
    ),
    "row_order_does_not_matter": (
        "the order of the rows",
        "Look for a reshape where a transpose was meant, or for edges of another order.",
    ),
    "neighbours_as_declared": (
        "rows that it is not to hear",
        'Pass between rows along the edges only, or declare `hears="day"` on the Subject.',
    ),
    "targets_do_not_matter": (
        "the targets",
        "Take the targets out of the inputs, and out of the memory that both share.",
    ),
}


def stay(check: str, change: Change, model: nn.Module) -> Verdict:
    """Scores must stay where they are, but for the rounding of float32.

    The bound is measured: how far scores move where every input is off by one rounding, times
    the roundings that a deep model does. A gradient, where one was asked for, must
    vanish to the last digit.

    Args:
        check: Id of the check, one of `REMEDIES`.
        change: What was measured.
        model: Names and modules, for the culprit.
    """
    what, remedy = REMEDIES[check]
    if change.untried:
        return not_judged(check, Stage.START, change.untried)
    leaks = (change.gradient or 0.0) > GRADIENT_FLOOR
    moved = not change.moved <= 1.0
    slope = ""
    if change.gradient is not None:
        slope = f"; gradient {change.gradient:.2g} of the rows' own, expected {GRADIENT_FLOOR:.2g}"
    return Verdict(
        check=check,
        stage=Stage.START,
        status=Status.FAIL if moved or leaks else Status.PASS,
        value=change.size,
        bound=change.noise,
        unit="largest change of a score / size of the scores",
        measured=(
            f"scores move by up to {change.size:.2g} of their size with {what}, "
            f"expected {change.noise:.2g} at most, what rounding does{slope}"
        ),
        false_alarm_rate=0.0,
        hint=f"The scores of a row depend on {what}." if moved or leaks else "",
        culprit=_culprit(what, remedy, change, model) if moved or leaks else None,
    )


def _culprit(what: str, remedy: str, change: Change, model: nn.Module) -> Culprit:
    evidence = f"moves by {change.size:.2g} of the scores' size with {what}"
    if change.module:
        evidence = f"the first module whose output changes; the score {evidence}"
    return module_culprit(model, change.module or "", evidence=evidence, remedy=remedy)
