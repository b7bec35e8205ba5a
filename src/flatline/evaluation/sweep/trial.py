"""One trial of a sweep: draw settings, train, report every epoch, stop where it is hopeless."""

from __future__ import annotations

import logging
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import lightning.pytorch as pl
import numpy as np
from lightning.pytorch.callbacks import Callback
from torch import nn

from flatline.errors import DegenerateError, FlatlineError, NoValidDayError, SettingsError
from flatline.evaluation.experiment import Experiment, cut
from flatline.evaluation.run import train_run
from flatline.evaluation.sweep.space import Space
from flatline.evaluation.work_folder import WorkFolder
from flatline.training.guard import flat_findings, probe_batches
from flatline.training.guard_callback import fixes_scale
from flatline.training.module import Trainee
from flatline.training.validation import Validation

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import Trial

__all__ = ["BASE", "PRUNERS", "Epochs", "TrialTask", "objective", "open_study", "run_trial"]

log = logging.getLogger(__name__)
BASE = "base.json"
PRUNERS = ("median", "hyperband", "none")


@dataclass(frozen=True, slots=True)
class TrialTask:
    """What a process needs to run a trial.

    Args:
        work: Folder of the sweep.
        space: What varies.
        storage: Where the study is kept, as a URL.
        pruner: One of `PRUNERS`.
        seed: Of the draw of this trial.
    """

    work: WorkFolder
    space: Space
    storage: str
    pruner: str
    seed: int


def open_study(storage: str, *, pruner: str, seed: int) -> Study:
    """The study of a sweep, made where there is none.

    Raises:
        SettingsError: optuna is missing, the storage cannot be reached, or the pruner is
            not known.
    """
    try:
        import optuna  # noqa: PLC0415 (an extra)
    except ImportError as error:
        raise SettingsError(
            "optuna is not installed, expected it for sweeps. Install flatline[sweep]."
        ) from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    pruners: dict[str, Callable[[], optuna.pruners.BasePruner]] = {
        "median": lambda: optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=1),
        "hyperband": optuna.pruners.HyperbandPruner,
        "none": optuna.pruners.NopPruner,
    }
    if pruner not in pruners:
        raise SettingsError(f"pruner is {pruner!r}, expected one of {list(PRUNERS)}.")
    # Several processes write: one waits for another instead of failing.
    options = {"connect_args": {"timeout": 120}} if storage.startswith("sqlite") else {}
    try:
        return optuna.create_study(
            study_name="sweep",
            storage=optuna.storages.RDBStorage(storage, engine_kwargs=options),
            sampler=optuna.samplers.TPESampler(seed=seed, constant_liar=True),
            pruner=pruners[pruner](),
            direction="maximize",
            load_if_exists=True,
        )
    except Exception as error:
        if type(error).__module__.split(".")[0] not in {"sqlalchemy", "optuna"}:
            raise
        reason = str(error).splitlines()[0][:160]
        raise SettingsError(
            f"storage is {storage!r} ({reason}), expected a database that can be reached. "
            "Leave --storage out for a file in the folder."
        ) from error


def objective(validation: Validation, *, min_defined_share: float) -> float | None:
    """What trials are compared on; None where the scores were degenerate.

    The mean RankIC over all validation days that have labels: a day on which it is
    undefined, because the scores were constant, counts as a day without skill. Averaged
    over the horizons. Of a single series, minus the loss.

    Example:
        >>> seen = Validation((0.06,), (0.75,), (1.0,), loss=0.0, days=100)
        >>> round(objective(seen, min_defined_share=0.5), 6)
        0.045
    """
    score = validation.score(min_defined_share=min_defined_share)
    if score is None or validation.single:
        return score
    return float(np.mean(np.multiply(validation.rank_ic, validation.defined_share)))


