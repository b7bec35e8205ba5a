"""Mean over spread of daily values, across the days of many batches."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from flatline.losses.cross_section import FLAT
from flatline.losses.per_day import PerDay

__all__ = ["LEAST_DAYS", "Moments", "RunningRatio"]

LEAST_DAYS = 20


class Moments(NamedTuple):
    """Number, mean and variance of daily values, one of each per horizon: (horizons,)."""

    days: Tensor
    mean: Tensor
    variance: Tensor


class RunningRatio(nn.Module):
    """Mean over standard deviation of daily values, with a memory of earlier batches.

    A batch rarely holds enough days for a spread. Earlier days count through their mean
    and variance, without gradient, and with the weight of at most *memory* days, so that
    what the model did long ago fades. These moments are buffers: they are saved and
    restored with the state of the module. In eval mode they are neither read nor
    written, so that an evaluation depends on its own days alone.

    Args:
        horizons: Number of horizons.
        memory: Most days that the past counts for.

    Example:
        >>> ratio = RunningRatio(1, memory=60)
        >>> value = torch.arange(20.0)[:, None]
        >>> ratio(PerDay(value, torch.ones_like(value, dtype=torch.bool)), write=True)[0]
        tensor([1.6475])
    """

    days: Tensor
    mean: Tensor
    variance: Tensor

    def __init__(self, horizons: int, *, memory: int) -> None:
        super().__init__()
        self.memory = memory
        for name in Moments._fields:
            self.register_buffer(name, torch.zeros(horizons))

    def forward(self, daily: PerDay, *, write: bool) -> tuple[Tensor, Tensor, Tensor]:
        """The ratio over the days of this batch and those remembered.

        Args:
            daily: Values of this batch's days.
            write: Remember them, in training mode.

        Returns:
            The ratio, whether it has a meaning (at least 20 days that differ), and the
            number of days behind it, each of shape (horizons,).
        """
        now = self._with_past(_moments(daily)) if self.training else _moments(daily)
        flat = now.variance <= (FLAT * torch.finfo(now.mean.dtype).eps * now.mean) ** 2
        ready = (now.days >= LEAST_DAYS) & ~flat
        if write and self.training:
            self._remember(now)
        return now.mean / torch.where(ready, now.variance, 1.0).sqrt(), ready, now.days

    def _with_past(self, new: Moments) -> Moments:
        past = Moments(*(x.to(new.mean.dtype) for x in (self.days, self.mean, self.variance)))
        old = past.days.clamp(max=self.memory)
        days = old + new.days
        share = new.days / days.clamp(min=1)
        step = new.mean - past.mean
        mean = past.mean + share * step
        within = (1 - share) * past.variance + share * new.variance
        return Moments(days, mean, within + share * (1 - share) * step**2)

    @torch.no_grad()
    def _remember(self, now: Moments) -> None:
        # One batch of NaN must show in its own total, not in every later one.
        sound = torch.isfinite(now.mean) & torch.isfinite(now.variance)
        for name, value in now._asdict().items():
            buffer = getattr(self, name)
            buffer.copy_(torch.where(sound, value.to(buffer.dtype), buffer))


def _moments(daily: PerDay) -> Moments:
    days = daily.valid.sum(0).to(daily.value.dtype)
    mean = torch.where(daily.valid, daily.value, 0.0).sum(0) / days.clamp(min=1)
    apart = torch.where(daily.valid, daily.value - mean, 0.0)
    return Moments(days, mean, (apart**2).sum(0) / days.clamp(min=1))
