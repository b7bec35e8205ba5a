"""What is kept of each window of a walk-forward: its row, its predictions, and whose they are."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import polars as pl

from flatline.errors import ArtifactError
from flatline.evaluation.comparable import comparable
from flatline.evaluation.walkforward.plan import Plan, Window
from flatline.evaluation.work_folder import read_json
from flatline.files import replacing, write_text

__all__ = [
    "MODEL",
    "Row",
    "dead_row",
    "digest",
    "kept_row",
    "record_row",
    "results_of",
    "save_frame",
]

MODEL = "model"
# What need not be tried again: the same training would end in the same way.
LASTING = frozenset({"finished", "degenerate"})


@dataclass(frozen=True, slots=True)
class Row:
    """What became of a window. None where it did not come so far.

    Args:
        window: From 1 on.
        status: `finished`, `degenerate` (scores went flat, no epoch was fit), `failed` or
            `killed`.
        reason: What went wrong, a sentence; empty where nothing did.
        train_from: First date to learn from.
        valid_from: First date to choose by.
        test_from: First date to judge on.
        test_until: Last date to judge on.
        train_days: Days to learn from, after purging.
        valid_days: Days to choose by, after purging.
        test_days: Days to judge on.
        run_id: Of its run folder.
        steps: Optimizer steps.
        seconds: Of training.
        seconds_per_epoch: The same of a pass over the train days, validation included.
        best_epoch: From 0 on.
        valid_rank_ic: Of the best epoch, on the validation days; None for a single series,
            whose epochs are compared on their loss.
        ic: Mean daily IC on the test days, averaged over the horizons.
        rank_ic: The same of the RankIC.
        icir: The same of the ICIR.
        undefined_days: Labelled test days, counted for each horizon, without an IC.
        flat: Kinds of flat found in the scores of the test days.
        horizons: Figures of each horizon: ic, rank_ic, icir, days with labels, undefined_days.
        rows: Rows of predictions.
        digest: Fingerprint of the file of predictions.
    """

    window: int
    status: str
    reason: str = ""
    train_from: str | None = None
    valid_from: str | None = None
    test_from: str | None = None
    test_until: str | None = None
    train_days: int | None = None
    valid_days: int | None = None
    test_days: int | None = None
    run_id: str | None = None
    steps: int | None = None
    seconds: float | None = None
    seconds_per_epoch: float | None = None
    best_epoch: int | None = None
    valid_rank_ic: float | None = None
    ic: float | None = None
    rank_ic: float | None = None
    icir: float | None = None
    undefined_days: int | None = None
    flat: tuple[str, ...] = ()
    horizons: tuple[dict[str, Any], ...] = ()
    rows: int | None = None
    digest: str | None = None


def results_of(folder: Path, number: int) -> Path:
    """Where the predictions and the record of a window lie."""
    return folder / "results" / f"{number:02d}"


def dead_row(window: Window, status: str, reason: str) -> Row:
    """The row of a window that has no predictions."""
    split = window.settings.data.split
    dates = {n: getattr(split, n) for n in ("train_from", "valid_from", "test_from", "test_until")}
    return Row(window.number, status, reason, **dates)


def save_frame(frame: pl.DataFrame, path: Path) -> str:
    """Write a frame, whole or not at all; its fingerprint."""
    with replacing(path) as partial:
        frame.write_parquet(partial)
    return digest(path)


def digest(path: Path) -> str:
    """A short text that differs where a byte of the file does."""
    if not path.exists():
        return "missing"
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def _identity(plan: Plan, window: Window) -> dict[str, str]:
    """The settings of a window that its results depend on, its dates included, and its data."""
    settings = json.dumps(comparable(window.settings), sort_keys=True)
    return {"settings": hashlib.sha256(settings.encode()).hexdigest()[:16], "data": plan.work.data}


def record_row(plan: Plan, window: Window, row: Row) -> None:
    """Keep the row of a window, with the settings and the data that it belongs to."""
    path = results_of(plan.folder, window.number) / "window.json"
    outcome = {"identity": _identity(plan, window), "row": asdict(row)}
    write_text(path, json.dumps(outcome, indent=1, allow_nan=False) + "\n")


def kept_row(plan: Plan, window: Window) -> Row | None:
    """The row of a window that was finished before, its files being as they were left.

    Raises:
        ArtifactError: It is that of another window.
    """
    results = results_of(plan.folder, window.number)
    if not (results / "window.json").exists():
        return None
    found = read_json(results / "window.json")
    if found.get("identity") != _identity(plan, window):
        raise ArtifactError(
            f"{results} holds a window of other dates, settings or data, expected window "
            f"{window.number} of this walk-forward. Remove {results} and "
            f"{plan.folder / 'windows' / results.name}, or give another folder."
        )
    facts: dict[str, Any] = found["row"]
    lists = {name: tuple(value) for name, value in facts.items() if isinstance(value, list)}
    row = Row(**(facts | lists))
    whole = row.digest is None or row.digest == digest(results / f"{MODEL}.parquet")
    # Damaged predictions are made again, from the run that is there.
    return row if row.status in LASTING and whole else None
