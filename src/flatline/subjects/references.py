"""The reference subjects, by name, on the embedded market or on prices of one's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from flatline.batch import DayBatch, Forecast, Labels, days_of
from flatline.data.series_market import SeriesMarket
from flatline.errors import SettingsError
from flatline.evaluation.experiment import Experiment, Split, assemble
from flatline.harness import Subject
from flatline.settings import Settings, load_settings
from flatline.subjects import GATE_SETTINGS, gate_settings
from flatline.subjects.attention import attends, attention_weights
from flatline.subjects.evaluating import evaluation_of, predictions_of
from flatline.subjects.pricing import pipeline_of
from flatline.subjects.reading import columns_of, unread_by
from flatline.subjects.saving import saving_of
from flatline.subjects.terms import terms_of
from flatline.subjects.variants import variants_of
from flatline.training.optimizer import make_optimizer

__all__ = ["REFERENCES", "find_reference", "reference", "subject_of"]

# Days that the gate scores: enough for tight intervals, seconds to score.
DAYS_OF_STOCKS, DAYS_OF_SERIES = 30, 900


def subject_of(experiment: Experiment, *, name: str) -> Subject:
    """The model, batches and loss of an experiment, as the harness sees them.

    A model of a single series is judged along time. One that is trained on cross-entropy
    alone puts out logits of a class and is judged as a classifier. The test days are the
    later period.
    """
    series = experiment.settings.data.series is not None
    most = DAYS_OF_SERIES if series else DAYS_OF_STOCKS
    splits: Mapping[str, Any] = {
        "train": experiment.batches("train"),
        **{s: experiment.batches(s, most_days=most) for s in _held_out()},
    }
    expected = expected_of(experiment)

    def batches(split: str) -> Any:  # noqa: ANN401 (an iterable of batches)
        # The same days in the same order each time: what was measured before the
        # training is measured again after it.
        splits[split].set_epoch(0)
        return splits[split]

    def loss(outputs: Forecast, targets: Labels, inputs: DayBatch) -> Tensor:
        # A fresh one each time: the harness may ask for the same batch twice, and a
        # term that remembers earlier batches would give another number.
        found: Tensor = (
            experiment.loss()
            .to(outputs.point.device)(
                outputs, targets, days_of(inputs), stock_id=inputs["stock_id"]
            )
            .total
        )
        return found

    def oracle(inputs: DayBatch) -> Tensor:
        day, stock = inputs["group_day"].cpu().numpy(), inputs["stock_id"].cpu().numpy()
        return torch.from_numpy(expected[day, stock])  # type: ignore[index]

    return Subject(
        name=name,
        model=experiment.model,
        batches=batches,
        loss=loss,
        scores=lambda outputs: outputs.point,
        optimizer=lambda model: make_optimizer(model, experiment.settings.training),
        oracle=None if expected is None else oracle,
        columns=columns_of(experiment),
        insensitive_to=unread_by(experiment),
        hears="edges" if experiment.settings.model.reads_graph else "none",
        axis="time" if series else "stocks",
        later="test",
        quantiles=(lambda outputs: outputs.quantiles) if _gives_quantiles(experiment) else None,
        attention=attention_weights if attends(experiment.model()) else None,
        horizons=experiment.settings.data.horizons,
        evaluate=evaluation_of(experiment),
        predict=predictions_of(experiment, batches),
        terms=terms_of(experiment),
        pipeline=pipeline_of(experiment.settings),
        settings=variants_of(experiment.settings, partial(subject_of, name=name)),
        baseline=_baseline(experiment, name),
        snapshot=True,
        **saving_of(experiment, batches),
        **_classes(experiment),
    )


def expected_of(experiment: Experiment) -> NDArray[np.float64] | None:
    """What the embedded market knows of every date and stock; None for prices from files.

    Returns:
        Expected log return, or chance of the class for a single series.
        Shape (dates, stocks, horizons).
    """
    market, settings = experiment.market, experiment.settings
    if not isinstance(market, SeriesMarket):
        return experiment.oracle()
    chances = market.touch_probability(settings.data.horizons, rise=settings.loss.bce_threshold)
    found: NDArray[np.float64] = chances[np.searchsorted(market.dates, experiment.panel.dates)]
    return found[:, None]


def _baseline(experiment: Experiment, name: str) -> Path | None:
    """Of a reference as it is; with other settings its numbers are others."""
    own = GATE_SETTINGS.get(name)
    if own is None or experiment.settings != load_settings(own, environ={}):
        return None
    return own.parent / "baselines" / f"{name}.json"


def _gives_quantiles(experiment: Experiment) -> bool:
    return bool(experiment.settings.data.levels) and experiment.settings.model.gives_quantiles


def _held_out() -> tuple[Split, Split]:
    return "valid", "test"


def _classes(experiment: Experiment) -> dict[str, Any]:
    """The parts of a classifier, where the loss is cross-entropy alone."""
    loss = experiment.settings.loss
    if set(loss.weights) != {"bce"}:
        return {}
    return {
        "probabilities": lambda outputs: torch.sigmoid(outputs.point),
        "classes": lambda labels: labels > loss.bce_threshold,
    }


def _reference(experiment: Experiment, *, name: str) -> Subject:
    made = experiment.settings.model.name
    if made != name:
        raise SettingsError(
            f"model.name is {made!r}, expected {name!r}: that is the subject to judge. "
            f"Judge the subject {made!r}, or set model.name."
        )
    return subject_of(experiment, name=name)


REFERENCES: Mapping[str, Callable[[Experiment], Subject]] = {
    name: partial(_reference, name=name) for name in GATE_SETTINGS
}


def reference(name: str, settings: Settings | None = None) -> Subject:
    """A reference subject by its name, on the embedded market unless *settings* say otherwise.

    Args:
        name: One of `REFERENCES`.
        settings: Data, model, loss and optimisation; None for its own of `GATE_SETTINGS`.

    Raises:
        SettingsError: The name is not known, or the settings are of another model.

    Example:
        >>> reference("patch_tst")
        Traceback (most recent call last):
        flatline.errors.SettingsError: subject is 'patch_tst', expected one of
        ['apex', 'atft_gat_fan', 'patchtst']. Did you mean 'patchtst'?
    """
    make = find_reference(name)
    return make(assemble(settings or load_settings(GATE_SETTINGS[name], environ={})))


def find_reference(name: str) -> Callable[[Experiment], Subject]:
    """What makes a reference subject of an experiment, by its name.

    Raises:
        SettingsError: The name is not known.
    """
    gate_settings(name)
    return REFERENCES[name]
