"""The learning part of the degeneracy layer: what is planted in the inputs comes through."""

from __future__ import annotations

from functools import partial

from flatline.harness.case import Case
from flatline.harness.checks.planted import IDS, both_halves_learned, pathway_learned
from flatline.harness.probes.pathways import Kind
from flatline.harness.probes.planted import planted
from flatline.harness.registry import Check, Cost, Layer
from flatline.harness.statistics import CHANCE
from flatline.harness.verdicts import Stage, Verdict

__all__ = ["CHECKS"]

SAYS = {
    Kind.NEWEST: "A target planted in the newest step of a feature is found.",
    Kind.EARLIER: "A target planted in an earlier step of a feature is found.",
    Kind.LEVEL: "A target planted in a feature's level over the lookback is found.",
    Kind.ROW: "A target planted in an attribute of the row is found.",
    Kind.NEIGHBOURS: "A target planted in a feature of the neighbours is found.",
}


def _learns(case: Case, *, kind: Kind) -> Verdict:
    return pathway_learned(case.of(planted), kind, names=case.subject.horizons)


def _halves(case: Case) -> Verdict:
    return both_halves_learned(case.of(planted), names=case.subject.horizons)


CHECKS = (
    *(
        Check(
            id=IDS[kind],
            says=SAYS[kind],
            layer=Layer.DEGENERACY,
            stage=Stage.TRAINED,
            false_alarm_rate=CHANCE,
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
)
