"""The degeneracy layer: a briefly trained model tells the stocks of a day apart, and learns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from flatline.harness.case import Case
from flatline.harness.checks import degeneracy, flat, learning
from flatline.harness.probes.looks import (
    Looks,
    looks_after_first_steps,
    looks_at_start,
    looks_when_trained,
)
from flatline.harness.probes.loss_scale import cost_of_spread
from flatline.harness.probes.passes import first_steps
from flatline.harness.probes.scoring import Scored, score_split
from flatline.harness.probes.smoke import smoke
from flatline.harness.probes.trace import point_of_death, trace
from flatline.harness.registry import Check, Cost, Layer
from flatline.harness.statistics import DEAD_PASSES, concordance
from flatline.harness.subject import Subject
from flatline.harness.suites import classes, planted
from flatline.harness.suites.reading import array, array_or_none
from flatline.harness.verdicts import Culprit, Stage, Status, Verdict, module_culprit
from flatline.metrics.daily import daily_rank_ic

__all__ = ["CHECKS"]

Floats = NDArray[np.float64]

# Fresh models whose luck is the null distribution of skill, and the validation
# batches it is measured on: their spread is that of weights, not of days.
UNTRAINED = 24
UNTRAINED_BATCHES = 4


def _fall(case: Case) -> Verdict:
    run = case.of(smoke)
    return learning.loss_falls(run.loss_before.numpy(), run.loss_after.numpy())


def _vary(case: Case) -> Verdict:
    run = case.of(smoke)
    scored = run.scored
    verdict = degeneracy.scores_vary(
        array(scored.score),
        array(run.again),
        scored.day.numpy(),
        axis=case.subject.axis,
        eps=case.place.eps,
        probability=array_or_none(scored.probability),
        label=array_or_none(scored.label),
    )
    if verdict.status == Status.PASS:
        return verdict
    # Only a flat model is traced: that takes another forward pass.
    return replace(verdict, culprit=_suspect(case, run.model))


def _scale(case: Case) -> Verdict:
    scored, axis = case.of(smoke).scored, case.subject.axis
    score, day = array(scored.score), scored.day.numpy()
    if scored.probability is None or scored.label is None:
        verdict = degeneracy.scale_in_range(score, array(scored.target), day, axis=axis)
    else:
        # A logit has no unit of its own; its probability has that of the class.
        probability, label = array(scored.probability), array(scored.label)
        verdict = degeneracy.scale_in_range(probability, label, day, axis=axis, high=1.0)
    if verdict.status != Status.FAIL:
        return verdict
    # Only of a spread that is out of range it is asked whether the loss cares.
    return degeneracy.scale_of_its_own(
        verdict, score, day, cost=case.of(cost_of_spread), axis=axis, eps=case.place.eps
    )


def _skill(case: Case) -> Verdict:
    subject = case.subject
    level = subject.axis == "time" and subject.probabilities is not None
    fresh = np.stack([_agreement(_fresh(case), subject) for _ in range(UNTRAINED)])
    return learning.skill_beats_untrained(
        _agreement(case.of(smoke).scored, subject),
        fresh,
        measure="concordance" if level else "rank correlation",
        names=subject.horizons,
    )


def _start(case: Case) -> Verdict:
    verdict, model = _alive(case, looks_at_start), case.model()
    if verdict.status == Status.FAIL:
        # A head of zeros is a sound way to start, if the first steps open it.
        verdict, model = _alive(case, looks_after_first_steps), case.of(first_steps).model
    if verdict.status == Status.PASS:
        return verdict
    return replace(verdict, culprit=_suspect(case, model))


def _alive(case: Case, look: Callable[[Case], Looks]) -> Verdict:
    return flat.alive_at_start(
        case.of(look), axis=case.subject.axis, eps=case.place.eps, names=case.subject.horizons
    )


def _follow(case: Case) -> Verdict:
    subject, looks = case.subject, case.of(looks_when_trained)
    return flat.follows_inputs(looks, axis=subject.axis, eps=case.place.eps, names=subject.horizons)


def _shifted(case: Case) -> Verdict:
    subject, looks = case.subject, case.of(looks_when_trained)
    return flat.alive_when_shifted(
        looks, axis=subject.axis, eps=case.place.eps, names=subject.horizons
    )


def _quantiles(case: Case) -> Verdict:
    return flat.quantiles_alive(case.of(looks_when_trained), names=case.subject.horizons)


def _fresh(case: Case) -> Scored:
    subject = case.subject
    model = subject.model().to(case.place.device)
    # A series has one row a day: all of its days, or the ranks of a few would be luck.
    limit = UNTRAINED_BATCHES if subject.axis == "stocks" else None
    return score_split(subject, model, "valid", case.place, limit=limit)


def _agreement(scored: Scored, subject: Subject) -> Floats:
    """With the oracle, over days or along time, for each horizon: (horizons,)."""
    if scored.oracle is None:
        raise ValueError("skill needs an oracle")
    if subject.axis == "time" and scored.probability is not None:
        # Along time any slow feature goes up and down with any other: ranks of a random
        # network agree with the truth by far. Its level and its spread do not.
        return concordance(array(scored.probability), array(scored.oracle))
    day = scored.day.numpy()
    groups = day if subject.axis == "stocks" else np.zeros_like(day)
    return daily_rank_ic(array(scored.score), array(scored.oracle), groups).mean()


def _suspect(case: Case, model: nn.Module) -> Culprit | None:
    spreads = trace(case, model)
    floor = 10 * torch.finfo(torch.float32).eps
    found = point_of_death(spreads, floor)
    if found is None:
        return None
    where = degeneracy.WHERE[case.subject.axis]
    return module_culprit(
        model,
        found.path,
        evidence=f"spread {where} of its output is {found.relative:.2g} of its size",
        remedy="Look at its weights and its input: every module behind it is flat.",
    )


CHECKS = (
    Check(
        id="start_scores_vary",
        says="Scores of a fresh model, or after its first steps, are of no flat kind.",
        layer=Layer.DEGENERACY,
        stage=Stage.START,
        false_alarm_rate=0.0,
        cost=Cost.PASSES,
        judge=_start,
    ),
    Check(
        id="loss_falls",
        says="The loss of the same batches is lower after the training.",
        layer=Layer.DEGENERACY,
        stage=Stage.TRAINED,
        false_alarm_rate=None,
        dead_passes=DEAD_PASSES,
        cost=Cost.TRAINING,
        judge=_fall,
        shares="smoke",
    ),
    Check(
        id="scores_vary",
        says="Scores tell the stocks of a day apart, or the days of a series.",
        layer=Layer.DEGENERACY,
        stage=Stage.TRAINED,
        false_alarm_rate=0.0,
        cost=Cost.TRAINING,
        judge=_vary,
        shares="smoke",
    ),
    Check(
        id="scale_in_range",
        says="The scores' spread is comparable to that of the targets.",
        layer=Layer.DEGENERACY,
        stage=Stage.TRAINED,
        false_alarm_rate=0.0,
        cost=Cost.TRAINING,
        judge=_scale,
        shares="smoke",
    ),
    Check(
        id="scores_follow_inputs",
        says="Scores move with the rows' inputs, and from day to day.",
        layer=Layer.DEGENERACY,
        stage=Stage.TRAINED,
        false_alarm_rate=0.0,
        cost=Cost.TRAINING,
        judge=_follow,
        shares="smoke",
    ),
    Check(
        id="shifted_scores_vary",
        says="Scores of inputs that went up or down by two spreads are of no flat kind.",
        layer=Layer.DEGENERACY,
        stage=Stage.EVALUATION,
        false_alarm_rate=0.0,
        cost=Cost.TRAINING,
        judge=_shifted,
        shares="smoke",
    ),
    Check(
        id="quantiles_alive",
        says="Quantiles lie apart and in order.",
        layer=Layer.DEGENERACY,
        stage=Stage.TRAINED,
        false_alarm_rate=0.0,
        cost=Cost.TRAINING,
        judge=_quantiles,
        needs=("quantiles",),
        shares="smoke",
    ),
    Check(
        id="skill_against_oracle",
        says="Skill over all horizons is beyond what untrained models have by luck.",
        layer=Layer.DEGENERACY,
        stage=Stage.TRAINED,
        false_alarm_rate=None,
        dead_passes=DEAD_PASSES,
        cost=Cost.TRAINING,
        judge=_skill,
        needs=("oracle",),
        shares="smoke",
    ),
    *classes.CHECKS,
    *planted.CHECKS,
)
