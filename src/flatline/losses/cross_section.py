"""The stocks of each day side by side: the one layout in which every loss computes.

Rows become (days, horizons, width), stocks along the last axis, so that no loss
loops over days or horizons, and what is not labelled is taken out once, here.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from flatline.days import Days
from flatline.errors import ShapeError
from flatline.losses.per_day import PerDay

__all__ = ["CrossSection", "cross_section", "lay"]

# In units of the type's rounding step: what differs by less is one value, rounded.
FLAT = 8.0


def lay(x: Tensor, days: Days) -> Tensor:
    """Rows laid out as days: (rows, ...) to (days, ..., width), 0 where no row is."""
    return days.pad(x).movedim(1, -1).contiguous()


class CrossSection(NamedTuple):
    """Scores and targets of each day, in at least single precision, 0 where not known.

    Args:
        score: Shape (days, horizons, width); with levels (days, horizons, levels, width).
        target: Shape (days, horizons, width).
        known: True where the label exists. Shape (days, horizons, width).
        names: Labelled stocks of each day, as a float. Shape (days, horizons).
    """

    score: Tensor
    target: Tensor
    known: Tensor
    names: Tensor

    def mean(self, x: Tensor) -> Tensor:
        """Average of the known entries, 0 on a day without any: (..., width) to (...)."""
        return torch.where(self.known, x, 0.0).sum(-1) / self.names.clamp(min=1)

    def centre(self, x: Tensor) -> Tensor:
        """Entries less their day's mean, exactly 0 where all are equal."""
        anchor = torch.where(self.known, x.detach(), -torch.inf).amax(-1, keepdim=True)
        # Taking one of the values off first leaves no rounding of the mean on a constant.
        near = torch.where(self.known, x - anchor, 0.0)
        return torch.where(self.known, near - self.mean(near)[..., None], 0.0)

    def is_flat(self, centred: Tensor, x: Tensor) -> Tensor:
        """True where the known entries do not differ beyond rounding: (days, horizons).

        A NaN is not flat, so that its day stays valid and shows in the total.
        """
        size = torch.where(self.known, x, 0.0).abs().amax(-1)
        return centred.abs().amax(-1) <= FLAT * torch.finfo(x.dtype).eps * size

    def spread(self, centred: Tensor) -> Tensor:
        """Standard deviation of the known entries, with gradient 0 where it is 0."""
        # Squares of small returns leave single precision: divide by the largest first.
        peak = centred.detach().abs().amax(-1)
        peak = torch.where(peak == 0, 1.0, peak)
        square = self.mean((centred / peak[..., None]) ** 2)
        none = square == 0
        return torch.where(none, 0.0, torch.where(none, 1.0, square).sqrt() * peak)

    def target_spread(self) -> tuple[Tensor, Tensor]:
        """Spread of the targets, 1 where flat, and where they are not: (days, horizons)."""
        centred = self.centre(self.target)
        flat = self.is_flat(centred, self.target)
        return torch.where(flat, 1.0, self.spread(centred)), ~flat

    def result(self, value: Tensor, valid: Tensor) -> PerDay:
        """The loss of each day, 0 without gradient where not valid."""
        return PerDay(torch.where(valid, value, 0.0), valid)

    def show_nan(self, value: Tensor) -> Tensor:
        """NaN on days with a score or target that is not finite.

        Sorting and counting would otherwise swallow it.
        """
        bad = ~(torch.isfinite(self.score) & torch.isfinite(self.target)).all(-1)
        return torch.where(bad, torch.nan, value)


def cross_section(
    score: Tensor, target: Tensor, mask: Tensor, days: Days, *, levels: int | None = None
) -> CrossSection:
    """Scores, targets and mask of the rows, laid out by day.

    Args:
        score: Shape (rows, horizons), or (rows, horizons, levels).
        target: Anything, NaN included, where *mask* is False. Shape (rows, horizons).
        mask: True where the label exists. Shape (rows, horizons), bool.
        days: The day of every row.
        levels: Number of quantile levels, for scores that have them.

    Raises:
        ShapeError: Rows, horizons or levels disagree.
    """
    days.check_rows(score=score, target=target, mask=mask)
    expected = tuple(target.shape) if levels is None else (*target.shape, levels)
    axes = "(rows, horizons)" if levels is None else "(rows, horizons, levels)"
    if target.ndim != 2 or tuple(score.shape) != expected:
        raise ShapeError(
            f"score has shape {tuple(score.shape)} beside a target of {tuple(target.shape)}, "
            f"expected {axes}. Give one score per row and horizon."
        )
    if mask.shape != target.shape or mask.dtype != torch.bool:
        raise ShapeError(
            f"mask has shape {tuple(mask.shape)} and type {mask.dtype}, expected "
            f"{tuple(target.shape)} and torch.bool. Give True where the label exists."
        )
    # Half precision cannot hold a day's sum; single can.
    kind = torch.promote_types(torch.promote_types(score.dtype, target.dtype), torch.float32)
    wide = mask if levels is None else mask[..., None]
    # Out before any arithmetic: 0 * NaN is NaN again in the backward pass.
    laid = lay(torch.where(wide, score.to(kind), 0.0), days)
    known = lay(mask, days)
    target = lay(torch.where(mask, target.to(kind), 0.0), days)
    return CrossSection(laid, target, known, known.sum(-1).to(kind))