class Epochs(Callback):
    """Reports every validation to a trial, and ends the training where it is pruned.

    Args:
        trial: Of a study.
        min_defined_share: As in the settings of the training.
    """

    def __init__(self, trial: Trial, *, min_defined_share: float) -> None:
        self.trial = trial
        self.min_defined_share = min_defined_share
        self.seen = 0
        self.pruned = False
        self.value: float | None = None
        self.flat: tuple[str, ...] = ()
        self._best: float | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begin a phase: a run keeps an epoch of its last one, and a pruned one has no more."""
        self._best = self.value = None
        self._stop_pruned(trainer, pl_module)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take in a validation."""
        if not isinstance(pl_module, Trainee) or pl_module.validation is None:
            return
        found, share = pl_module.validation, self.min_defined_share
        self.flat = tuple(dict.fromkeys((*self.flat, *found.flat)))
        self.seen += 1
        value, score = (
            objective(found, min_defined_share=share),
            found.score(min_defined_share=share),
        )
        if value is None or score is None:
            return
        # The epoch that the training will keep is the one whose value counts.
        if self._best is None or score > self._best:
            self._best, self.value = score, value
        self.trial.report(value, self.seen)
        self.pruned = self.trial.should_prune()
        self._stop_pruned(trainer, pl_module)

    def _stop_pruned(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.pruned and isinstance(pl_module, Trainee):
            pl_module.stopped = "pruned"
            trainer.should_stop = True

    def refuse(self, kinds: Sequence[str]) -> None:
        """Take the value away where the trained model is flat in some way."""
        if kinds:
            self.flat = tuple(dict.fromkeys((*self.flat, *kinds)))
            self.value = None


def run_trial(task: TrialTask, *, on_stage: Callable[[str], None] = lambda _: None) -> int:
    """Ask the study for a trial and run it; its number.

    Raises:
        KeyboardInterrupt: Somebody stopped it; the sweep draws it again when it goes on.
    """
    from optuna.trial import TrialState  # noqa: PLC0415 (an extra)

    study = open_study(task.storage, pruner=task.pruner, seed=task.seed)
    trial = study.ask()
    number: int = trial.number
    on_stage(f"trial {number}")
    try:
        epochs = _train(task, trial)
    except (DegenerateError, NoValidDayError) as error:
        kinds = re.match(r"scores are (.*?) after", str(error))
        _fail(trial, "degenerate", str(error), kinds[1].split(", ") if kinds else [])
    except Exception as error:  # noqa: BLE001 (other trials can still be run)
        sentence = str(error) if isinstance(error, FlatlineError) else repr(error)
        _fail(trial, "failed", sentence, [])
        log.warning("[sweep] trial=%d failed %s", trial.number, sentence)
    else:
        trial.set_user_attr("flat", list(epochs.flat))
        if epochs.pruned:
            trial.set_user_attr("status", "pruned")
            study.tell(trial, state=TrialState.PRUNED)
            return number
        if epochs.value is not None:
            trial.set_user_attr("status", "complete")
            study.tell(trial, epochs.value)
            return number
        _fail(
            trial, "degenerate", "the scores were flat on the validation days.", list(epochs.flat)
        )
    study.tell(trial, state=TrialState.FAIL)
    return number


def _fail(trial: Trial, status: str, reason: str, kinds: list[str]) -> None:
    """A trial that can never be the best, and why."""
    facts: dict[str, Any] = {"status": status, "reason": reason, "flat": kinds}
    for name, value in facts.items():
        trial.set_user_attr(name, value)


def _flat(experiment: Experiment, model: nn.Module) -> list[str]:
    """Kinds of flat of a trained model on validation days, but for those that are expected."""
    settings = experiment.settings
    found = flat_findings(
        model,
        probe_batches(experiment.batches("valid")),
        scale=fixes_scale(experiment.loss()),
        horizons=settings.data.horizons,
    )
    return [str(one.kind) for one in found if str(one.kind) not in settings.guard.ignore]


def _train(task: TrialTask, trial: Trial) -> Epochs:
    values = {one.name: one.draw(trial) for one in task.space.dimensions}
    settings = task.space.settings(task.work.path / BASE, values, environ={})
    folder = task.work.path / "trials" / f"{trial.number:03d}"
    # A database that was put aside may have left another trial's files.
    shutil.rmtree(folder, ignore_errors=True)
    epochs = Epochs(trial, min_defined_share=settings.training.min_defined_share)
    experiment = cut(settings, task.work.raw())
    model, result = train_run(experiment, folder, callbacks=[epochs])
    if epochs.value is not None and not epochs.pruned:
        epochs.refuse(_flat(experiment, model))
    trial.set_user_attr("run", str(folder))
    trial.set_user_attr("seconds", round(result.seconds, 3))
    trial.set_user_attr("best_epoch", result.best_epoch)
    # Nothing goes on from here.
    (folder / "checkpoints" / "last.ckpt").unlink(missing_ok=True)
    return epochs
