"""The loss layer: the subject's loss on scores of our choice, and each of its declared terms."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from flatline.harness.case import Case
from flatline.harness.checks import loss_math as checks
from flatline.harness.checks import loss_terms as term_checks
from flatline.harness.probes import loss_math as probes
from flatline.harness.probes import loss_terms as term_probes
from flatline.harness.probes.loss import Scene, scene
from flatline.harness.registry import Check, Cost, Layer
from flatline.harness.suites.reading import array
from flatline.harness.verdicts import Stage, Verdict, not_judged, source_of

__all__ = ["CHECKS"]

CURVED = "scores are no straight function of the outputs, so that none can be put in their place"
UNREAD = "the loss does not read the scores, but other outputs of the model"
NOT_FINITE = "the model puts out what is not finite"
ONE_DAY = "the batches hold one day each"


def _constant(case: Case) -> Verdict:
    return checks.finite_at_constant(case.of(probes.at_constant))


def _labels(case: Case) -> Verdict:
    found = case.of(probes.pulls)
    return checks.gradient_follows_labels(
        array(found.cosine),
        array(found.rows),
        horizons=case.subject.horizons,
        largest=found.largest,
    )


def _apart(case: Case) -> Verdict:
    if case.subject.axis == "time" or case.of(scene).groups < 2:
        return not_judged("days_stay_apart", Stage.START, ONE_DAY)
    return checks.days_stay_apart(case.of(probes.hears_other_days))


def _missing(case: Case) -> Verdict:
    found = case.of(probes.push_where_missing)
    if found is None:
        return not_judged(
            "missing_labels_are_silent", Stage.START, "no label is missing, and no mask"
        )
    return checks.missing_labels_are_silent(*found)


def _nan(case: Case) -> Verdict:
    found = case.of(probes.hidden_nan)
    if found is None:
        return not_judged("nan_shows", Stage.START, "no label of the batch is known")
    return checks.nan_shows(*found)


def _mean(case: Case) -> Verdict:
    found = case.of(probes.growth)
    if found is None:
        return not_judged("loss_is_a_mean", Stage.START, "days are too small to be cut into parts")
    return checks.is_a_mean(*found)


def _contrast(case: Case) -> Verdict:
    one = case.of(scene)
    if not bool(one.centre(one.label).any()):
        return not_judged("loss_tells_good_from_bad", Stage.START, "no two labels differ")
    return checks.tells_good_from_bad(case.of(probes.contrasts))


def _share(case: Case) -> Verdict:
    share, best = case.of(probes.best_constants)
    if not bool(((share > 0) & (share < 1)).all()):
        return not_judged(
            "probability_meets_the_share", Stage.START, "the batch holds one class alone"
        )
    return checks.probability_meets_the_share(array(share), array(best))


def _weights(case: Case) -> Verdict:
    return term_checks.weights_count(*case.of(term_probes.weighted_sum))


def _reach(case: Case) -> Verdict:
    return term_checks.terms_reach(case.of(term_probes.reach))


def _budget(case: Case) -> Verdict:
    return term_checks.budget_is_kept(case.of(term_probes.budget))


def _word(case: Case) -> Verdict:
    return term_checks.terms_keep_their_word(case.of(term_probes.moved_by))


def _refuses_ours(one: Scene) -> str:
    """What the loss says of scores of our choice, where it takes those of the model."""
    one.total.value(one.outputs, one.targets, one.inputs)
    try:
        one.value(one.total, one.informed())
    except RuntimeError as error:
        return str(error)
    return ""


def _located(verdict: Verdict, one: Scene) -> Verdict:
    """The verdict with the file and line of the term or loss that it blames."""
    if verdict.culprit is None:
        return verdict
    path = verdict.culprit.path
    # A term under a change is named with the change.
    blamed = [part for part in one.terms if path == part.name or path.startswith(f"{part.name} ")]
    file, line = source_of((blamed or [one.total])[0].made_by)
    return replace(verdict, culprit=replace(verdict.culprit, file=file, line=line))


def _check(
    name: str, says: str, judge: Callable[[Case], Verdict], *, needs: tuple[str, ...] = ()
) -> Check:
    def judged(case: Case) -> Verdict:
        one = case.of(scene)
        if not one.swap.finite():
            return not_judged(name, Stage.START, NOT_FINITE)
        if not one.swap.straight():
            return not_judged(name, Stage.START, CURVED)
        why = _refuses_ours(one)
        if why:
            return not_judged(
                name, Stage.START, f"the loss takes its model's scores, but none of ours: {why}"
            )
        found = case.of(probes.pulls)
        # A gradient nowhere is a fault; one elsewhere is a loss that the scores are no part of.
        if not needs and found.largest == 0 and found.elsewhere:
            return not_judged(name, Stage.START, UNREAD)
        return _located(judge(case), one)

    return Check(
        id=name,
        says=says,
        layer=Layer.LOSS_MATH,
        stage=Stage.START,
        false_alarm_rate=0.0,
        cost=Cost.PASSES,
        judge=judged,
        needs=needs,
    )


TERMS = ("terms",)

CHECKS = (
    _check(
        "gradient_follows_labels",
        "The gradient pushes the scores of higher labels up against the others of the day.",
        _labels,
    ),
    _check(
        "loss_finite_at_constant",
        "Value and gradient are finite at constant and nearly constant scores.",
        _constant,
    ),
    _check("days_stay_apart", "Other scores on other days do not turn a day's gradient.", _apart),
    _check(
        "missing_labels_are_silent",
        "Where the label is missing the scores get no gradient.",
        _missing,
    ),
    _check("nan_shows", "A score that is not a number shows in the loss.", _nan),
    _check("loss_is_a_mean", "The loss does not grow with the number of stocks.", _mean),
    _check(
        "loss_tells_good_from_bad",
        "A forecast loses clearly less than the same upside down.",
        _contrast,
    ),
    _check(
        "probability_meets_the_share",
        "The constant score of the least loss stands for the share of the class.",
        _share,
        needs=("probabilities",),
    ),
    _check(
        "weights_count",
        "The loss is the sum of its declared terms, each times its weight.",
        _weights,
        needs=TERMS,
    ),
    _check(
        "terms_reach", "Every weighted term has a gradient at the outputs.", _reach, needs=TERMS
    ),
    _check(
        "gradient_budget",
        "No term has far less of the gradient than its weight says.",
        _budget,
        needs=TERMS,
    ),
    _check(
        "terms_keep_their_word",
        "A day's level and scale matter to a term, or not, as declared.",
        _word,
        needs=TERMS,
    ),
)
