"""Losses for scores that are logits of an event, such as a return above zero."""

from __future__ import annotations

import torch
from torch import Tensor

from flatline.days import Days
from flatline.losses.cross_section import cross_section
from flatline.losses.per_day import PerDay

__all__ = ["bce_with_logits_loss"]


def bce_with_logits_loss(
    score: Tensor, target: Tensor, mask: Tensor, days: Days, *, threshold: float = 0.0
) -> PerDay:
    """Binary cross-entropy of logits, day by day; the event is a target above *threshold*.

    Args:
        score: Logit of the event, not its probability. Shape (rows, horizons).
        target: Return over the horizon, as a fraction (0.01 is one percent), or a label
            of 0 or 1. Anything, NaN included, where *mask* is False. Shape (rows, horizons).
        mask: True where the label exists. Shape (rows, horizons), bool.
        days: The day of every row.
        threshold: The event is a target above this, in the unit of the target.

    Returns:
        A PerDay in nats. A day without a label is not valid.

    Raises:
        ShapeError: Score, target, mask and days disagree.

    Example:
        >>> known = torch.ones(2, 1, dtype=torch.bool)
        >>> score, target = torch.zeros(2, 1), torch.tensor([[0.01], [-0.02]])
        >>> bce_with_logits_loss(score, target, known, Days.from_lengths([2])).value
        tensor([[0.6931]])
    """
    c = cross_section(score, target, mask, days)
    event = (c.target > threshold).to(c.score.dtype)
    cost = torch.nn.functional.binary_cross_entropy_with_logits(c.score, event, reduction="none")
    return c.result(c.show_nan(c.mean(cost)), c.names >= 1)
