"""Training from start to finish, or from where it was killed."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from lightning.pytorch.callbacks import Callback
from torch import nn

from flatline.batch import DayBatch, Labels
from flatline.training.checkpoint import load_weights, save_weights
from flatline.training.loader import PlainLoader, ResumableLoader
from flatline.training.module import Loss, Trainee
from flatline.training.phase_settings import PhaseSettings
from flatline.training.phases import in_phase, loss_of
from flatline.training.run_folder import RunFolder
from flatline.training.schedule import make_schedule
from flatline.training.seeds import seed_all
from flatline.training.settings import TrainingSettings
from flatline.training.trainer import run_trainer

__all__ = ["FitResult", "fit"]

Batches = Iterable[tuple[DayBatch, Labels]]


@dataclass(frozen=True, slots=True)
class FitResult:
    """What a training came to.

    Args:
        history: One row per validation: epoch, step, loss, RankIC and spread
            per horizon, whether the epoch was eligible as the best, and the number
            of the phase where there are phases.
        best_epoch: Epoch with the highest validation RankIC, of a single series with the
            lowest loss; None where every epoch was degenerate, or there was no validation.
        best_score: Its mean RankIC over the horizons; of a single series minus its loss.
        best_path: Its weights, safetensors; None without a best epoch or a run folder.
        run_dir: Folder of the run; None without one.
        steps: Optimizer steps done.
        seconds: Seconds of training, earlier parts of a resumed run included.
        stopped: What ended it: `max_epochs`, `max_steps`, `max_seconds` or `patience`.
    """

    history: tuple[dict[str, float], ...]
    best_epoch: int | None
    best_score: float | None
    best_path: Path | None
    run_dir: Path | None
    steps: int
    seconds: float
    stopped: str


def fit(
    model: nn.Module,
    loss: Loss,
    train: Batches,
    valid: Batches | None,
    settings: TrainingSettings | None = None,
    *,
    run_dir: Path | str | None,
    callbacks: Sequence[Callback] = (),
    resume: bool = False,
    effective: Mapping[str, Any] | None = None,
    data: str | None = None,
) -> FitResult:
    """Train a model; leave it with the weights of its best epoch.

    The best epoch is the one with the highest validation RankIC, taken over
    the days on which it is defined; an epoch with flat scores is never it.
    Where the settings name phases, each starts with the weights of the best epoch
    of the one before it, and the best epoch of the last one is that of the run.

    Args:
        model: Called with a batch, returns a `Forecast`. Trained in place.
        loss: Such as `losses.MultiHorizonLoss`.
        train: Training batches: sized, and iterable once per epoch. One with
            `set_epoch` is told the epoch.
        valid: Validation batches, with the same inputs as in training; None for none.
        settings: How to train; None for the defaults.
        run_dir: Folder for settings, log and checkpoints; None keeps nothing.
        callbacks: More Lightning callbacks, such as `DegeneracyGuard`.
        resume: Go on from the last checkpoint in *run_dir*, if there is one:
            on the CPU with the losses, bit for bit, of a run that was never interrupted.
        effective: The whole tree of settings, to be recorded beside the run.
        data: Fingerprint of the data, to be recorded; a run goes on with the same only.

    Raises:
        ArtifactError: *run_dir* holds a run and *resume* is off, its checkpoint
            is damaged, or its data were others.
        SettingsError: The run to resume had other settings, a phase does not fit the
            model, or a trainable parameter would not be trained.
        DataError: The batches cannot be counted, or there are none.
        DegenerateError: A guard stopped the training.
        KeyboardInterrupt: Somebody did; the run can be resumed.
    """
    settings = settings or TrainingSettings()
    if run_dir is None:
        with TemporaryDirectory(prefix="flatline-") as scratch:
            place = Path(scratch) / "run"
            result = fit(model, loss, train, valid, settings, run_dir=place, callbacks=callbacks)
        return replace(result, run_dir=None, best_path=None)
    loader = ResumableLoader(train)
    judged = None if valid is None else PlainLoader(valid, name="valid")
    for phase in settings.phases:
        # Better to learn now than after hours that a later phase does not fit the model.
        loss_of(phase, loss)
        with in_phase(model, phase):
            pass
    facts = settings.model_dump(mode="json")
    folder = RunFolder.open(
        Path(run_dir), training=facts, effective=effective, data=data, resume=resume
    )
    finished = folder.finished_result(facts)
    if finished is not None:
        result = _result_from(finished, folder)
        if not settings.restore_best:
            load_weights(model, folder.final, run_id=folder.id)
    elif settings.phases:
        result = _through_phases(
            model, loss, settings, folder, loader=loader, judged=judged, callbacks=callbacks
        )
    else:
        seed_all(settings.seed)
        schedule = make_schedule(settings, epoch_steps=len(loader))
        trainee = Trainee(model, loss, settings, schedule, loader)
        steps = run_trainer(trainee, judged, folder, callbacks)
        result = _finish(trainee, steps, folder, facts)
    if settings.restore_best and result.best_path is not None:
        load_weights(model, result.best_path, run_id=folder.id)
    return result


def _through_phases(
    model: nn.Module,
    loss: Loss,
    settings: TrainingSettings,
    folder: RunFolder,
    *,
    loader: ResumableLoader,
    judged: PlainLoader | None,
    callbacks: Sequence[Callback],
) -> FitResult:
    """One training per phase, each from where the one before it ended, wherever that was run.

    All that a phase starts with is in a file or the same in every process: the weights,
    and fresh seeds, loss, optimizer and states of the callbacks.
    """
    states = [copy.deepcopy(callback.state_dict()) for callback in callbacks]
    last = len(settings.phases)
    for number in range(len(folder.phases()) + 1, last + 1):
        phase, place = settings.phases[number - 1], folder.of_phase(number)
        if number > 1:
            load_weights(model, folder.phase_weights(number - 1), run_id=folder.id)
        for callback, state in zip(callbacks, states, strict=True):
            callback.load_state_dict(copy.deepcopy(state))
        seed_all((settings.seed + number - 1) % 2**32)
        loader = ResumableLoader(loader.source, first_epoch=place.before.epochs)
        with in_phase(model, phase) as rates:
            told = phase.over(settings)
            schedule = make_schedule(told, epoch_steps=len(loader))
            trainee = Trainee(model, loss_of(phase, loss), told, schedule, loader, rates=rates)
            steps = run_trainer(trainee, judged, place, callbacks, phase=phase.name)
        if number < last:
            _end_phase(trainee, steps, place, phase)
    return _finish(trainee, steps, place, settings.model_dump(mode="json"))


def _end_phase(trainee: Trainee, steps: int, folder: RunFolder, phase: PhaseSettings) -> None:
    """Put what the next phase starts with, and then the end of this one, on record."""
    best = trainee.selection.best_epoch
    if trainee.settings.restore_best and best is not None:
        load_weights(trainee.model, folder.epoch_weights(best), run_id=folder.id)
    facts = _facts(trainee, steps, folder)
    about = {
        "run_id": folder.id,
        "phase": phase.name,
        "epoch": facts["best_epoch"],
        "rank_ic": facts["best_score"],
    }
    save_weights(trainee.model, folder.phase_weights(folder.number), about=about)
    folder.end_phase({"name": phase.name} | facts)


def _facts(trainee: Trainee, steps: int, folder: RunFolder) -> dict[str, Any]:
    """What a training came to, its epochs and steps counted from the start of the run."""
    before, best = folder.before, trainee.selection.best_epoch
    of_phase = {"phase": float(folder.number)} if folder.number else {}
    return {
        "history": [
            row
            | {"epoch": row["epoch"] + before.epochs, "step": row["step"] + before.steps}
            | of_phase
            for row in trainee.history
        ],
        "best_epoch": None if best is None else best + before.epochs,
        "best_score": trainee.selection.best_score,
        "epochs": trainee.loader.epochs,
        "steps": before.steps + steps,
        "seconds": before.seconds + trainee.elapsed(),
        "stopped": trainee.stopped,
    }


def _finish(
    trainee: Trainee, steps: int, folder: RunFolder, training: Mapping[str, Any]
) -> FitResult:
    folder.publish_best(trainee.selection.best_epoch)
    if not training["restore_best"]:
        save_weights(trainee.model, folder.final, about={"run_id": folder.id, "step": steps})
    facts = _facts(trainee, steps, folder)
    earlier = [row for phase in folder.phases() for row in phase["history"]]
    kept = {name: value for name, value in facts.items() if name != "epochs"}
    kept["history"] = [*earlier, *kept["history"]]
    folder.finish(kept, training)
    return _result_from(kept, folder)


def _result_from(kept: Mapping[str, Any], folder: RunFolder) -> FitResult:
    path = folder.best if kept["best_epoch"] is not None else None
    # A number that was not there is null in the file.
    history = tuple(
        {name: math.nan if value is None else value for name, value in row.items()}
        for row in kept["history"]
    )
    return FitResult(**{**kept, "history": history}, best_path=path, run_dir=folder.path)
