"""Lightning callbacks of every run: live log, best epoch, budget, resumable checkpoints."""

from __future__ import annotations

from collections.abc import Mapping

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback, Checkpoint
from torch import Tensor, nn

from flatline.batch import DayBatch, Forecast, Labels, days_of
from flatline.days import Days
from flatline.training.checkpoint import save_weights
from flatline.training.module import Report, Trainee
from flatline.training.run_folder import RunFolder

__all__ = ["BestEpoch", "Budget", "LiveLog", "ResumePoint", "block_norms", "within_day_spread"]

Batch = tuple[DayBatch, Labels]


def within_day_spread(x: Tensor, days: Days) -> Tensor:
    """Root mean square of the scores around the mean of their day: (rows, ...) to (...).

    Example:
        >>> x = torch.tensor([[1.0], [3.0], [7.0], [7.0]])
        >>> within_day_spread(x, Days.from_lengths([2, 2]))
        tensor([0.7071])
    """
    return days.centre(x.float()).square().mean(0).sqrt()


def block_norms(model: nn.Module) -> dict[str, float]:
    """Norm of the gradient of each top-level block of a model, its own parameters as `self`."""
    squares: dict[str, Tensor] = {}
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            block = name.split(".")[0] if "." in name else "self"
            squares[block] = (
                squares.get(block, torch.zeros(())) + parameter.grad.float().pow(2).sum().cpu()
            )
    return {block: float(square.sqrt()) for block, square in squares.items()}


class LiveLog(Callback):
    """Writes what training looks like from inside, every few steps.

    Spread of the scores within the day per horizon and quantile, each term's
    value and share of the gradient, gradient norm per block, learning rate.
    """

    def __init__(self) -> None:
        self._norms: dict[str, float] = {}

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        """Take the norms before the gradients are clipped."""
        del optimizer
        if isinstance(pl_module, Trainee) and pl_module.log_due(trainer.global_step + 1):
            self._norms = block_norms(pl_module.model)

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: object,
        batch: Batch,
        batch_idx: int,
    ) -> None:
        """Write a row."""
        del outputs, batch_idx
        step = trainer.global_step
        if not isinstance(pl_module, Trainee) or not pl_module.log_due(step):
            return
        report, forecast = pl_module.report, pl_module.forecast
        if report is None or forecast is None or pl_module.logger is None:
            return
        names = pl_module.horizon_names(forecast.point.shape[1])
        facts = {
            "epoch": float(trainer.current_epoch),
            "train/loss": float(report.total.detach()),
            "train/lr": float(trainer.optimizers[0].param_groups[0]["lr"]),
            "train/grad_norm": sum(norm**2 for norm in self._norms.values()) ** 0.5,
        }
        facts |= {f"train/grad/{block}": norm for block, norm in self._norms.items()}
        facts |= _spreads(forecast, days_of(batch[0]), names, getattr(pl_module.loss, "levels", ()))
        pl_module.logger.log_metrics(facts | _terms(report, names), step)


def _spreads(
    forecast: Forecast, days: Days, names: tuple[str, ...], levels: tuple[float, ...]
) -> dict[str, float]:
    point = within_day_spread(forecast.point, days)
    facts = {f"train/std/{name}": float(v) for name, v in zip(names, point, strict=True)}
    if forecast.quantiles is not None:
        spread = within_day_spread(forecast.quantiles, days)
        columns = levels if len(levels) == spread.shape[1] else tuple(range(spread.shape[1]))
        for row, name in zip(spread, names, strict=True):
            for level, value in zip(columns, row, strict=True):
                facts[f"train/std/{name}/q{level}"] = float(value)
    return facts


def _terms(report: Report, names: tuple[str, ...]) -> dict[str, float]:
    """Values and gradient shares, of reports that have them."""
    terms: Mapping[str, Tensor] = getattr(report, "terms", {})
    shares: Mapping[str, float] = getattr(report, "gradient_share", {})
    facts = {f"train/share/{term}": float(share) for term, share in shares.items()}
    for term, value in terms.items():
        columns = value.detach().flatten()
        labels = names if len(columns) == len(names) else tuple(map(str, range(len(columns))))
        facts |= {
            f"train/term/{term}/{label}": float(v) for label, v in zip(labels, columns, strict=True)
        }
    return facts


class BestEpoch(Callback):
    """Keeps the weights of the best epoch and stops when patience has run out."""

    def __init__(self, folder: RunFolder, *, min_defined_share: float) -> None:
        self.folder = folder
        self.min_defined_share = min_defined_share

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stop at once where a run was killed after its patience had run out."""
        if isinstance(pl_module, Trainee):
            self._look(trainer, pl_module)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Compare the validation with the best so far."""
        if not isinstance(pl_module, Trainee) or pl_module.validation is None:
            return
        score = pl_module.validation.score(min_defined_share=self.min_defined_share)
        epoch = trainer.current_epoch
        pl_module.history[-1]["eligible"] = float(score is not None)
        if pl_module.selection.take(epoch, score):
            about = {
                "run_id": self.folder.id,
                "epoch": epoch,
                "step": trainer.global_step,
                "score": score,
            }
            save_weights(pl_module.model, self.folder.epoch_weights(epoch), about=about)
        self._look(trainer, pl_module)

    def _look(self, trainer: pl.Trainer, pl_module: Trainee) -> None:
        if pl_module.selection.should_stop:
            pl_module.stopped = "patience"
            trainer.should_stop = True


class Budget(Callback):
    """Stops training after a number of steps or seconds."""

    def __init__(self, *, max_steps: int | None = None, max_seconds: float | None = None) -> None:
        self.max_steps = max_steps
        self.max_seconds = max_seconds

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stop at once where a resumed run has spent its budget."""
        self._look(trainer, pl_module)

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: object,
        batch: Batch,
        batch_idx: int,
    ) -> None:
        """Stop where the budget is spent."""
        del outputs, batch, batch_idx
        self._look(trainer, pl_module)

    def _look(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not isinstance(pl_module, Trainee):
            return
        if self.max_steps is not None and trainer.global_step >= self.max_steps:
            pl_module.stopped = "max_steps"
        elif self.max_seconds is not None and pl_module.elapsed() >= self.max_seconds:
            pl_module.stopped = "max_seconds"
        else:
            return
        trainer.should_stop = True


class ResumePoint(Checkpoint):
    """Writes the resumable checkpoint every few steps and after every whole epoch.

    A `Checkpoint` to Lightning, hence called after all other callbacks: what
    they did in a step is in the checkpoint of that step.
    """

    def __init__(self, folder: RunFolder, *, every_n_steps: int) -> None:
        self.folder = folder
        self.every_n_steps = every_n_steps

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: object,
        batch: Batch,
        batch_idx: int,
    ) -> None:
        """Write, unless the epoch ends here: then its validation belongs to it too."""
        del outputs, batch, batch_idx
        if not isinstance(pl_module, Trainee) or _whole_epoch(pl_module):
            return
        if trainer.should_stop:
            trainer.save_checkpoint(self.folder.broken_off)
        elif trainer.global_step % self.every_n_steps == 0:
            trainer.save_checkpoint(self.folder.last)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write, unless the epoch was broken off by the budget."""
        if isinstance(pl_module, Trainee) and _whole_epoch(pl_module):
            trainer.save_checkpoint(self.folder.last)
            self.folder.keep_only(pl_module.selection.best_epoch)


def _whole_epoch(trainee: Trainee) -> bool:
    return trainee.loader.position == len(trainee.loader)
