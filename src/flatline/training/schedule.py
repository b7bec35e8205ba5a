"""The learning rate of every step: warm-up, then cosine, plateau or constant.

The rate is a pure function of the step and of the number of plateaus met so
far. Nothing has to be stepped, so a resumed run has the rate of the
undisturbed one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from flatline.training.settings import TrainingSettings

__all__ = ["Schedule", "make_schedule"]


@dataclass(frozen=True, slots=True)
class Schedule:
    """The factor on the peak learning rate.

    Args:
        kind: `cosine`, `plateau` or `constant`.
        warmup: Steps over which the factor rises to 1.
        total: Steps over which the cosine falls.
        final: Lowest factor.
        plateau_factor: What every plateau multiplies the factor by.
        epoch_steps: Steps of one epoch, where the factor moves once an epoch; 1 otherwise.

    Example:
        >>> cosine = Schedule("cosine", warmup=2, total=9, final=0.0)
        >>> [round(cosine.factor(step), 3) for step in (0, 1, 2, 5, 8)]
        [0.5, 1.0, 1.0, 0.5, 0.0]
    """

    kind: str
    warmup: int
    total: int
    final: float = 0.0
    plateau_factor: float = 0.5
    epoch_steps: int = 1

    def factor(self, step: int, *, plateaus: int = 0) -> float:
        """The factor of a step.

        Args:
            step: Optimizer steps done before this one.
            plateaus: Plateaus met so far.
        """
        step -= step % self.epoch_steps
        if step < self.warmup:
            # Never 0, which would waste the first step or, per epoch, the first epoch.
            return min(1.0, (step + self.epoch_steps) / self.warmup)
        if self.kind == "cosine":
            # The last step, or the last epoch, has the lowest rate.
            last = max(1, self.total - self.warmup - self.epoch_steps)
            done = min(1.0, (step - self.warmup) / last)
            return self.final + (1.0 - self.final) * 0.5 * (1.0 + math.cos(math.pi * done))
        if self.kind == "plateau":
            return max(self.final, self.plateau_factor**plateaus)
        return 1.0


def make_schedule(settings: TrainingSettings, *, epoch_steps: int) -> Schedule:
    """The schedule that settings ask for, for epochs of *epoch_steps* steps.

    Example:
        >>> make_schedule(TrainingSettings(max_epochs=4, warmup_epochs=0.5), epoch_steps=10)
        Schedule(kind='cosine', warmup=5, total=40, final=0.01, plateau_factor=0.5, epoch_steps=1)
    """
    warmup = settings.warmup_steps
    if warmup is None:
        warmup = math.ceil(settings.warmup_epochs * epoch_steps)
    total = settings.max_epochs * epoch_steps
    if settings.max_steps is not None:
        total = min(total, settings.max_steps)
    return Schedule(
        settings.schedule,
        warmup=warmup,
        total=total,
        final=settings.final_fraction,
        plateau_factor=settings.plateau_factor,
        epoch_steps=epoch_steps if settings.schedule_interval == "epoch" else 1,
    )
