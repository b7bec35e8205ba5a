"""The learning part of the degeneracy layer: planted targets come through, others do not."""

from __future__ import annotations

from functools import partial

import torch

from flatline.harness.case import Case
from flatline.harness.checks.memory import learned_by_heart, nothing_of_others
from flatline.harness.checks.planted import (
    IDS,
    both_halves_learned,
    not_for_classes,
    pathway_learned,
    slow_to_look_back,
)
from flatline.harness.probes.influence import Part
from flatline.harness.probes.memory import memory
from flatline.harness.probes.pathways import Kind
from flatline.harness.probes.planted import planted
from flatline.harness.probes.trial import once_trained
from flatline.harness.registry import Check, Cost, Layer
from flatline.harness.statistics import CHANCE, DEAD_PASSES
from flatline.harness.verdicts import Stage, Status, Verdict, not_judged

__all__ = ["CHECKS"]

SAYS = {
    Kind.NEWEST: "A target planted in the newest step of a feature is found.",
    Kind.EARLIER: "A target planted in an earlier step of a feature is found.",
    Kind.LEVEL: "A target planted in a feature's level over the lookback is found.",
    Kind.ROW: "A target planted in an attribute of the row is found.",
    Kind.NEIGHBOURS: "A target planted in a feature of the neighbours is found.",
}

ALONE = "no row of a batch has another one to change labels with"


def _learns(case: Case, *, kind: Kind) -> Verdict:
    found = case.of(planted)
    verdict = pathway_learned(found, kind, chance=CHANCE, names=case.subject.horizons)
    if kind is not Kind.EARLIER or verdict.status != Status.FAIL:
        return verdict
    return slow_to_look_back(verdict, _looks_back(case), steps=found.steps)


def _looks_back(case: Case) -> float:
    """How far an earlier step moves the trained model's scores, in units of what all does."""
    steps = case.of(once_trained).of(Part.STEP)
    newest = {one.source.path: one.source.shape[one.source.axes.index("lookback")] for one in steps}
    return max((s.moved for s in steps if s.index != newest[s.source.path] - 1), default=0.0)


def _halves(case: Case) -> Verdict:
    if case.subject.probabilities is not None:
        return not_for_classes()
    found = case.of(planted)
    if not found.reached:
        reason = "no input was found to plant a target in"
        return not_judged("learns_both_halves", Stage.TRAINED, reason)
    return both_halves_learned(found, names=case.subject.horizons)


def _heart(case: Case) -> Verdict:
    if not _can_be_dealt(case):
        return not_judged("overfits_one_batch", Stage.TRAINED, ALONE)
    return learned_by_heart(case.of(memory), chance=DEAD_PASSES)


def _others(case: Case) -> Verdict:
    if not _can_be_dealt(case):
        return not_judged("shuffled_targets_show_nothing", Stage.TRAINED, ALONE)
    return nothing_of_others(case.of(memory))


def _can_be_dealt(case: Case) -> bool:
    """Whether two rows of the first batch could change labels."""
    group = case.subject.group_of(case.batch()[0])
    return len(torch.unique(group)) < len(group)


CHECKS = (
    *(
        Check(
            id=IDS[kind],
            says=SAYS[kind],
            layer=Layer.DEGENERACY,
            stage=Stage.TRAINED,
            false_alarm_rate=None,
            dead_passes=CHANCE,
            cost=Cost.TRAINING,
            judge=partial(_learns, kind=kind),
            shares="planted",
        )
        for kind in Kind
    ),
    Check(
        id="learns_both_halves",
        says="Scores answer to low targets as to high ones.",
        layer=Layer.DEGENERACY,
        stage=Stage.TRAINED,
        false_alarm_rate=CHANCE,
        cost=Cost.TRAINING,
        judge=_halves,
        shares="planted",
    ),
    Check(
        id="overfits_one_batch",
        says="A few rows with labels dealt out at random can be learned by heart.",
        layer=Layer.DEGENERACY,
        stage=Stage.TRAINED,
        false_alarm_rate=None,
        dead_passes=DEAD_PASSES,
        cost=Cost.TRAINING,
        judge=_heart,
        shares="memory",
    ),
    Check(
        id="shuffled_targets_show_nothing",
        says="Scores do not follow labels dealt out at random to rows never learned.",
        layer=Layer.DEGENERACY,
        stage=Stage.TRAINED,
        false_alarm_rate=CHANCE,
        cost=Cost.TRAINING,
        judge=_others,
        shares="memory",
    ),
)
