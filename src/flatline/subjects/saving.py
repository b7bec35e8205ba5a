"""How a reference is saved and loaded: by the same checkpoint as a run's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from flatline.artifacts import load_checkpoint, save_checkpoint
from flatline.evaluation.experiment import Experiment
from flatline.evaluation.run import describe
from flatline.models.registry import build_model

__all__ = ["saving_of"]


def saving_of(experiment: Experiment) -> dict[str, Any]:
    """The parts `save`, `load` and `fitted` of a subject.

    Columns and normaliser are fitted with the weights, and neither is of use without them.
    """
    fitted = {
        "columns": experiment.panel.feature_names,
        "horizons": experiment.settings.data.horizons,
        "normaliser": experiment.normaliser.state(),
        "target_scale": experiment.settings.data.target,
    }

    def save(model: nn.Module, path: Path) -> None:
        save_checkpoint(path, model, describe(experiment, model, run_id="gate", versions={}))

    return {"save": save, "load": load, "fitted": fitted}


def load(path: Path) -> tuple[nn.Module, Mapping[str, Any]]:
    """A model of a checkpoint, and what was fitted with it."""
    model, manifest = load_checkpoint(path, build=build_model)
    return model, {
        "columns": manifest.feature_names,
        "horizons": manifest.horizons,
        "normaliser": manifest.normaliser,
        "target_scale": manifest.target_scale,
    }
