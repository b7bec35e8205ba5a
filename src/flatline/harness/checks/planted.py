"""What was planted in the inputs comes through to the scores, by every pathway."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from flatline.harness.permutation import normal_scores
from flatline.harness.probes.pathways import Kind
from flatline.harness.probes.planted import Planted, Reached
from flatline.harness.statistics import CHANCE
from flatline.harness.verdicts import Culprit, Stage, Status, Verdict, not_judged
from flatline.metrics.blocks import DayBlocks
from flatline.metrics.variance import within_day

__all__ = [
    "IDS", "both_halves_learned", "not_for_classes", "pathway_learned", "slow_to_look_back",
]  # fmt: skip

Floats = NDArray[np.float64]

# A rise of the labels' mean over two quarters that is less of their spread is none.
FLAT = 1e-2
# With less of the planted target the shape of the scores is still that of a fresh model.
ENOUGH = 0.7
# By so much of what all inputs do an earlier step moves the scores of a model that looks back.
LOOKS_BACK = 1e-2
# Labels have both signs where this share of them has either.
SIGNED = 0.1
IDS = {
    Kind.NEWEST: "learns_newest_step",
    Kind.EARLIER: "learns_earlier_step",
    Kind.LEVEL: "learns_levels",
    Kind.ROW: "learns_row_values",
    Kind.NEIGHBOURS: "learns_neighbours",
}
LACKS = {
    Kind.NEWEST: "no lookback, or its newest step may not matter",
    Kind.EARLIER: "no lookback, or its earlier steps may not matter",
    Kind.LEVEL: "no lookback, or its levels may not matter",
    Kind.ROW: "no input of one row of numbers, or it may not matter",
    Kind.NEIGHBOURS: "no edges, or they may not matter",
}
REMEDIES = {
    Kind.NEWEST: "Look at which step the head reads, and at the axes that are reshaped.",
    Kind.EARLIER: "Look at what carries earlier steps to the head: recurrence, attention, patches.",
    Kind.LEVEL: "Look for a normalisation of each window by itself, whose level is not put back.",
    Kind.ROW: "Look at where it enters the model, and what is multiplied with it.",
    Kind.NEIGHBOURS: "Look at the edges passed to the graph branch, and at its weight in the sum.",
}


def pathway_learned(
    found: Planted, kind: Kind, *, chance: float = CHANCE, names: Sequence[int] | None = None
) -> Verdict:
    """For every input and horizon, scores must follow what was planted in this kind of pathway.

    Of an earlier step, that of one input is enough: that each input counts at each of its steps,
    the dependence layer tells.

    What is planted was dealt out anew among the rows, so that a model which does not look there
    has scores that agree with it by chance alone; the bound is the quantile over all orders in
    which it might have been dealt.

    Args:
        found: What came through.
        kind: Which pathways are judged.
        chance: Probability that a model which does not look there passes, per horizon.
        names: What to call the columns of the scores; 0, 1, ... if None.
    """
    here = [one for one in found.reached if one.kind == kind]
    if not here:
        return not_judged(IDS[kind], Stage.TRAINED, f"the subject has {LACKS[kind]}")
    reach = float(stats.norm.ppf(1 - chance))
    # How far a model looks back is its own matter: any input will do.
    pick = max if kind == Kind.EARLIER else min
    worst = pick(here, key=lambda one: float(_margins(one).min()))
    column = int(_margins(worst).argmin())
    value, bound = float(worst.correlation[column]), reach * float(worst.error[column])
    passed = value > bound
    listed = " ".join(f"{r:.2f}" for r in worst.correlation)
    margins = [reach - _margins(one) for one in ([worst] if pick is max else here)]
    return Verdict(
        check=IDS[kind],
        stage=Stage.TRAINED,
        status=Status.PASS if passed else Status.FAIL,
        value=value,
        bound=bound,
        unit="correlation of the scores with what was planted",
        measured=(
            f"scores follow {worst.name} by {listed} (correlation by horizon) after {found.steps} "
            f"steps on targets planted there; {_called(column, names)} has {value:.3f}, expected "
            f"more than {bound:.3f}"
        ),
        # How often the same model, scored on other rows, would stay under the bound.
        false_alarm_rate=float(np.minimum(1.0, stats.norm.cdf(margins).sum())) if passed else None,
        hint="" if passed else _hint(found, worst, value, bound),
        culprit=None if passed else _culprit(worst, column, value),
    )


def slow_to_look_back(verdict: Verdict, moved: float, *, steps: int) -> Verdict:
    """A model whose scores do go with earlier steps is slow, and not to be blamed.

    Recurrent networks and deep attention may take longer than the gate does to find a single
    earlier step. Whether the way from there is open, the dependence layer tells at once.

    Args:
        verdict: That what was planted in an earlier step did not come through.
        moved: How far an earlier step moves the scores, in units of what all inputs do.
        steps: Optimizer steps taken.
    """
    if not moved > LOOKS_BACK:
        return verdict
    return not_judged(
        verdict.check,
        verdict.stage,
        f"{steps} steps are too few to tell: what was planted in an earlier step did not come "
        f"through, yet earlier steps move the scores by {moved:.2g} of what all inputs do",
    )


def both_halves_learned(
    found: Planted,
    *,
    least: float = 0.3,
    chance: float = CHANCE,
    names: Sequence[int] | None = None,
) -> Verdict:
    """For every horizon, scores must answer to low targets as to high ones.

    A rectified output follows the upper half of its targets and lies flat over the lower one.
    Rows are cut in quarters by what was planted; in either half, the rise of the scores from one
    quarter to the next is held against that of the labels.

    Args:
        found: What came through.
        least: Smallest ratio of the two halves' answers. A straight line has 1, small networks
            0.5 and more; a rectified head 0.1 to 0.2, as it does not know all that was planted.
        chance: Probability that a model whose halves' answers are just so far apart fails: each
            is known up to what other rows would make of it.
        names: What to call the columns of the scores; 0, 1, ... if None.
    """
    rises, errors, known = _rises(found)
    if not known.any():
        return _no_halves("no labels of both signs that differ in either half of the rows")
    share = float(np.min(found.share))
    if share < ENOUGH:
        return _no_halves(
            f"learned too little to tell: scores correlate by {share:.2f} with what was planted, "
            f"{ENOUGH:g} at least"
        )
    low, high = rises
    order = np.argsort(rises, axis=0)
    smaller, larger = np.take_along_axis(rises, order, 0)
    of_smaller, of_larger = np.take_along_axis(errors, order, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(known, np.nan_to_num(smaller / larger, nan=-np.inf), np.inf)
    # How far the smaller rise lies below its share of the larger one, beyond what chance makes of
    # both. Scores that are no numbers rise nowhere.
    doubt = float(stats.norm.ppf(1 - chance)) * np.hypot(least * of_larger, of_smaller)
    beyond = np.nan_to_num(np.where(known, least * larger - smaller - doubt, -np.inf), nan=np.inf)
    column = int(beyond.argmax()) if beyond.max() > 0 else int(ratio.argmin())
    passed = bool(beyond[column] <= 0)
    flat = "lower" if low[column] < high[column] else "upper"
    return Verdict(
        check="learns_both_halves",
        stage=Stage.TRAINED,
        status=Status.PASS if passed else Status.FAIL,
        value=float(ratio[column]),
        bound=least,
        unit="rise of the scores with the targets, of one half over the other",
        measured=(
            f"per unit of target, scores of {_called(column, names)} rise by {low[column]:.3g} "
            f"over the lower half of the rows and by {high[column]:.3g} over the upper one, a "
            f"ratio of {ratio[column]:.2g}, expected at least {least:g}"
        ),
        hint=""
        if passed
        else (
            f"The {flat} half of the targets is out of reach: look for a ReLU, softplus, sigmoid "
            "or square at the output of a head whose targets have both signs."
        ),
    )


def not_for_classes() -> Verdict:
    """Whether a class comes is no target with a lower half; that is said."""
    return _no_halves("`probabilities`, and classes have no lower half")


def _no_halves(reason: str) -> Verdict:
    return not_judged("learns_both_halves", Stage.TRAINED, f"the subject has {reason}")


def _called(column: int, names: Sequence[int] | None) -> str:
    return f"column {column}" if names is None else f"horizon {names[column]}"


def _margins(one: Reached) -> Floats:
    """Correlations in units of their error, undefined ones the worst."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.nan_to_num(one.correlation / one.error, nan=-np.inf)


