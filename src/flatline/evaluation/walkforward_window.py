"""One window of a walk-forward: train, score its test days, fit the reference learners."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from flatline.data.panel import Panel
from flatline.errors import ArtifactError, DegenerateError, FlatlineError, NoValidDayError
from flatline.evaluation.experiment import Experiment, cut
from flatline.evaluation.learners import (
    LEARNERS,
    learn_and_predict,
    low_volatility,
    naive_composite,
)
from flatline.evaluation.run import predict_test, train_run
from flatline.evaluation.walkforward_plan import Plan, Window, comparable, read_json
from flatline.files import replacing, write_text
from flatline.metrics import find_flat, forecast_figures

__all__ = ["MODEL", "NAIVE", "Row", "dead_row", "learner_names", "results_of", "run_window"]

log = logging.getLogger(__name__)
MODEL = "model"
NAIVE: Mapping[str, Callable[[Panel, NDArray[np.int64]], pl.DataFrame]] = {
    "low volatility": low_volatility,
    "naive composite": naive_composite,
}
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
        valid_rank_ic: Of the best epoch, on the validation days.
        ic: Mean daily IC on the test days, averaged over the horizons.
        rank_ic: The same of the RankIC.
        icir: The same of the ICIR.
        undefined_days: Test days and horizons without an IC.
        flat: Kinds of flat found in the scores of the test days.
        horizons: Figures of each horizon: ic, rank_ic, icir, undefined_days.
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


def run_window(
    plan: Plan,
    window: Window,
    *,
    learners: bool = True,
    on_stage: Callable[[str], None] = lambda _: None,
) -> Row:
    """Do what is left to do of a window; whatever goes wrong in it becomes its row.

    Args:
        plan: The walk-forward.
        window: One of its windows.
        learners: Also fit the reference learners, and score their test days.
        on_stage: Called with the name of each stage as it begins, for progress.

    Raises:
        KeyboardInterrupt: Somebody stopped it; it can be taken up again.
    """
    results = results_of(plan.folder, window.number)
    try:
        row = _kept(plan, window)
        with _opened(plan, window, on_stage) as experiment:
            if row is None:
                row = _train(plan, window, experiment, on_stage)
                _record(plan, window, row)
            if learners and row.status == "finished":
                _learn(results, experiment, on_stage)
    except (DegenerateError, NoValidDayError) as error:
        row = dead_row(window, "degenerate", str(error))
        _record(plan, window, row)
    except Exception as error:  # noqa: BLE001 (the other windows can still be run)
        write_text(results / "error.txt", traceback.format_exc())
        sentence = str(error) if isinstance(error, FlatlineError) else repr(error)
        row = dead_row(window, "failed", sentence)
        log.warning("[walkforward] window=%d failed %s", window.number, sentence)
    return row


def learner_names() -> tuple[str, ...]:
    """The forecasts that a walk-forward is held against."""
    return (*LEARNERS, *NAIVE)


def dead_row(window: Window, status: str, reason: str) -> Row:
    """The row of a window that has no predictions."""
    split = window.settings.data.split
    dates = {n: getattr(split, n) for n in ("train_from", "valid_from", "test_from", "test_until")}
    return Row(window.number, status, reason, **dates)


@contextmanager
def _opened(
    plan: Plan, window: Window, on_stage: Callable[[str], None]
) -> Iterator[Callable[[], Experiment]]:
    """The experiment of a window, put together when it is first asked for."""
    found: list[Experiment] = []
    mapped = window.settings.data.source.memory_map
    scratch = None if mapped is None else plan.folder / f".normalised-{window.number:02d}.npy"

    def experiment() -> Experiment:
        if not found:
            on_stage("normalising")
            found.append(cut(window.settings, plan.raw(), memory_map=scratch))
        return found[0]

    try:
        yield experiment
    finally:
        if scratch is not None:
            scratch.unlink(missing_ok=True)


def _train(
    plan: Plan, window: Window, opened: Callable[[], Experiment], on_stage: Callable[[str], None]
) -> Row:
    experiment = opened()
    on_stage("training")
    run_dir = plan.folder / "windows" / f"{window.number:02d}"
    if not (run_dir / "run.json").exists():
        # Killed before the run had a name.
        shutil.rmtree(run_dir, ignore_errors=True)
    model, result = train_run(experiment, run_dir, resume=True)
    fold, epoch_steps = experiment.fold, len(experiment.batches("train"))
    row = asdict(dead_row(window, "finished", "")) | {
        "train_days": len(fold.train),
        "valid_days": len(fold.valid),
        "test_days": len(fold.test),
        "run_id": read_json(run_dir / "run.json")["id"],
        "steps": result.steps,
        "seconds": result.seconds,
        "seconds_per_epoch": result.seconds * epoch_steps / max(result.steps, 1),
        "best_epoch": result.best_epoch,
        "valid_rank_ic": result.best_score,
    }
    if result.best_epoch is None:
        reason = "every epoch was degenerate on the validation days."
        return Row(**row | {"status": "degenerate", "reason": reason})
    on_stage("scoring the test days")
    frame = predict_test(experiment, model).with_columns(run_id=pl.lit(row["run_id"]))
    digest = _save(frame, results_of(plan.folder, window.number) / f"{MODEL}.parquet")
    return Row(**row | _figures(frame) | {"rows": len(frame), "digest": digest})


def _figures(frame: pl.DataFrame) -> dict[str, Any]:
    """IC and kinds of flat of the predictions of a window."""
    horizons = frame["horizon"].unique().sort().to_list()

    def wide(name: str) -> Any:  # noqa: ANN401 (an array of floats)
        # Rows of a date and code follow each other, a row per horizon.
        values = frame[name].cast(pl.Float64).fill_null(np.nan).to_numpy()
        return values.reshape(-1, len(horizons))

    first = frame.filter(pl.col("horizon") == horizons[0])
    day, stock = first["date"].to_physical().to_numpy(), first["code"].rank("dense").to_numpy()
    levels = [name for name in frame.columns if name.startswith("q0.")]
    quantiles = np.stack([wide(name) for name in levels], -1) if levels else None
    score, target = wide("score"), wide("return")
    found = find_flat(score, day, stock=stock, quantiles=quantiles, horizons=horizons)
    each = [
        {name: getattr(one, name) for name in ("horizon", "ic", "rank_ic", "icir")}
        | {"undefined_days": one.undefined_days}
        for one in forecast_figures(score, target, day, horizons=horizons)
    ]
    known = {
        name: [one[name] for one in each if one[name] is not None]
        for name in ("ic", "rank_ic", "icir")
    }
    return {
        **{name: float(np.mean(values)) if values else None for name, values in known.items()},
        "undefined_days": sum(one["undefined_days"] for one in each),
        "flat": tuple(dict.fromkeys(str(one.kind) for one in found)),
        "horizons": tuple(each),
    }


def _learn(
    results: Path, opened: Callable[[], Experiment], on_stage: Callable[[str], None]
) -> None:
    """Fit the learners that have not been fitted yet, and score their test days."""
    record = results / "learners.json"
    done = read_json(record) if record.exists() else {}
    for name in learner_names():
        path = results / f"{name}.parquet"
        if name in done and done[name]["digest"] == _digest(path):
            continue
        experiment = opened()
        on_stage(f"fitting {name}")
        started = time.perf_counter()
        panel, fold = experiment.panel, experiment.fold
        if name in LEARNERS:
            seed = experiment.settings.training.seed
            frame = learn_and_predict(name, panel, fold.train, fold.test, seed=seed)
        else:
            frame = NAIVE[name](panel, fold.test)
        seconds = time.perf_counter() - started
        done[name] = {"digest": _save(frame, path), "seconds": seconds}
        write_text(record, json.dumps(done, indent=1) + "\n")


def _save(frame: pl.DataFrame, path: Path) -> str:
    with replacing(path) as partial:
        frame.write_parquet(partial)
    return _digest(path)


def _digest(path: Path) -> str:
    if not path.exists():
        return "missing"
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def _identity(plan: Plan, window: Window) -> dict[str, str]:
    settings = json.dumps(comparable_split(window), sort_keys=True)
    return {"settings": hashlib.sha256(settings.encode()).hexdigest()[:16], "data": plan.data}


def comparable_split(window: Window) -> Mapping[str, Any]:
    """The settings of a window that its results depend on, its dates included."""
    return comparable(window.settings) | window.settings.data.split.model_dump(mode="json")


def _record(plan: Plan, window: Window, row: Row) -> None:
    path = results_of(plan.folder, window.number) / "window.json"
    outcome = {"identity": _identity(plan, window), "row": asdict(row)}
    write_text(path, json.dumps(outcome, indent=1, allow_nan=False) + "\n")


def _kept(plan: Plan, window: Window) -> Row | None:
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
    whole = row.digest is None or row.digest == _digest(results / f"{MODEL}.parquet")
    # Damaged predictions are made again, from the run that is there.
    return row if row.status in LASTING and whole else None
