"""The degeneracy guard as a Lightning callback."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Any, cast

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback
from torch import nn

from flatline.batch import DayBatch, Labels
from flatline.errors import DegenerateError
from flatline.losses.laws import LAWS
from flatline.metrics import FlatFinding
from flatline.training.ema import WeightAverage
from flatline.training.guard import Guard, find_heads, flat_findings, probe_batches, reinitialise
from flatline.training.module import Trainee
from flatline.training.seeds import untouched_generators
from flatline.training.settings import GuardSettings

__all__ = ["DegeneracyGuard", "fixes_scale", "model_of"]

log = logging.getLogger(__name__)
Batch = tuple[DayBatch, Labels]


class DegeneracyGuard(Callback):
    """Looks at eval-mode scores every few steps and acts on flat ones.

    It looks before the first step, then every `every_n_steps`, at a few fixed
    validation days. The look leaves the modes of all modules and the states of
    all generators as they were: training with a guard that finds nothing is,
    to the bit, training without one.

    Args:
        settings: What to do, and when; None for the defaults.
        batches: What to look at; None takes the first validation days, or
            training days where there is no validation.

    Raises:
        DegenerateError: From within the training, where the action is `stop`.

    Example:
        >>> guard = DegeneracyGuard(GuardSettings(action="stop", every_n_steps=50))
        >>> guard.settings.action
        'stop'
    """

    def __init__(
        self, settings: GuardSettings | None = None, *, batches: Iterable[Batch] | None = None
    ) -> None:
        self.settings = settings or GuardSettings()
        self.findings: list[tuple[int, FlatFinding]] = []
        self._core = Guard(self.settings)
        self._source = batches
        self._probe: Sequence[Batch] = ()
        self._scale = True

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Choose the batches and look at the fresh model."""
        model = model_of(pl_module)
        if self.settings.action == "reinit":
            find_heads(model, self.settings.heads)
        train = pl_module.loader.source if isinstance(pl_module, Trainee) else None
        source = self._source or trainer.val_dataloaders or train
        with untouched_generators():
            chosen = probe_batches(cast("Iterable[Batch]", source))
        self._scale = fixes_scale(getattr(pl_module, "loss", None))
        self._probe = [pl_module.transfer_batch_to_device(b, pl_module.device, 0) for b in chosen]
        self._look(trainer, pl_module)

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: object,
        batch: Batch,
        batch_idx: int,
    ) -> None:
        """Look, where a look is due."""
        del outputs, batch, batch_idx
        if trainer.global_step % self.settings.every_n_steps == 0:
            self._look(trainer, pl_module)

    def _look(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.settings.action == "off":
            return
        model, step = model_of(pl_module), trainer.global_step
        with trainer.precision_plugin.forward_context():
            horizons = getattr(getattr(pl_module, "loss", None), "horizons", None)
            findings = flat_findings(model, self._probe, scale=self._scale, horizons=horizons)
        self.findings += [(step, finding) for finding in findings]
        decision = self._core.decide(step, findings)
        if decision.act == "pass":
            return
        kinds = ", ".join(decision.kinds)
        log.warning("[degeneracy] step=%d act=%s kinds=%s %s", step, decision.act, kinds,
                    decision.sentence)  # fmt: skip
        if decision.act == "stop":
            raise DegenerateError(
                f"scores are {kinds} after {step} steps, expected scores that vary within the day. "
                f"{decision.sentence}"
            )
        if decision.act == "reinit":
            reinitialise(model, self.settings.heads, trainer.optimizers[0])
            for callback in trainer.callbacks:  # type: ignore[attr-defined]
                if isinstance(callback, WeightAverage):
                    # An average over dead weights would stay dead for long.
                    callback.average.restart()

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return self._core.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self._core.load_state_dict(state_dict)


def fixes_scale(loss: object) -> bool:
    """Whether some term of a blend wants the scores in the units of the targets."""
    weights = getattr(getattr(loss, "settings", None), "weights", None)
    if weights is None:
        return True
    laws = (LAWS[term] for term in weights if term in LAWS)
    return any(law.best == "forecast" and not law.shift for law in laws)


def model_of(pl_module: pl.LightningModule) -> nn.Module:
    """The model itself, so that module paths are those of the model."""
    return cast("nn.Module", getattr(pl_module, "model", pl_module))
