"""Lightning's trainer as this project uses it, and what becomes of its errors."""

from __future__ import annotations

import contextlib
import logging
import signal
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback, RichProgressBar

from flatline.errors import ArtifactError
from flatline.training.checkpoint import SafeCheckpointIO
from flatline.training.ema import WeightAverage
from flatline.training.live import BestEpoch, Budget, LiveLog, ResumePoint
from flatline.training.loader import PlainLoader
from flatline.training.log import RunLog
from flatline.training.module import Trainee
from flatline.training.run_folder import RunFolder

__all__ = ["run_trainer"]


def run_trainer(
    trainee: Trainee,
    judged: PlainLoader | None,
    folder: RunFolder,
    callbacks: Sequence[Callback],
    *,
    phase: str | None = None,
) -> int:
    """Train, from the checkpoint in the folder where there is one.

    Args:
        trainee: What to train, and how.
        judged: Validation batches; None for none.
        folder: Where checkpoints lie and the log goes.
        callbacks: Called before those of every run.
        phase: Name of the phase, for the log and the progress bar; None without phases.

    Returns:
        Optimizer steps done.

    Raises:
        ArtifactError: The checkpoint is damaged or of another model.
        KeyboardInterrupt: Somebody stopped it.
    """
    settings = trainee.settings
    folder.update(state="running", error=None)
    handler = signal.getsignal(signal.SIGINT)
    average = None if settings.ema_decay is None else WeightAverage(settings.ema_decay)
    own: list[Callback] = [
        *callbacks,
        LiveLog(),
        BestEpoch(folder, min_defined_share=settings.min_defined_share),
        *([] if average is None else [average]),
        Budget(max_steps=settings.max_steps, max_seconds=settings.max_seconds),
        ResumePoint(folder, every_n_steps=settings.checkpoint_every_n_steps),
    ]
    with _quiet():
        trainer = _trainer(trainee, folder, own, validates=judged is not None, phase=phase)
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


class _Bar(RichProgressBar):
    """The progress bar, with the name of the phase."""

    def __init__(self, phase: str | None) -> None:
        # Beside the log lines: on a terminal it lifts them above itself, elsewhere neither
        # it nor they end up among the figures on standard output.
        super().__init__(leave=True, console_kwargs={"stderr": True})
        self._phase = phase

    def get_metrics(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[str, Any]:
        """What is shown beside the bar."""
        metrics: dict[str, Any] = super().get_metrics(trainer, pl_module)
        return metrics if self._phase is None else {"phase": self._phase} | metrics


def _trainer(
    trainee: Trainee,
    folder: RunFolder,
    callbacks: list[Callback],
    *,
    validates: bool,
    phase: str | None,
) -> pl.Trainer:
    settings = trainee.settings
    resumed = folder.before.steps if folder.number > 1 else None
    if folder.resumable:
        resumed = folder.before.steps + folder.last_step()
    log = RunLog(
        folder.path,
        run_id=folder.id,
        tensorboard=settings.tensorboard,
        resumed_step=resumed,
        before=folder.before,
        phase=phase,
    )
    return pl.Trainer(
        accelerator=settings.accelerator,
        devices=1,
        precision=settings.precision,
        max_epochs=settings.max_epochs,
        gradient_clip_val=settings.clip_norm or None,
        deterministic=settings.deterministic or None,
        logger=log,
        callbacks=[*callbacks, *([_Bar(phase)] if settings.progress else [])],
        plugins=[SafeCheckpointIO(run_id=folder.id)],
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
