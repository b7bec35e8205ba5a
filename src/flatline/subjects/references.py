"""The reference subjects, by name, on the embedded market or on prices of one's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import Tensor

from flatline.batch import DayBatch, Forecast, Labels, days_of
from flatline.data.batches import DayBatches
from flatline.errors import SettingsError
from flatline.evaluation.experiment import Experiment, assemble
from flatline.harness import Subject
from flatline.section import nearest
from flatline.settings import Settings, load_settings
from flatline.subjects import GATE_SETTINGS
from flatline.training.optimizer import make_optimizer

__all__ = ["REFERENCES", "find_reference", "reference", "subject_of"]

# Validation days that the gate scores: enough for tight intervals, seconds to score.
VALID_DAYS = 30


def subject_of(experiment: Experiment, *, name: str) -> Subject:
    """The model, batches and loss of an experiment, as the harness sees them."""
    splits: Mapping[str, DayBatches] = {
        "train": experiment.batches("train"),
        "valid": experiment.batches("valid", most_days=VALID_DAYS),
    }
    expected = experiment.oracle()

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
        batches=lambda split: splits[split],
        loss=loss,
        scores=lambda outputs: outputs.point,
        optimizer=lambda model: make_optimizer(model, experiment.settings.training),
        oracle=None if expected is None else oracle,
    )


REFERENCES: Mapping[str, Callable[[Experiment], Subject]] = {
    "atft_gat_fan": partial(subject_of, name="atft_gat_fan")
}


def reference(name: str, settings: Settings | None = None) -> Subject:
    """A reference subject by its name, on the embedded market unless *settings* say otherwise.

    Args:
        name: One of `REFERENCES`.
        settings: Data, model, loss and optimisation; None for its own of `GATE_SETTINGS`.

    Raises:
        SettingsError: The name is not known.

    Example:
        >>> reference("atft_gat_fun")
        Traceback (most recent call last):
        flatline.errors.SettingsError: subject is 'atft_gat_fun', expected one of
        ['atft_gat_fan']. Did you mean 'atft_gat_fan'?
    """
    make = find_reference(name)
    return make(assemble(settings or load_settings(GATE_SETTINGS[name], environ={})))


def find_reference(name: str) -> Callable[[Experiment], Subject]:
    """What makes a reference subject of an experiment, by its name.

    Raises:
        SettingsError: The name is not known.
    """
    if name not in REFERENCES:
        raise SettingsError(
            f"subject is {name!r}, expected one of {sorted(REFERENCES)}. "
            f"{nearest(name, REFERENCES)}"
        )
    return REFERENCES[name]
