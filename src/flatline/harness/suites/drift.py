"""The drift layer: what holds on the train days still holds on later ones."""

from __future__ import annotations

import numpy as np

from flatline.harness.case import Case
from flatline.harness.checks import later
from flatline.harness.checks.stretches import Period
from flatline.harness.probes.scoring import Place, Scored
from flatline.harness.probes.smoke import smoke
from flatline.harness.registry import Check, Cost, Layer
from flatline.harness.statistics import CHANCE
from flatline.harness.suites import features, pipeline
from flatline.harness.suites.reading import array, array_or_none, floor_of
from flatline.harness.verdicts import Stage, Verdict

__all__ = ["CHECKS"]


def _last(case: Case) -> Verdict:
    return later.scores_last(*case.of(periods), axis=case.subject.axis)


def _follow(case: Case) -> Verdict:
    return later.follows_base_rate(*case.of(periods))


def _attend(case: Case) -> Verdict:
    return later.attention_lasts(*case.of(periods))


def periods(case: Case) -> tuple[Period, Period]:
    """The trained model on the train days and on the later ones."""
    run = case.of(smoke)
    if run.train is None or run.later is None:
        raise ValueError("a later period needs `later`")
    return _period(run.train, case.place), _period(run.later, case.place)


def _period(scored: Scored, place: Place) -> Period:
    order = np.argsort(scored.day.numpy(), kind="stable")
    score = scored.score if scored.probability is None else scored.probability
    label, focus = array_or_none(scored.label), array_or_none(scored.focus)
    return Period(
        score=array(score)[order],
        day=scored.day.numpy()[order],
        label=None if label is None else label[order],
        focus=None if focus is None else focus[order],
        floor=floor_of(scored, place),
    )


CHECKS = (
    *features.CHECKS,
    *pipeline.CHECKS,
    Check(
        id="later_scores_vary",
        says="Scores vary on the later period as they do on the train period.",
        layer=Layer.DRIFT,
        stage=Stage.EVALUATION,
        false_alarm_rate=CHANCE,
        cost=Cost.TRAINING,
        judge=_last,
        ordered=True,
        needs=("later",),
        shares="smoke",
    ),
    Check(
        id="later_base_rate",
        says="The mean probability keeps to the share of the class on the later period.",
        layer=Layer.DRIFT,
        stage=Stage.EVALUATION,
        false_alarm_rate=CHANCE,
        cost=Cost.TRAINING,
        judge=_follow,
        ordered=True,
        needs=("later", "probabilities"),
        shares="smoke",
    ),
    Check(
        id="later_attention",
        says="Attention does not go uniform on the later period.",
        layer=Layer.DRIFT,
        stage=Stage.EVALUATION,
        false_alarm_rate=CHANCE,
        cost=Cost.TRAINING,
        judge=_attend,
        ordered=True,
        needs=("later", "attention"),
        shares="smoke",
    ),
)
