"""The model and its loss as Lightning sees them."""

from __future__ import annotations

import inspect
import time
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Protocol

import lightning.pytorch as pl
import torch
from torch import Tensor, nn

from flatline.batch import DayBatch, Forecast, Labels, days_of
from flatline.days import Days
from flatline.errors import NoValidDayError
from flatline.metrics import find_flat
from flatline.training.guard import LIFELESS
from flatline.training.loader import ResumableLoader
from flatline.training.optimizer import check_optimizer, make_optimizer
from flatline.training.schedule import Schedule
from flatline.training.selection import Selection
from flatline.training.settings import TrainingSettings
from flatline.training.validation import Validation, ValidationScores

__all__ = ["Loss", "Report", "Trainee"]

Batch = tuple[DayBatch, Labels]


class Report(Protocol):
    """What a loss returns: `losses.LossReport`, or anything with the same parts."""

    @property
    def total(self) -> Tensor:
        """What is minimised. Shape ()."""
        ...


class Loss(Protocol):
    """A loss on a forecast: `losses.MultiHorizonLoss`, or anything called alike."""

    def __call__(
        self,
        forecast: Forecast,
        labels: Labels,
        days: Days,
        *,
        stock_id: Tensor,
        **options: bool,
    ) -> Report:
        """The loss of one batch; one that has the option `measure_share` is asked now and then."""
        ...


class Trainee(pl.LightningModule):
    """A model in training, with all that a checkpoint must hold to go on exactly.

    Args:
        model: Called with a batch, returns a `Forecast`.
        loss: Called with the forecast, the labels and the days.
        settings: How to train.
        schedule: Learning rate of every step.
        loader: The training batches.
        rates: Factors on the learning rate of some of the model's parameters, by name.
    """

    def __init__(
        self,
        model: nn.Module,
        loss: Loss,
        settings: TrainingSettings,
        schedule: Schedule,
        loader: ResumableLoader,
        *,
        rates: Mapping[str, float] = MappingProxyType({}),
    ) -> None:
        super().__init__()
        self.rates = {f"model.{name}": rate for name, rate in rates.items()}
        self.model = model
        # A loss with running moments is a module, and its buffers are part of the checkpoint.
        self.loss = loss
        self.settings = settings
        self.schedule = schedule
        self.loader = loader
        self.selection = Selection(settings.patience, settings.plateau_patience)
        self.history: list[dict[str, float]] = []
        self.seconds = 0.0
        self.stopped = "max_epochs"
        self.report: Report | None = None
        self.forecast: Forecast | None = None
        self.validation: Validation | None = None
        self._gathered = ValidationScores()
        self._clock = 0.0
        call = loss.forward if isinstance(loss, nn.Module) else loss
        self._shares = "measure_share" in inspect.signature(call).parameters

    def log_due(self, step: int) -> bool:
        """Whether the live log has a row after this step."""
        return step == 1 or step % self.settings.log_every_n_steps == 0

    def horizon_names(self, columns: int) -> tuple[str, ...]:
        """`h1`, `h5`, ... where the loss knows its horizons, else `0`, `1`, ..."""
        horizons = getattr(self.loss, "horizons", None)
        if isinstance(horizons, Sequence) and len(horizons) == columns:
            return tuple(f"h{h}" for h in horizons)
        return tuple(str(column) for column in range(columns))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW over the model's and the loss's trainable parameters."""
        return make_optimizer(self, self.settings, rates=self.rates)

    def on_train_start(self) -> None:
        """Start the clock."""
        self._clock = time.monotonic()

    def on_train_epoch_start(self) -> None:
        """Refuse parameters that were unfrozen and would never move."""
        check_optimizer(self, self.trainer.optimizers[0])

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Set the learning rate of this step."""
        del batch, batch_idx
        factor = self.schedule.factor(self.global_step, plateaus=self.selection.plateaus)
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = self.settings.learning_rate * factor * group["rate"]

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The loss of one batch."""
        del batch_idx
        inputs, labels = batch
        forecast = self.model(inputs)
        measured = self._shares and self.log_due(self.global_step + 1)
        options = {"measure_share": True} if measured else {}
        try:
            self.report = self._judge(forecast, labels, inputs, **options)
        except NoValidDayError as error:
            raise self._named(error, forecast, inputs) from error
        self.forecast = Forecast(
            forecast.point.detach(),
            None if forecast.quantiles is None else forecast.quantiles.detach(),
        )
        total = self.report.total
        self.log("loss", total.detach(), prog_bar=True, logger=False)
        return total

    def _judge(
        self, forecast: Forecast, labels: Labels, inputs: DayBatch, **options: bool
    ) -> Report:
        quantiles = forecast.quantiles
        wide = Forecast(forecast.point.float(), None if quantiles is None else quantiles.float())
        # Ranks, sums over a day and roots of variances need the full precision.
        with torch.autocast(wide.point.device.type, enabled=False):
            return self.loss(wide, labels, days_of(inputs), stock_id=inputs["stock_id"], **options)

    def _named(
        self, error: NoValidDayError, forecast: Forecast, inputs: DayBatch
    ) -> NoValidDayError:
        """The same error, with the kind of flat that the scores are, if they are."""
        score = forecast.point.detach().float().cpu().numpy()
        found = find_flat(score, inputs["group_day"].cpu().numpy())
        flat = [f"column {f.horizon}: {f.sentence}" for f in found if f.kind in LIFELESS]
        why = f" Scores: {'; '.join(flat)}." if flat else ""
        return NoValidDayError(f"{error} This was step {self.global_step + 1}.{why}")

    def on_validation_epoch_start(self) -> None:
        """Start a new validation."""
        self._gathered = ValidationScores()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Gather the scores of one validation batch, made from the same inputs as in training."""
        del batch_idx
        inputs, labels = batch
        forecast = self.model(inputs)
        try:
            loss = float(self._judge(forecast, labels, inputs).total)
        except NoValidDayError:
            # Days without labels end a panel; flat scores show in RankIC.
            loss = None
        self._gathered.add(forecast, labels, inputs, loss=loss)

    def on_validation_epoch_end(self) -> None:
        """Sum up a validation and put it on record."""
        self.validation = self._gathered.finish()
        names = self.horizon_names(len(self.validation.rank_ic))
        facts = self.validation.facts(names)
        step, epoch = self.global_step, self.current_epoch
        self.history.append({"epoch": epoch, "step": step} | facts)
        self.log("rank_ic", facts["valid/rank_ic"], prog_bar=True, logger=False)
        if self.logger is not None:
            self.logger.log_metrics({"epoch": float(epoch)} | facts, step)

    def elapsed(self) -> float:
        """Seconds of training, earlier parts of a resumed run included."""
        return self.seconds + (time.monotonic() - self._clock if self._clock else 0.0)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what Lightning does not know of."""
        checkpoint["flatline"] = {
            "loader": self.loader.state_dict(),
            "selection": self.selection.state_dict(),
            "history": [dict(row) for row in self.history],
            "seconds": self.elapsed(),
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take it up again."""
        state = checkpoint["flatline"]
        self.loader.load_state_dict(state["loader"])
        self.selection.load_state_dict(state["selection"])
        self.history = [dict(row) for row in state["history"]]
        self.seconds = state["seconds"]
