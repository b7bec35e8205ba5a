"""Cells of the comparison of normalisers: one model, one seed, one normaliser, one feature set.

A cell is worked on once: its probabilities on all days lie in a file named after all that
they depend on (settings, data, format), so that a second run goes on where the first was
ended and nothing is read that other settings or data made.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from flatline.data.panel import Panel
from flatline.evaluation.experiment import Experiment, Raw, cut, prepare
from flatline.evaluation.series.learners import CLASS_LEARNERS, SEEDED, make_learner
from flatline.evaluation.series.scores import (
    Cell,
    Finished,
    entropy_by_split,
    scored_by_learner,
    scored_by_model,
)
from flatline.files import replacing
from flatline.settings import Settings

__all__ = [
    "NORMALISERS",
    "cell_path",
    "cells_of",
    "data_hash",
    "read_cell",
    "settings_of",
    "work_cell",
    "work_cells",
]

NORMALISERS: Final = ("raw", "zscore", "percent_change", "rolling", "bounded", "hybrid")
FORMAT: Final = 1
NOTE: Final = "flatline"


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
        options = str(make_learner(cell.model, cell.seed).get_params())
        tree = {
            "data": tree["data"],
            "threshold": settings.loss.bce_threshold,
            "learner": options,
        }
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
    frame = scored_by_learner(experiment, cell.model, seed=cell.seed)
    return Finished(cell, frame, {}, time.perf_counter() - started, None)


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
    frame, entropy = scored_by_model(experiment, model), entropy_by_split(experiment, model)
    return Finished(cell, frame, entropy, result.seconds, result.best_epoch)
