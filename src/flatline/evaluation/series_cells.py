"""Cells of the comparison of normalisers: one model, one seed, one normaliser, one feature set.

A cell is worked on once: its probabilities on all days lie in a file named after all that
they depend on (settings, data, format), so that a second run goes on where the first was
ended and nothing is read that other settings or data made.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import expit

from flatline.data.panel import Panel
from flatline.errors import SettingsError
from flatline.evaluation.experiment import Experiment, Raw, Split, cut, prepare
from flatline.evaluation.predict import positions, predict
from flatline.evaluation.series_learners import CLASS_LEARNERS, SEEDED, class_labels, learn_class
from flatline.files import replacing
from flatline.settings import Settings

__all__ = [
    "NORMALISERS",
    "Cell",
    "Finished",
    "cell_path",
    "cells_of",
    "check_series",
    "data_hash",
    "read_cell",
    "settings_of",
    "work_cell",
    "work_cells",
]

NORMALISERS: Final = ("raw", "zscore", "percent_change", "rolling", "bounded", "hybrid")
SPLITS: Final[tuple[Split, ...]] = ("train", "valid", "test")
FORMAT: Final = 1
NOTE: Final = "flatline"


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


def cells_of(
    settings: Settings,
    *,
    features: Sequence[str],
    normalisers: Sequence[str],
    seeds: int,
    learners: bool,
) -> list[Cell]:
    """All cells of a comparison; a learner that draws nothing has one seed."""
    names = (settings.model.name, *(CLASS_LEARNERS if learners else ()))
    return [
        Cell(chosen, normaliser, name, seed)
        for chosen in features
        for normaliser in normalisers
        for name in names
        for seed in range(1 if name in CLASS_LEARNERS and name not in SEEDED else seeds)
    ]


def settings_of(settings: Settings, cell: Cell) -> Settings:
    """The tree of a cell; what is only shown, or watched, is left out of it."""
    tree = settings.model_dump(mode="json")
    tree["data"]["series"]["features"] = cell.features
    tree["data"]["normaliser"] = cell.normaliser
    tree["data"]["seed"] = tree["training"]["seed"] = cell.seed
    tree["training"] |= {"progress": False, "tensorboard": False}
    tree |= {"guard": {"action": "off"}, "diagnostics": {}, "run": {}}
    return Settings(**tree)


def data_hash(panel: Panel) -> str:
    """A short text that differs where a number of the raw panel differs."""
    digest = hashlib.sha256(json.dumps([panel.feature_names, panel.horizons]).encode())
    for part in (panel.dates.astype("int64"), panel.features, panel.target):
        digest.update(np.ascontiguousarray(part).tobytes())
    return digest.hexdigest()[:16]


def cell_path(folder: Path, settings: Settings, cell: Cell, data: str) -> Path:
    """Where a cell lies: its file is named after all that it depends on.

    Args:
        folder: Of all cells.
        settings: Of the whole comparison.
        cell: Which one.
        data: `data_hash` of the raw panel with its features.
    """
    tree = settings_of(settings, cell).model_dump(mode="json")
    # Where the prices lie does not matter: their numbers do.
    del tree["data"]["source"]
    if cell.model in CLASS_LEARNERS:
        tree = {"data": tree["data"], "threshold": settings.loss.bce_threshold}
    facts = {"format": FORMAT, "cell": asdict(cell), "data": data, "settings": tree}
    stamp = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:12]
    name = f"{cell.features}-{cell.normaliser}-{cell.model.replace(' ', '_')}-{cell.seed}-{stamp}"
    return folder / f"{name}.parquet"


def read_cell(path: Path, cell: Cell) -> Finished | None:
    """A finished cell; None where there is none, or where its file is damaged."""
    if not path.exists():
        return None
    try:
        note = json.loads(pl.read_parquet_metadata(path)[NOTE])
        frame = pl.read_parquet(path)
        return Finished(cell, frame, note["entropy"], note["seconds"], note["best_epoch"])
    except (pl.exceptions.PolarsError, OSError, KeyError, ValueError):
        return None


def work_cells(
    settings: Settings,
    folder: Path,
    cells: Sequence[Cell],
    names: Sequence[str],
    *,
    on_stage: Callable[[str], None] = lambda _: None,
) -> None:
    """Work on the cells of one feature set, each into its file.

    Args:
        settings: Of the whole comparison.
        folder: Of all cells.
        cells: What to work on; not empty, with one feature set.
        names: Name of the file of each.
        on_stage: Called with the name of each cell as it begins.
    """
    raw = prepare(settings_of(settings, cells[0]))
    for cell, name in zip(cells, names, strict=True):
        on_stage(str(cell))
        work_cell(settings, raw, cell, folder / name)


def work_cell(settings: Settings, raw: Raw, cell: Cell, path: Path) -> None:
    """Train one cell and write what it came to, whole or not at all."""
    experiment = cut(settings_of(settings, cell), raw)
    if cell.model in CLASS_LEARNERS:
        finished = _learned(experiment, cell)
    else:
        finished = _trained(experiment, cell)
    note = {name: getattr(finished, name) for name in ("entropy", "seconds", "best_epoch")}
    with replacing(path) as partial:
        finished.frame.write_parquet(partial, metadata={NOTE: json.dumps(note)})


def _learned(experiment: Experiment, cell: Cell) -> Finished:
    started = time.perf_counter()
    # The days that have a window: those that the model beside it sees.
    days = {split: experiment.batches(split).days for split in SPLITS}
    everything = np.concatenate([np.sort(part) for part in days.values()])
    threshold = experiment.settings.loss.bce_threshold
    chance = learn_class(
        cell.model, experiment.panel, np.sort(days["train"]), everything,
        threshold=threshold, seed=cell.seed,
    )  # fmt: skip
    seconds = time.perf_counter() - started
    return Finished(cell, _frame(experiment, everything, chance), {}, seconds, None)


def _trained(experiment: Experiment, cell: Cell) -> Finished:
    from flatline.training import fit  # noqa: PLC0415 (Lightning is heavy)
    from flatline.training.seeds import seed_all  # noqa: PLC0415

    settings = experiment.settings
    seed_all(settings.training.seed)
    model = experiment.model()
    result = fit(
        model, experiment.loss(), experiment.batches("train"), experiment.batches("valid"),
        settings.training, run_dir=None,
    )  # fmt: skip
    parts = [predict(model, experiment.batches(split), experiment.panel) for split in SPLITS]
    # The train days come in the order in which they were shuffled.
    scored = pl.concat(parts).sort("date", "horizon")
    wide = scored["score"].to_numpy().reshape(-1, len(experiment.panel.horizons))
    day, _ = positions(scored[:: len(experiment.panel.horizons)], experiment.panel)
    frame = _frame(experiment, day, expit(wide.astype(np.float64)))
    return Finished(cell, frame, _entropy(experiment, model), result.seconds, result.best_epoch)


def _entropy(experiment: Experiment, model: Any) -> dict[str, float]:  # noqa: ANN401
    """Mean entropy ratio of the attention on the days of each split."""
    from flatline.errors import ShapeError  # noqa: PLC0415
    from flatline.models.attention import attention_entropy  # noqa: PLC0415
    from flatline.training.guard import eval_mode  # noqa: PLC0415

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
