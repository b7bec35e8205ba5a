"""Which epoch is the best, when to stop, and how many plateaus there were."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["Selection"]


@dataclass(slots=True)
class Selection:
    """Follows the validations of a run. Its state is plain numbers.

    Args:
        patience: Validations without improvement before training should stop;
            None never stops.
        plateau_patience: Validations without improvement that make a plateau.
        best_epoch: Epoch of the best validation, None before one was fit.
        best_score: Its score.
        stale: Validations since the best.
        since_plateau: Validations without improvement since the last plateau.
        plateaus: Plateaus met.

    Example:
        >>> run = Selection(patience=2)
        >>> [run.take(epoch, score) for epoch, score in enumerate([0.02, None, 0.01])]
        [True, False, False]
        >>> run.best_epoch, run.should_stop
        (0, True)
    """

    patience: int | None = None
    plateau_patience: int = 2
    best_epoch: int | None = None
    best_score: float | None = None
    stale: int = 0
    since_plateau: int = 0
    plateaus: int = 0

    def take(self, epoch: int, score: float | None) -> bool:
        """Take in an epoch's score, None where it was degenerate; True if it is the best."""
        better = score is not None and (self.best_score is None or score > self.best_score)
        if better:
            self.best_epoch, self.best_score = epoch, score
            self.stale = self.since_plateau = 0
            return True
        self.stale += 1
        self.since_plateau += 1
        if self.since_plateau >= self.plateau_patience:
            self.plateaus += 1
            self.since_plateau = 0
        return False

    @property
    def should_stop(self) -> bool:
        """True once patience has run out."""
        return self.patience is not None and self.stale >= self.patience

    def state_dict(self) -> dict[str, Any]:
        """What has happened, without what was asked for."""
        return {k: v for k, v in asdict(self).items() if not k.endswith("patience")}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        for name, value in state.items():
            setattr(self, name, value)
