"""Training and judging a run: a folder that holds all that is needed to repeat it."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from torch import nn

from flatline.artifacts import Manifest, load_checkpoint, save_checkpoint, signature_of
from flatline.data.fitted_normaliser import FittedNormaliser
from flatline.data.panel import Panel
from flatline.errors import ArtifactError
from flatline.evaluation.comparable import comparable, refuse_change
from flatline.evaluation.experiment import Experiment, assemble
from flatline.evaluation.predict import predict
from flatline.models.registry import build_model
from flatline.settings import Settings, load_settings

if TYPE_CHECKING:
    from lightning.pytorch.callbacks import Callback

    from flatline.training import FitResult

__all__ = [
    "callbacks_of",
    "describe",
    "fingerprint",
    "manifest_of",
    "new_run_dir",
    "newest_run",
    "open_run",
    "predict_test",
    "train_run",
]

CHECKPOINT = "checkpoint.safetensors"
RUNS = Path("runs")
# What may differ when a run goes on; of its training, `fit` says what may.
WATCHING = ("training.", "guard.", "diagnostics.")


def train_run(
    experiment: Experiment,
    run_dir: Path,
    *,
    resume: bool = False,
    callbacks: Sequence[Callback] = (),
) -> tuple[nn.Module, FitResult]:
    """Train a fresh model in a new run folder, or go on with the run that is there.

    Args:
        experiment: What to train on, and how.
        run_dir: Folder of the run.
        resume: Go on with the run that is there.
        callbacks: More Lightning callbacks, beside those that the settings ask for.

    Returns:
        The model with the weights of its best epoch, and what the training came to.

    Raises:
        ArtifactError: The folder holds a run and *resume* is off.
        SettingsError: The run to resume had other settings.
        DegenerateError: The guard stopped the training.
    """
    from flatline.training import fit  # noqa: PLC0415 (Lightning is heavy)
    from flatline.training.seeds import seed_all  # noqa: PLC0415

    settings = experiment.settings
    if resume:
        _refuse_other_settings(run_dir, settings)
    seed_all(settings.training.seed)  # The weights at start are part of the run.
    model = experiment.model()
    result = fit(
        model,
        experiment.loss(),
        experiment.batches("train"),
        experiment.batches("valid"),
        settings.training,
        run_dir=run_dir,
        callbacks=[*callbacks_of(settings), *callbacks],
        resume=resume,
        effective=settings.model_dump(mode="json"),
        data=fingerprint(experiment.panel),
    )
    _publish(experiment, model, result, run_dir)
    return model, result


def _refuse_other_settings(run_dir: Path, settings: Settings) -> None:
    record = run_dir / "settings.json"
    if record.exists():
        before = comparable(load_settings(record, environ={}), free=WATCHING)
        now = comparable(settings, free=WATCHING)
        refuse_change(before, now, where=f"the run in {run_dir}")


def manifest_of(experiment: Experiment, model: nn.Module, run_dir: Path) -> Manifest:
    """What the checkpoint of a run says about its model.

    Args:
        experiment: What the run was made of.
        model: Built by the experiment.
        run_dir: Folder of the run, which has its id and the versions it ran under.

    Raises:
        ArtifactError: The folder has no record of a run.
    """
    record = _read(run_dir / "run.json")
    return describe(experiment, model, run_id=record["id"], versions=record["versions"])


def describe(
    experiment: Experiment, model: nn.Module, *, run_id: str, versions: Mapping[str, str]
) -> Manifest:
    """The same of a model that need not be of a run.

    Args:
        experiment: What the model was made of.
        model: Built by the experiment.
        run_id: What it is known by.
        versions: Of Python and the libraries that made it.
    """
    settings = experiment.settings
    return Manifest(
        model=settings.model.model_dump(mode="json"),
        **experiment.sizes(),
        feature_names=experiment.panel.feature_names,
        normaliser=experiment.normaliser.state(),
        target_scale=settings.data.target,
        signature=signature_of(model),
        versions=dict(versions),
        run_id=run_id,
        data_fingerprint=fingerprint(experiment.panel),
    )


def _publish(experiment: Experiment, model: nn.Module, result: FitResult, run_dir: Path) -> None:
    """Write the model as it was left as the run's checkpoint; none where no epoch was fit."""
    path = run_dir / CHECKPOINT
    if result.best_path is None:
        path.unlink(missing_ok=True)
        return
    save_checkpoint(path, model, manifest_of(experiment, model, run_dir))


