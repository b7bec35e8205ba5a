"""How a reference is saved and loaded: by the same checkpoint as a run's."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import polars as pl
from torch import nn

from flatline.artifacts import load_checkpoint, save_checkpoint
from flatline.batch import DayBatch, Labels
from flatline.data.panel import Panel
from flatline.evaluation.experiment import Experiment
from flatline.evaluation.predict import positions, predict
from flatline.evaluation.run import describe
from flatline.models.registry import build_model

__all__ = ["saving_of"]


def saving_of(
    experiment: Experiment, batches: Callable[[str], Iterable[tuple[DayBatch, Labels]]]
) -> dict[str, Any]:
    """The parts `save`, `load`, `fitted` and `export` of a subject.

    Columns and normaliser are fitted with the weights, and neither is of use without them.

    Args:
        experiment: What the subject is made of.
        batches: From a split to its batches.
    """
    fitted = {
        "columns": experiment.panel.feature_names,
        "horizons": experiment.settings.data.horizons,
        "normaliser": experiment.normaliser.state(),
        "target_scale": experiment.settings.data.target,
    }

    def save(model: nn.Module, path: Path) -> None:
        save_checkpoint(path, model, describe(experiment, model, run_id="gate", versions={}))

    def export(model: nn.Module, split: str) -> Mapping[str, Any]:
        return read_back(predict(model, batches(split), experiment.panel), experiment.panel)

    return {"save": save, "load": load, "fitted": fitted, "export": export}


def read_back(frame: pl.DataFrame, panel: Panel) -> Mapping[str, Any]:
    """A frame of predictions as it is read by whoever gets it: by date, code and horizon.

    Args:
        frame: See `flatline.evaluation.predict.predict`.
        panel: Dates and codes.

    Returns:
        `score`, (rows, horizons), and `group_day` and `stock_id`, (rows,) each.
    """
    wide = frame.pivot("horizon", index=["date", "code"], values="score")
    day, stock = positions(wide, panel)
    score = wide.select(str(horizon) for horizon in panel.horizons).to_numpy()
    return {"score": score, "group_day": day, "stock_id": stock}


def load(path: Path) -> tuple[nn.Module, Mapping[str, Any]]:
    """A model of a checkpoint, and what was fitted with it."""
    model, manifest = load_checkpoint(path, build=build_model)
    return model, {
        "columns": manifest.feature_names,
        "horizons": manifest.horizons,
        "normaliser": manifest.normaliser,
        "target_scale": manifest.target_scale,
    }