def _hint(found: Planted, worst: Reached, value: float, bound: float) -> str:
    alive = [
        one.name
        for one in found.reached
        if float((one.correlation - np.asarray(4 * one.error)).min()) > 0
    ]
    if value < -bound:
        return (
            f"Upside down: scores fall where {worst.name} raises the target. "
            "Look at the sign of the loss."
        )
    if not alive:
        return (
            "Nothing that was planted came through: look at the loss, its mask and its labels, at "
            "the optimizer, and at the output of the model."
        )
    return f"{worst.name} does not reach the scores; what does: {', '.join(alive)}."


def _culprit(worst: Reached, column: int, value: float) -> Culprit:
    return Culprit(
        kind="input",
        path=worst.path,
        evidence=(
            f"targets planted in {worst.name} correlate by {value:.3f} with the scores of column "
            f"{column}, chance alone by {worst.error[column]:.3f}"
        ),
        remedy=REMEDIES[worst.kind],
    )


def _rises(found: Planted) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Rise of the scores per unit of label over the lower and the upper half, and its error.

    Returns:
        Rises and errors, shape (2, horizons); and whether the labels rise over both halves,
        shape (horizons,).
    """
    quarter = np.digitize(
        normal_scores(found.order, found.group), stats.norm.ppf([0.25, 0.5, 0.75])
    )
    score = within_day(found.score.T, DayBlocks.of(found.group))
    rises, errors = np.zeros((2, 2, len(score)))
    told = np.zeros(len(score), bool)
    for k, (s, label) in enumerate(zip(score, found.label.T, strict=True)):
        known = np.isfinite(label)
        if not _signed(label[known]):
            continue
        y = label - label[known].mean()
        rows = np.maximum(np.bincount(quarter[known], minlength=4), 1)
        of_score, of_label, squares = (
            np.bincount(quarter[known], x[known], minlength=4) / rows for x in (s, y, s**2)
        )
        rise = np.diff(of_label)[[0, 2]]
        # Labels of few values need not differ over one of the halves.
        told[k] = (rise > FLAT * y[known].std()).all()
        if not told[k]:
            continue
        error = (squares - of_score**2) / rows
        rises[:, k] = np.diff(of_score)[[0, 2]] / rise
        errors[:, k] = np.sqrt(error[[0, 2]] + error[[1, 3]]) / rise
    return rises, errors, told


def _signed(label: Floats) -> bool:
    """Whether labels have both signs: else a half may be out of reach by design."""
    return bool(label.size) and min((label < 0).mean(), (label > 0).mean()) > SIGNED
