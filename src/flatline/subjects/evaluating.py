"""What our references are evaluated by: the figures of `flatline.metrics`, by horizon."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import expit
from torch import nn

from flatline.batch import DayBatch, Labels
from flatline.evaluation.experiment import Experiment
from flatline.evaluation.predict import predict
from flatline.metrics import class_figures, daily_metrics, forecast_figures

__all__ = ["evaluation_of", "predictions_of"]

Floats = NDArray[np.float64]
Evaluate = Callable[[Floats, Floats, NDArray[np.int64]], dict[str, Any]]


def evaluation_of(experiment: Experiment) -> Evaluate:
    """From scores, targets and days to the figures of every horizon, such as `rank_ic@5`.

    For a model trained on cross-entropy alone, scores are logits of the class.
    """
    settings = experiment.settings
    horizons = settings.data.horizons
    # Of a series, a day has one row, and no class within it.
    left_out = {"bins", *(("auc_day", "undefined_days") if settings.data.series else ())}

    def of_returns(score: Floats, target: Floats, day: NDArray[np.int64]) -> dict[str, Any]:
        daily = daily_metrics(score, target, day, threads=1)
        rows = forecast_figures(score, target, day, horizons=horizons, result=daily)
        more = {"hit_rate": daily.hit_rate.mean(), "tile_spread": daily.tile_spread.mean()}
        return _named(
            {"horizon": row.horizon, **asdict(row), **{name: x[k] for name, x in more.items()}}
            for k, row in enumerate(rows)
        )

    def of_classes(score: Floats, target: Floats, day: NDArray[np.int64]) -> dict[str, Any]:
        event = (target > settings.loss.bce_threshold).astype(np.float64)
        label = np.where(np.isnan(target), np.nan, event)
        rows = class_figures(expit(score), label, day, horizons=horizons)
        return _named({k: v for k, v in asdict(row).items() if k not in left_out} for row in rows)

    return of_classes if set(settings.loss.weights) == {"bce"} else of_returns


def predictions_of(
    experiment: Experiment, batches: Callable[[str], Iterable[tuple[DayBatch, Labels]]]
) -> Callable[[nn.Module, str], tuple[Floats, Floats, NDArray[np.int64]]]:
    """From a model and a split to scores, targets and days, by the loop that all reports use.

    Args:
        experiment: Whose panel the batches are of.
        batches: From a split to its batches.
    """
    wide = len(experiment.settings.data.horizons)

    def predicted(model: nn.Module, split: str) -> tuple[Floats, Floats, NDArray[np.int64]]:
        frame = predict(model, batches(split), experiment.panel)
        score, target = (
            frame[name].cast(pl.Float64).fill_null(np.nan).to_numpy().reshape(-1, wide)
            for name in ("score", "target")
        )
        return score, target, frame["date"].to_physical().to_numpy()[::wide].astype(np.int64)

    return predicted


def _named(rows: Any) -> dict[str, Any]:  # noqa: ANN401 (figures by name, a mapping per horizon)
    return {
        f"{name}@{row['horizon']}": value
        for row in rows
        for name, value in row.items()
        if name != "horizon"
    }