def callbacks_of(settings: Settings) -> list[Callback]:
    """What watches a training: the degeneracy guard and the monitors that are on."""
    from flatline.training import DegeneracyGuard, make_monitors  # noqa: PLC0415

    watching = list(make_monitors(settings.diagnostics))
    if settings.guard.action != "off":
        watching.append(DegeneracyGuard(settings.guard))
    return watching


def open_run(
    run_dir: Path,
    *,
    prices: tuple[str, ...] = (),
    on_stage: Callable[[str], None] = lambda _: None,
) -> tuple[Experiment, nn.Module]:
    """The experiment of a finished run, with its own normaliser, and its model.

    Args:
        run_dir: Folder of the run.
        prices: Where its price files are now, if not where they were.
        on_stage: Called with the name of each stage as it begins, for progress.

    Raises:
        ArtifactError: The folder holds no finished run, part of it is damaged, or
            the data is not that of the run.
    """
    record = run_dir / "settings.json"
    if not record.exists():
        raise ArtifactError(
            f"run folder {run_dir} has no settings.json, expected a run. "
            "Train one with `flatline train`, or give its folder."
        )
    path = run_dir / CHECKPOINT
    if not path.exists():
        raise ArtifactError(
            f"run folder {run_dir} has no {path.name}, expected the model of a finished run. "
            "Go on with `flatline train --resume`, or look why every epoch was degenerate."
        )
    moved = [f"data.source.prices={json.dumps(prices)}"] if prices else []
    settings = load_settings(record, environ={}, overrides=moved)
    model, manifest = load_checkpoint(
        path, build=build_model, expected=_expected(run_dir, settings)
    )
    normaliser = FittedNormaliser.from_state(manifest.normaliser)
    experiment = assemble(settings, normaliser=normaliser, on_stage=on_stage)
    found = fingerprint(experiment.panel)
    if found != manifest.data_fingerprint:
        raise ArtifactError(
            f"data of run {run_dir} has fingerprint {manifest.data_fingerprint}, expected the same "
            f"now but found {found}. Give the prices it was trained on."
        )
    return experiment, model


def _expected(run_dir: Path, settings: Settings) -> dict[str, object]:
    """What the run's own record says of its checkpoint.

    Raises:
        ArtifactError: The record is of several runs.
    """
    data, name = settings.data, _read(run_dir / "run.json").get("id")
    for file in ("settings.json", "result.json"):
        found = _read(run_dir / file).get("run_id")
        if found != name:
            raise ArtifactError(
                f"{run_dir / file} is of run {found}, expected {name} as run.json says. "
                "Put the run's own file back, or train again."
            )
    return {
        "run_id": name,
        "model": settings.model.model_dump(mode="json"),
        "lookback": data.lookback,
        "horizons": data.horizons,
        "levels": data.levels,
        "target_scale": data.target,
    }


def predict_test(
    experiment: Experiment, model: nn.Module, *, on_batch: Callable[[int], None] = lambda _: None
) -> pl.DataFrame:
    """The model's scores on the test days, as `predict` gives them."""
    levels = experiment.settings.data.levels
    return predict(
        model, experiment.batches("test"), experiment.panel, levels=levels, on_batch=on_batch
    )


def fingerprint(panel: Panel) -> str:
    """A short text that differs where dates, codes, columns or returns differ."""
    digest = hashlib.sha256()
    for part in (panel.dates.astype("int64"), panel.codes, panel.present, panel.daily_return):
        digest.update(np.ascontiguousarray(part).tobytes())
    digest.update(json.dumps([panel.feature_names, panel.horizons]).encode())
    return digest.hexdigest()[:16]


def new_run_dir() -> Path:
    """A folder under `runs/`, named after the moment, that does not exist yet."""
    return RUNS / f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


def newest_run() -> Path:
    """The run under `runs/` that was started last.

    Raises:
        ArtifactError: There is none.
    """
    runs = [path.parent for path in RUNS.glob("*/run.json")]
    if not runs:
        raise ArtifactError(
            f"runs under {RUNS}/ are 0, expected one. Train with `flatline train`, or give --run."
        )
    # Not by their folders, which people name as they like; names settle a tie.
    return max(runs, key=lambda run: (str(_read(run / "run.json").get("started")), run.name))


def _read(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise ArtifactError(
            f"{path} cannot be read, expected a JSON object written by the run. Train again."
        ) from error
