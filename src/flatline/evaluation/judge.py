"""The judgement of a run: its figures on the test days, beside reference learners and oracle."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import polars as pl
from rich.table import Table

from flatline.data.quarantine import quarantine_table
from flatline.evaluation.books import book_figures
from flatline.evaluation.comparison import Compared, compare, comparison_table
from flatline.evaluation.learners import (
    LEARNERS,
    learn_and_predict,
    low_volatility,
    naive_composite,
    score_panel,
)
from flatline.evaluation.run import open_run, predict_test
from flatline.evaluation.series.judge import SeriesJudgement, judge_series
from flatline.metrics.table import render, summarise

__all__ = ["Judgement", "judge_run"]


@dataclass(frozen=True, slots=True, eq=False)
class Judgement:
    """What a run is worth on its test days.

    Args:
        run: Its folder.
        quarantine: What was wrong with the prices.
        figures: One row per horizon: those of `metrics.summarise` and of `book_figures`.
        compared: The model and the reference forecasts on the rows all of them scored.
    """

    run: Path
    quarantine: pl.DataFrame
    figures: pl.DataFrame
    compared: list[Compared]

    def tables(self) -> list[Table]:
        """The judgement as rich prints it."""
        return [
            quarantine_table(self.quarantine),
            render(self.figures, title="test days, by horizon"),
            comparison_table(self.compared),
        ]

    def as_data(self) -> dict[str, Any]:
        """The judgement as plain data, ready for JSON."""
        return {
            "run": str(self.run),
            "quarantine": self.quarantine.select("reason", "verdict", "rows").to_dicts(),
            "horizons": self.figures.to_dicts(),
            "compared": [asdict(one) for one in self.compared],
        }


def judge_run(
    run_dir: Path,
    *,
    prices: tuple[str, ...] = (),
    learners: bool = True,
    cost: float = 0.001,
    on_stage: Callable[[str], None] = lambda _: None,
) -> Judgement | SeriesJudgement:
    """Score the test days of a finished run and hold them against the reference learners.

    A run on a single series is judged on its probabilities, see `judge_series`.

    Args:
        run_dir: Folder of the run.
        prices: Where its price files are now, if not where they were.
        cost: Of each unit of value that the books trade, as a fraction.
        learners: Fit ridge and boosted trees on the same features and train days.
        on_stage: Called with the name of each stage as it begins, for progress.

    Raises:
        ArtifactError: The folder holds no finished run, or its prices are others now.
    """
    experiment, model = open_run(run_dir, prices=prices, on_stage=on_stage)
    if experiment.settings.data.series is not None:
        return judge_series(experiment, model, run_dir, learners=learners, on_stage=on_stage)
    on_stage("scoring the test days")
    scored = predict_test(experiment, model)
    books = book_figures(scored, experiment.panel, cost=cost)
    figures = summarise(scored).join(books.cast({"horizon": pl.Int64}), on="horizon", how="left")
    panel, fold = experiment.panel, experiment.fold
    frames: dict[str, pl.DataFrame] = {experiment.settings.model.name: scored}
    for name in LEARNERS if learners else ():
        on_stage(f"fitting {name}")
        seed = experiment.settings.training.seed
        frames[name] = learn_and_predict(name, panel, fold.train, fold.test, seed=seed)
    frames["low volatility"] = low_volatility(panel, fold.test)
    frames["naive composite"] = naive_composite(panel, fold.test)
    expected = experiment.oracle()
    if expected is not None:
        frames["oracle"] = score_panel(panel, fold.test, expected[fold.test])
    on_stage("comparing")
    compared = compare(frames, panel)
    return Judgement(run_dir, experiment.quarantine, figures, compared)
