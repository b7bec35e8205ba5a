"""What models of a single series say of the class: a frame of probabilities, day by day."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import expit
from torch import nn

from flatline.errors import SettingsError, ShapeError
from flatline.evaluation.experiment import Experiment, Split
from flatline.evaluation.predict import positions, predict
from flatline.evaluation.series.learners import class_labels, learn_class
from flatline.models.attention import attention_entropy
from flatline.settings import Settings
from flatline.training.guard import eval_mode

__all__ = [
    "Cell",
    "Finished",
    "check_series",
    "entropy_by_split",
    "scored_by_learner",
    "scored_by_model",
]

SPLITS: Final[tuple[Split, ...]] = ("train", "valid", "test")


@dataclass(frozen=True, slots=True)
class Cell:
    """What one cell trains.

    Args:
        features: `level` or `ratio`.
        normaliser: How they are normalised.
        model: Name of the architecture, or of a reference learner.
        seed: Of everything random.
    """

    features: str
    normaliser: str
    model: str
    seed: int

    def __str__(self) -> str:
        return f"{self.model} on {self.features} features, {self.normaliser}, seed {self.seed}"


@dataclass(frozen=True, slots=True, eq=False)
class Finished:
    """What a cell came to.

    Args:
        cell: What it trained.
        frame: One row a day and horizon: split, date, horizon, probability, label (null
            where unknown).
        entropy: Mean entropy ratio of the attention on each split; empty without attention.
        seconds: Of the fit.
        best_epoch: That the weights are of; None for learners, or where every epoch was
            degenerate and the last one's weights were kept.
    """

    cell: Cell
    frame: pl.DataFrame
    entropy: Mapping[str, float]
    seconds: float
    best_epoch: int | None


def check_series(settings: Settings) -> None:
    """Refuse settings that do not classify a single series.

    Raises:
        SettingsError: There is no series, or no weight on `bce`.
    """
    if settings.data.series is None:
        raise SettingsError(
            "data.series is not set, expected a single series to compare normalisers on. "
            "Give settings such as settings/spy.toml."
        )
    if "bce" not in settings.loss.weights:
        raise SettingsError(
            f"loss.weights names {sorted(settings.loss.weights)}, expected bce among them: the "
            "comparison is of probabilities. Give it a weight."
        )


def scored_by_model(experiment: Experiment, model: nn.Module) -> pl.DataFrame:
    """The probabilities of a model on all days, as `Finished.frame`."""
    panel = experiment.panel
    parts = [predict(model, experiment.batches(split), panel) for split in SPLITS]
    # The train days come in the order in which they were shuffled.
    scored = pl.concat(parts).sort("date", "horizon")
    logits = scored["score"].to_numpy().reshape(-1, len(panel.horizons))
    day, _ = positions(scored[:: len(panel.horizons)], panel)
    return _frame(experiment, day, expit(logits.astype(np.float64)))


def scored_by_learner(experiment: Experiment, name: str, *, seed: int = 0) -> pl.DataFrame:
    """The probabilities of a learner fitted on the train days, as `Finished.frame`.

    Args:
        experiment: Its days that have a window count: those that a model beside it sees.
        name: One of `CLASS_LEARNERS`.
        seed: Of the learner.
    """
    train, *others = (np.sort(experiment.batches(split).days) for split in SPLITS)
    days = np.concatenate([train, *others])
    threshold = experiment.settings.loss.bce_threshold
    chance = learn_class(name, experiment.panel, train, days, threshold=threshold, seed=seed)
    return _frame(experiment, days, chance)


def entropy_by_split(experiment: Experiment, model: nn.Module) -> dict[str, float]:
    """Mean entropy ratio of the attention on the days of each split; empty without attention."""
    found: dict[str, float] = {}
    with eval_mode(model):
        for split in SPLITS:
            ratios, rows = [], []
            for inputs, _ in experiment.batches(split):
                try:
                    ratios.append(float(attention_entropy(model, inputs).mean()))
                except ShapeError:
                    return {}  # A model without attention over patches.
                rows.append(len(inputs["group_day"]))
            found[split] = float(np.average(ratios, weights=rows))
    return found


def _frame(
    experiment: Experiment, days: NDArray[np.int64], chance: NDArray[np.float64]
) -> pl.DataFrame:
    """Probabilities and labels of the days, each with the split that it is of."""
    panel, wide = experiment.panel, len(experiment.panel.horizons)
    of_day = np.full(len(panel.dates), "", dtype="<U5")
    for split in SPLITS:
        of_day[getattr(experiment.fold, split)] = split
    label = class_labels(panel, days, experiment.settings.loss.bce_threshold)
    return pl.DataFrame(
        {
            "split": np.repeat(of_day[days], wide).tolist(),
            "date": np.repeat(panel.dates[days], wide),
            "horizon": np.tile(np.asarray(panel.horizons, np.int32), len(days)),
            "probability": chance.reshape(-1),
            "label": label.reshape(-1),
        },
        schema_overrides={"split": pl.String, "date": pl.Date},
    ).with_columns(pl.col("label").fill_nan(None))
