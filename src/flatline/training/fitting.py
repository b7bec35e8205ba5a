"""Training from start to finish, or from where it was killed."""

from __future__ import annotations

import contextlib
import logging
import math
import signal
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback, RichProgressBar
from torch import nn

from flatline.batch import DayBatch, Labels
from flatline.errors import ArtifactError
from flatline.training.checkpoint import SafeCheckpointIO, load_weights
from flatline.training.ema import WeightAverage
from flatline.training.live import BestEpoch, Budget, LiveLog, ResumePoint
from flatline.training.loader import PlainLoader, ResumableLoader
from flatline.training.log import RunLog
from flatline.training.module import Loss, Trainee
from flatline.training.run_folder import RunFolder
from flatline.training.schedule import make_schedule
from flatline.training.seeds import seed_all
from flatline.training.settings import TrainingSettings

__all__ = ["FitResult", "fit"]

Batches = Iterable[tuple[DayBatch, Labels]]


@dataclass(frozen=True, slots=True)
class FitResult:
    """What a training came to.

    Args:
        history: One row per validation: epoch, step, loss, RankIC and spread
            per horizon, and whether the epoch was eligible as the best.
        best_epoch: Epoch with the highest validation RankIC; None where every
            epoch was degenerate, or there was no validation.
        best_score: Its mean RankIC over the horizons.
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
) -> FitResult:
    """Train a model; leave it with the weights of its best epoch.

    The best epoch is the one with the highest validation RankIC, taken over
    the days on which it is defined; an epoch with flat scores is never it.

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

    Raises:
        ArtifactError: *run_dir* holds a run and *resume* is off, or its checkpoint
            is damaged.
        SettingsError: The run to resume had other settings, or a trainable
            parameter would not be trained.
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
    facts = settings.model_dump(mode="json")
    folder = RunFolder.open(Path(run_dir), training=facts, effective=effective, resume=resume)
    finished = folder.finished_result(facts)
    if finished is not None:
        result = _result_from(finished, folder)
    else:
        seed_all(settings.seed)
        schedule = make_schedule(settings, epoch_steps=len(loader))
        trainee = Trainee(model, loss, settings, schedule, loader)
        steps = _train(trainee, judged, folder, callbacks)
        result = _finish(trainee, steps, folder)
    if settings.restore_best and result.best_path is not None:
        load_weights(model, result.best_path)
    return result


def _train(
    trainee: Trainee,
    judged: PlainLoader | None,
    folder: RunFolder,
    callbacks: Sequence[Callback],
) -> int:
    """Run Lightning; the number of optimizer steps done."""
    folder.update(state="running", error=None)
    handler = signal.getsignal(signal.SIGINT)
    decay = trainee.settings.ema_decay
    average = None if decay is None else WeightAverage(decay)
    with _quiet():
        trainer = _trainer(
            trainee.settings, folder, callbacks, average, validates=judged is not None
        )
        try:
            start = str(folder.last) if folder.resumable else None
            trainer.fit(trainee, trainee.loader, judged, ckpt_path=start)
        except Exception as error:
            folder.update(state="failed", error=str(error))
            if isinstance(error, RuntimeError) and "loading state_dict" in str(error):
                raise ArtifactError(
                    f"checkpoint {folder.last} does not fit the model "
                    f"({' '.join(str(error).split())[:200]}), expected the same model as in the "
                    "run to resume. Build it from the settings beside the run."
                ) from error
            raise
        except SystemExit as stop:
            # Lightning makes an exit of an interrupt, and ignores further ones for good.
            signal.signal(signal.SIGINT, handler)
            folder.update(state="interrupted")
            raise KeyboardInterrupt from stop
    if average is not None:
        # Also where there is no best epoch to be restored.
        average.put_into(trainee.model)
    return trainer.global_step


def _trainer(
    settings: TrainingSettings,
    folder: RunFolder,
    callbacks: Sequence[Callback],
    average: WeightAverage | None,
    *,
    validates: bool,
) -> pl.Trainer:
    step = folder.last_step() if folder.resumable else None
    own: list[Callback] = [
        *callbacks,
        LiveLog(),
        BestEpoch(folder, min_defined_share=settings.min_defined_share),
        *([] if average is None else [average]),
        Budget(max_steps=settings.max_steps, max_seconds=settings.max_seconds),
        ResumePoint(folder, every_n_steps=settings.checkpoint_every_n_steps),
    ]
    if settings.progress:
        # Beside the log lines: on a terminal it lifts them above itself, elsewhere neither
        # it nor they end up among the figures on standard output.
        own.append(RichProgressBar(leave=True, console_kwargs={"stderr": True}))
    return pl.Trainer(
        accelerator=settings.accelerator,
        devices=1,
        precision=settings.precision,
        max_epochs=settings.max_epochs,
        gradient_clip_val=settings.clip_norm or None,
        deterministic=settings.deterministic or None,
        logger=RunLog(folder.path, tensorboard=settings.tensorboard, resumed_step=step),
        callbacks=own,
        plugins=[SafeCheckpointIO()],
        limit_val_batches=None if validates else 0,
        num_sanity_val_steps=0,
        # The plain form of no_grad: tensors that a model caches in validation
        # may meet a backward pass later.
        inference_mode=False,
        enable_checkpointing=True,
        enable_model_summary=False,
        enable_progress_bar=settings.progress,
        default_root_dir=folder.path,
    )


def _finish(trainee: Trainee, steps: int, folder: RunFolder) -> FitResult:
    best = trainee.selection.best_epoch
    result = FitResult(
        history=tuple(trainee.history),
        best_epoch=best,
        best_score=trainee.selection.best_score,
        best_path=folder.publish_best(best),
        run_dir=folder.path,
        steps=steps,
        seconds=trainee.elapsed(),
        stopped=trainee.stopped,
    )
    kept = {k: v for k, v in asdict(result).items() if k not in {"best_path", "run_dir"}}
    folder.finish(kept, trainee.settings.model_dump(mode="json"))
    return result


def _result_from(kept: Mapping[str, Any], folder: RunFolder) -> FitResult:
    path = folder.best if kept["best_epoch"] is not None else None
    # A number that was not there is null in the file.
    history = tuple(
        {name: math.nan if value is None else value for name, value in row.items()}
        for row in kept["history"]
    )
    return FitResult(**{**kept, "history": history}, best_path=path, run_dir=folder.path)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Lightning without the advice that is aimed at interactive use."""
    loggers = [logging.getLogger(n) for n in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"lightning\.")
        for logger in loggers:
            logger.setLevel(logging.WARNING)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
