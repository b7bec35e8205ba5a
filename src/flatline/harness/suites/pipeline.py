"""What a pipeline from prices to batches knows, found out by changing prices."""

from __future__ import annotations

from collections.abc import Callable

from flatline.harness.case import Case
from flatline.harness.checks import pipeline
from flatline.harness.probes.interventions import Interventions, intervene
from flatline.harness.registry import Check, Cost, Layer
from flatline.harness.verdicts import Stage, Verdict

__all__ = ["CHECKS"]


def _labels(case: Case) -> Verdict:
    found = case.of(intervene)
    return pipeline.labels_span_their_horizon(found.labels, case.subject.horizons)


def _judging(check: Callable[[Interventions], Verdict]) -> Callable[[Case], Verdict]:
    return lambda case: check(case.of(intervene))


def _check(identity: str, says: str, judge: Callable[[Case], Verdict]) -> Check:
    return Check(
        id=identity,
        says=says,
        layer=Layer.DRIFT,
        stage=Stage.DATA,
        false_alarm_rate=0.0,
        cost=Cost.FREE,
        judge=judge,
        needs=("pipeline",),
        shares="pipeline",
    )


CHECKS = (
    _check(
        pipeline.FUTURE,
        "Prices of later days leave a day's inputs and edges alone.",
        _judging(pipeline.inputs_know_no_future),
    ),
    _check(
        pipeline.SCALER,
        "What is fitted does not move with prices behind the train days.",
        _judging(pipeline.scaler_knows_train_only),
    ),
    _check(
        pipeline.UNIVERSE,
        "The stocks of a day do not depend on which are listed later.",
        _judging(pipeline.universe_knows_no_future),
    ),
    _check(
        pipeline.PURGED,
        "No label moves with the prices of a later split.",
        _judging(pipeline.splits_are_purged),
    ),
    _check(pipeline.LABELS, "A label spans its horizon, behind its own day.", _labels),
    _check(
        pipeline.REPEAT,
        "The same prices give the same batches, whatever was read before.",
        _judging(pipeline.same_whatever_came_before),
    ),
)
