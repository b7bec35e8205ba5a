"""The contract layer: the model keeps its word, and all of it is trained."""

from __future__ import annotations

from flatline.harness.case import Case
from flatline.harness.checks import contract, liveness
from flatline.harness.probes.smoke import smoke
from flatline.harness.registry import Check, Cost, Layer
from flatline.harness.verdicts import Stage, Verdict

__all__ = ["CHECKS"]


def _get_gradient(case: Case) -> Verdict:
    run = case.of(smoke)
    return liveness.blocks_get_gradient(run.model, run.gradients)


def _move(case: Case) -> Verdict:
    run = case.of(smoke)
    return liveness.blocks_move(run.model, run.movement, steps=run.steps)


def _agree(case: Case) -> Verdict:
    run = case.of(smoke)
    exact = case.place.device.type == "cpu"
    return contract.evaluations_agree(run.scored.score, run.again, exact=exact)


CHECKS = (
    Check(
        id="blocks_get_gradient",
        says="Every module that owns parameters gets gradient from the loss.",
        layer=Layer.CONTRACT,
        stage=Stage.START,
        false_alarm_rate=0.0,
        cost=Cost.TRAINING,
        judge=_get_gradient,
        shares="smoke",
    ),
    Check(
        id="blocks_move",
        says="Every module that owns trainable parameters has moved after the training.",
        layer=Layer.CONTRACT,
        stage=Stage.TRAINED,
        false_alarm_rate=0.0,
        cost=Cost.TRAINING,
        judge=_move,
        shares="smoke",
    ),
    Check(
        id="evaluations_agree",
        says="Two passes in eval mode give the same scores, on the CPU bit for bit.",
        layer=Layer.CONTRACT,
        stage=Stage.EVALUATION,
        false_alarm_rate=0.0,
        cost=Cost.TRAINING,
        judge=_agree,
        shares="smoke",
    ),
)
