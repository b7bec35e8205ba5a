"""The judgement of a run on a single series: its probabilities by period, beside learners."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
from rich.table import Table
from torch import nn

from flatline.data.quarantine import quarantine_table
from flatline.evaluation.experiment import Experiment
from flatline.evaluation.series.learners import CLASS_LEARNERS
from flatline.evaluation.series.report import (
    PeriodFigures,
    drift_table,
    period_figures,
    skill_table,
)
from flatline.evaluation.series.scores import (
    Cell,
    Finished,
    check_series,
    entropy_by_split,
    scored_by_learner,
    scored_by_model,
)

__all__ = ["SeriesJudgement", "judge_series"]


@dataclass(frozen=True, slots=True, eq=False)
class SeriesJudgement:
    """What a run on a single series is worth.

    Args:
        run: Its folder.
        quarantine: What was wrong with the prices.
        figures: Of the model and the learners, by period and horizon.
    """

    run: Path
    quarantine: pl.DataFrame
    figures: tuple[PeriodFigures, ...]

    def tables(self) -> list[Table]:
        """The judgement as rich prints it."""
        made = [make(self.figures, self.figures[0].features) for make in (skill_table, drift_table)]
        return [quarantine_table(self.quarantine), *made]

    def as_data(self) -> dict[str, Any]:
        """The judgement as plain data, ready for JSON."""
        return {
            "run": str(self.run),
            "quarantine": self.quarantine.select("reason", "verdict", "rows").to_dicts(),
            "figures": [one.as_data() for one in self.figures],
        }


def judge_series(
    experiment: Experiment,
    model: nn.Module,
    run_dir: Path,
    *,
    learners: bool = True,
    on_stage: Callable[[str], None] = lambda _: None,
) -> SeriesJudgement:
    """Hold a model of a single series against learners on the same features and days.

    Args:
        experiment: Of the run.
        model: Its best.
        run_dir: Its folder.
        learners: Fit logistic regression and random forest.
        on_stage: Called with the name of each stage as it begins, for progress.

    Raises:
        SettingsError: The scores of the run are no logits of a class.
    """
    settings = experiment.settings
    check_series(settings)
    on_stage("scoring all days")
    kind = "" if settings.data.series is None else settings.data.series.features
    seed = settings.training.seed

    def finished(name: str, frame: pl.DataFrame, entropy: dict[str, float]) -> Finished:
        cell = Cell(kind, settings.data.normaliser, name, seed)
        return Finished(cell, frame, entropy, seconds=0.0, best_epoch=None)

    entropy = entropy_by_split(experiment, model)
    done = [finished(settings.model.name, scored_by_model(experiment, model), entropy)]
    for name in CLASS_LEARNERS if learners else ():
        on_stage(f"fitting {name}")
        done.append(finished(name, scored_by_learner(experiment, name, seed=seed), {}))
    on_stage("comparing")
    return SeriesJudgement(run_dir, experiment.quarantine, tuple(period_figures(done)))
