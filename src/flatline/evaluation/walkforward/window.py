"""One window of a walk-forward: train, score its test days, fit the reference learners."""

from __future__ import annotations

import json
import logging
import shutil
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from flatline.data.panel import Panel
from flatline.errors import DegenerateError, FlatlineError, NoValidDayError
from flatline.evaluation.experiment import Experiment, cut
from flatline.evaluation.learners import (
    LEARNERS,
    learn_and_predict,
    low_volatility,
    naive_composite,
)
from flatline.evaluation.pooled import judged_days
from flatline.evaluation.run import predict_test, train_run
from flatline.evaluation.walkforward.plan import Plan, Window
from flatline.evaluation.walkforward.results import (
    MODEL,
    Row,
    dead_row,
    digest,
    kept_row,
    record_row,
    results_of,
    save_frame,
)
from flatline.evaluation.work_folder import read_json
from flatline.files import write_text
from flatline.metrics import daily_metrics, find_flat
from flatline.training.guard_callback import fixes_scale

__all__ = ["learner_names", "run_window", "settled_row"]

log = logging.getLogger(__name__)
NAIVE: Mapping[str, Callable[[Panel, NDArray[np.int64]], pl.DataFrame]] = {
    "low volatility": low_volatility,
    "naive composite": naive_composite,
}


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
    # Of an earlier attempt.
    (results / "error.txt").unlink(missing_ok=True)
    try:
        row = kept_row(plan, window)
        with _opened(plan, window, on_stage) as experiment:
            if row is None:
                row = _train(plan, window, experiment, on_stage)
                record_row(plan, window, row)
            if learners and row.status == "finished":
                _learn(results, experiment, on_stage)
    except (DegenerateError, NoValidDayError) as error:
        row = dead_row(window, "degenerate", str(error))
        record_row(plan, window, row)
    except Exception as error:  # noqa: BLE001 (the other windows can still be run)
        write_text(results / "error.txt", traceback.format_exc())
        sentence = str(error) if isinstance(error, FlatlineError) else repr(error)
        row = dead_row(window, "failed", sentence)
        log.warning("[walkforward] window=%d failed %s", window.number, sentence)
    return row


def learner_names() -> tuple[str, ...]:
    """The forecasts that a walk-forward is held against."""
    return (*LEARNERS, *NAIVE)


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
            found.append(cut(window.settings, plan.work.raw(), memory_map=scratch))
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
    series = experiment.settings.data.series is not None
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
        "valid_rank_ic": None if series else result.best_score,
    }
    if result.best_epoch is None:
        reason = "every epoch was degenerate on the validation days."
        return Row(**row | {"status": "degenerate", "reason": reason})
    on_stage("scoring the test days")
    frame = predict_test(experiment, model).with_columns(run_id=pl.lit(row["run_id"]))
    kept = save_frame(frame, results_of(plan.folder, window.number) / f"{MODEL}.parquet")
    return Row(
        **row
        | _figures(frame, scale=fixes_scale(experiment.loss()))
        | {"rows": len(frame), "digest": kept}
    )


def _figures(frame: pl.DataFrame, *, scale: bool) -> dict[str, Any]:
    """IC and kinds of flat of the predictions of a window; *scale* is whether theirs counts."""
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
    found = find_flat(
        score,
        day,
        stock=stock,
        target=wide("target") if scale else None,
        quantiles=quantiles,
        horizons=horizons,
    )
    daily = daily_metrics(score, target, day, metrics=("ic", "rank_ic"))
    judged = judged_days(daily.ic)
    undefined = (judged & ~daily.ic.defined).sum(0).tolist()
    ic, rank_ic = daily.ic.mean(), daily.rank_ic.mean()
    with np.errstate(divide="ignore", invalid="ignore"):
        icir = ic / daily.ic.std()
    each = [
        {
            "horizon": horizon,
            **{
                name: _known(v[k]) for name, v in (("ic", ic), ("rank_ic", rank_ic), ("icir", icir))
            },
            "days": int(judged[:, k].sum()),
            "undefined_days": undefined[k],
        }
        for k, horizon in enumerate(horizons)
    ]
    known = {
        name: [one[name] for one in each if one[name] is not None]
        for name in ("ic", "rank_ic", "icir")
    }
    return {
        **{name: float(np.mean(values)) if values else None for name, values in known.items()},
        "undefined_days": sum(undefined),
        "flat": tuple(dict.fromkeys(str(one.kind) for one in found)),
        "horizons": tuple(each),
    }


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _learned(results: Path) -> tuple[dict[str, Any], list[str]]:
    """The record of the learners of a window, and which of them are still to be fitted."""
    record = results / "learners.json"
    done = read_json(record) if record.exists() else {}
    left = [
        name
        for name in learner_names()
        if name not in done or done[name]["digest"] != digest(results / f"{name}.parquet")
    ]
    return done, left


def settled_row(plan: Plan, window: Window, *, learners: bool) -> Row | None:
    """The row of a window of which nothing is left to be done; None where something is.

    Raises:
        ArtifactError: What is there is that of another window.
    """
    row = kept_row(plan, window)
    if row is None or row.status != "finished" or not learners:
        return row
    return None if _learned(results_of(plan.folder, window.number))[1] else row


def _learn(
    results: Path, opened: Callable[[], Experiment], on_stage: Callable[[str], None]
) -> None:
    """Fit the learners that have not been fitted yet, and score their test days."""
    record = results / "learners.json"
    done, left = _learned(results)
    for name in left:
        path = results / f"{name}.parquet"
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
        done[name] = {"digest": save_frame(frame, path), "seconds": seconds}
        write_text(record, json.dumps(done, indent=1) + "\n")
