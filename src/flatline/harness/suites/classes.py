"""The classifiers' part of the degeneracy layer: probabilities say more than the prior."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import nn

from flatline.harness.case import Case
from flatline.harness.checks import classes
from flatline.harness.probes.smoke import smoke
from flatline.harness.registry import Check, Cost, Layer
from flatline.harness.statistics import CHANCE, DEAD_PASSES
from flatline.harness.suites.reading import array, floor_of
from flatline.harness.verdicts import Culprit, Stage, Verdict, module_culprit

__all__ = ["CHECKS"]

Floats = NDArray[np.float64]


def _prior(case: Case) -> Verdict:
    train = _of_classes(case)
    return classes.beyond_the_prior(
        train.probability, train.label, train.day, axis=case.subject.axis, chance=DEAD_PASSES
    )


def _sigmoid(case: Case) -> Verdict:
    train, model = _of_classes(case), case.of(smoke).model
    return classes.one_sigmoid(
        train.probability,
        train.label,
        train.day,
        floor=train.floor,
        suspect=_last_sigmoid(model),
    )


class _Classes(NamedTuple):
    probability: Floats
    label: Floats
    day: NDArray[np.int64]
    floor: Floats


def _of_classes(case: Case) -> _Classes:
    train = case.of(smoke).train
    if train is None or train.probability is None or train.label is None:
        raise ValueError("the class prior needs `probabilities`")
    floor = floor_of(train, case.place)
    return _Classes(array(train.probability), array(train.label), train.day.numpy(), floor)


def _last_sigmoid(model: nn.Module) -> Culprit | None:
    paths = [path for path, module in model.named_modules() if isinstance(module, nn.Sigmoid)]
    if not paths:
        return None
    return module_culprit(
        model,
        paths[-1],
        evidence="the model's last sigmoid; its output is put through another",
        remedy="Return logits from the model, or drop the sigmoid behind it.",
    )


CHECKS = (
    Check(
        id="beyond_class_prior",
        says="Probabilities say more than the share of the class.",
        layer=Layer.DEGENERACY,
        stage=Stage.TRAINED,
        false_alarm_rate=None,
        dead_passes=DEAD_PASSES,
        cost=Cost.TRAINING,
        judge=_prior,
        needs=("probabilities",),
        shares="smoke",
    ),
    Check(
        id="one_sigmoid",
        says="No probability went through a second sigmoid.",
        layer=Layer.DEGENERACY,
        stage=Stage.TRAINED,
        false_alarm_rate=CHANCE,
        cost=Cost.TRAINING,
        judge=_sigmoid,
        needs=("probabilities",),
        shares="smoke",
    ),
)
