"""The moving average of the weights: what is judged and kept while the weights go on moving.

Lightning's `EMAWeightAveraging` averages the whole training module: it would copy the
batches and the moments of the loss too, and it puts the moving weights back before the
best epoch is saved. Hence this callback, over the model alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from flatline.batch import DayBatch, Labels
from flatline.training.module import Trainee

__all__ = ["MovingAverage", "WeightAverage"]


class MovingAverage:
    """Exponential moving average of tensors, without the bias towards where they started.

    After n values it is their mean with the weights `decay ** (n - k)` for the k-th, so
    that the values before the first update never count, however short the run.
    Integers, such as counts of batches, are those of the last value.

    Args:
        decay: Weight of a value relative to the next one, between 0 and 1.

    References:
        Kingma and Ba, Adam: A Method for Stochastic Optimization, 2015, section 7.2.

    Example:
        >>> average = MovingAverage(0.5)
        >>> for value in (6.0, 3.0):
        ...     average.update({"weight": torch.tensor(value)})
        >>> average.tensors["weight"]
        tensor(4.)
    """

    def __init__(self, decay: float) -> None:
        self.decay = decay
        self.count = 0
        self.tensors: dict[str, Tensor] = {}

    @torch.no_grad()
    def update(self, values: Mapping[str, Tensor]) -> None:
        """Take in the next value of each tensor."""
        self.count += 1
        if self.count == 1:
            self.tensors = {name: value.detach().clone() for name, value in values.items()}
            return
        moving = [name for name, value in values.items() if value.is_floating_point()]
        if moving:
            share = (1 - self.decay) / (1 - self.decay**self.count)
            get_ema_multi_avg_fn(1 - share)(  # type: ignore[no-untyped-call]
                [self.tensors[name] for name in moving],
                [values[name].detach() for name in moving],
                self.count,
            )
        for name in values.keys() - set(moving):
            self.tensors[name].copy_(values[name])

    def restart(self) -> None:
        """Forget all values."""
        self.count, self.tensors = 0, {}


class WeightAverage(Callback):
    """Validates and keeps the moving average of the model's weights and buffers.

    During a validation the model has the average, so that the scores, the choice of the
    best epoch and its file are those of the average; the moving weights come back after
    it, also when the validation fails. Must stand behind the callback that saves the
    best epoch.

    Args:
        decay: See `MovingAverage`.
    """

    def __init__(self, decay: float) -> None:
        self.average = MovingAverage(decay)
        self._moving: dict[str, Tensor] = {}

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Bring an average that was read from a checkpoint to the model's devices."""
        del trainer
        if isinstance(pl_module, Trainee) and self.average.count:
            live = pl_module.model.state_dict()
            self.average.tensors = {
                name: tensor.to(live[name].device) for name, tensor in self.average.tensors.items()
            }

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: object,
        batch: tuple[DayBatch, Labels],
        batch_idx: int,
    ) -> None:
        """Take in the weights after a step."""
        del trainer, outputs, batch, batch_idx
        if isinstance(pl_module, Trainee):
            self.average.update(pl_module.model.state_dict())

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Give the model the average."""
        del trainer
        if isinstance(pl_module, Trainee) and self.average.count:
            live = pl_module.model.state_dict()
            self._moving = {name: tensor.clone() for name, tensor in live.items()}
            self.put_into(pl_module.model)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Give the model its moving weights back."""
        del trainer
        if isinstance(pl_module, Trainee):
            _copy(self._moving, pl_module.model)
            self._moving = {}

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """The same, where the validation failed."""
        del exception
        self.on_validation_end(trainer, pl_module)

    def put_into(self, model: nn.Module) -> None:
        """Give a model the average, if there is one."""
        _copy(self.average.tensors, model)

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"count": self.average.count, "tensors": self.average.tensors}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.average.count = int(state_dict["count"])
        self.average.tensors = dict(state_dict["tensors"])


@torch.no_grad()
def _copy(tensors: Mapping[str, Tensor], model: nn.Module) -> None:
    live = model.state_dict()
    for name, tensor in tensors.items():
        live[name].copy_(tensor)
