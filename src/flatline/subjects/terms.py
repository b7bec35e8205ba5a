"""The terms of an experiment's loss, as the harness judges them: one by one."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from torch import Tensor

from flatline.batch import DayBatch, Forecast, Labels, days_of
from flatline.evaluation.experiment import Experiment
from flatline.harness.terms import Term
from flatline.losses.blend import MultiHorizonLoss
from flatline.losses.laws import LAWS

__all__ = ["terms_of"]


def terms_of(experiment: Experiment) -> Mapping[str, Term]:
    """Every weighted term of an experiment's loss, with what its law promises.

    Args:
        experiment: Whose loss.
    """
    weights = experiment.settings.loss.weights
    return {name: _term(experiment, name, weight) for name, weight in weights.items()}


def _term(experiment: Experiment, name: str, weight: float) -> Term:
    law = LAWS[name]
    # What reads quantiles does not move with the scores.
    told = law.reads == "point"
    return Term(
        value=partial(_value, experiment, name),
        weight=weight,
        shift=law.shift if told else None,
        scale=law.scale if told else None,
        # The portfolio's ratio is taken over the days of a batch.
        apart=not law.follows and name != "sharpe",
        rewards=told and law.best is not None,
    )


def _value(
    experiment: Experiment, name: str, outputs: Forecast, targets: Labels, inputs: DayBatch
) -> Tensor:
    """The loss with this term alone, at weight 1; a fresh one, without memory of other batches."""
    data = experiment.settings.data
    # Unchecked: alone, a term may be dead at constant scores, and options of the others are idle.
    alone = experiment.settings.loss.model_copy(update={"weights": {name: 1.0}})
    loss = MultiHorizonLoss(alone, horizons=data.horizons, levels=data.levels)
    loss = loss.to(outputs.point.device)
    total: Tensor = loss(outputs, targets, days_of(inputs), stock_id=inputs["stock_id"]).total
    return total
