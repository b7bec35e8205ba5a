"""What one validation says: RankIC over the defined days, spread, and lifeless scores.

Where each day has one row there is nobody to be ranked against: a single series is ranked
along time, and its epochs are compared on their loss, to which the level of a score counts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from flatline.batch import DayBatch, Forecast, Labels
from flatline.metrics import Why, daily_rank_ic, find_flat
from flatline.training.guard import LIFELESS

__all__ = ["Validation", "ValidationScores"]


@dataclass(frozen=True, slots=True)
class Validation:
    """One look at the validation days.

    Args:
        rank_ic: Mean RankIC over the defined days, per horizon; NaN without one. Of a single
            series the one along time.
        defined_share: Share of the days with enough labels on which RankIC is
            defined, per horizon.
        spread: Mean standard deviation of the scores within the day, per horizon; of a single
            series along time.
        loss: Mean loss over the batches that had a valid day; NaN where none had.
        days: Validation days seen.
        flat: Kinds of flat that leave no life in the scores.
        single: Whether each day has one row: a single series.
    """

    rank_ic: tuple[float, ...]
    defined_share: tuple[float, ...]
    spread: tuple[float, ...]
    loss: float
    days: int
    flat: tuple[str, ...] = ()
    single: bool = False

    def score(self, *, min_defined_share: float) -> float | None:
        """What epochs are compared on; None where degenerate.

        The mean RankIC over the horizons; of a single series minus the loss. An epoch is
        degenerate when its scores are flat down to rounding, or when on some horizon RankIC
        is undefined on too many of the days that have labels: the few others would be a lottery.
        """
        if self.flat or any(share < min_defined_share for share in self.defined_share):
            return None
        value = -self.loss if self.single else float(np.mean(self.rank_ic))
        return value if math.isfinite(value) else None

    def facts(self, names: tuple[str, ...]) -> dict[str, float]:
        """The numbers under the names of the log."""
        out = {"valid/loss": self.loss, "valid/rank_ic": float(np.mean(self.rank_ic))}
        for name, ic, share, std in zip(
            names, self.rank_ic, self.defined_share, self.spread, strict=True
        ):
            out |= {
                f"valid/rank_ic/{name}": ic,
                f"valid/defined/{name}": share,
                f"valid/std/{name}": std,
            }
        return out


class ValidationScores:
    """Gathers scores and labels of a validation, batch by batch, on the CPU."""

    def __init__(self) -> None:
        self._score: list[NDArray[np.float64]] = []
        self._target: list[NDArray[np.float64]] = []
        self._day: list[NDArray[np.int64]] = []
        self._losses: list[float] = []

    def add(
        self, forecast: Forecast, labels: Labels, batch: DayBatch, *, loss: float | None
    ) -> None:
        """Take in one batch; *loss* is None where no day of it was valid."""
        known = torch.where(labels.known, labels.value, torch.nan)
        self._score.append(_numpy(forecast.point))
        self._target.append(_numpy(known))
        self._day.append(batch["group_day"].cpu().numpy())
        if loss is not None:
            self._losses.append(loss)

    def finish(self) -> Validation:
        """The numbers of everything taken in."""
        day, score = np.concatenate(self._day), np.concatenate(self._score)
        days = len(np.unique(day))
        single = days == len(day)
        axis = np.zeros_like(day) if single else day
        result = daily_rank_ic(score, np.concatenate(self._target), axis)
        kinds = dict.fromkeys(f.kind for f in find_flat(score, day) if f.kind in LIFELESS)
        # Days without enough labels, or whose labels are all equal, say nothing about the model.
        judged = (result.why != Why.TOO_FEW_NAMES) & (result.why != Why.CONSTANT_TARGET)
        share = result.defined.sum(0) / np.maximum(judged.sum(0), 1)
        spread = np.where(judged, result.score_std, 0.0).sum(0) / np.maximum(judged.sum(0), 1)
        return Validation(
            rank_ic=tuple(result.mean().tolist()),
            defined_share=tuple(share.tolist()),
            spread=tuple(spread.tolist()),
            loss=float(np.mean(self._losses)) if self._losses else math.nan,
            days=days,
            flat=tuple(str(kind) for kind in kinds),
            single=single,
        )


def _numpy(x: Tensor) -> NDArray[np.float64]:
    return np.asarray(x.detach().cpu().double().numpy())
