"""Losses for scores that are logits of an event, such as a return above zero."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from flatline.days import Days
from flatline.losses.cross_section import cross_section
from flatline.losses.per_day import PerDay

__all__ = ["bce_with_logits_loss"]


def bce_with_logits_loss(
    score: Tensor,
    target: Tensor,
    mask: Tensor,
    days: Days,
    *,
    threshold: float = 0.0,
    pos_weight: float = 1.0,
    focal_gamma: float = 0.0,
) -> PerDay:
    """Binary cross-entropy of logits, day by day; the event is a target above *threshold*.

    With p the probability that the logit gives to what happened, a row costs
    -(1 - p)**focal_gamma log p, times *pos_weight* where it is the event. Either option
    moves the logits off the log odds: their probabilities are no longer those of the event.

    Args:
        score: Logit of the event, not its probability. Shape (rows, horizons).
        target: Return over the horizon, as a fraction (0.01 is one percent), or a label
            of 0 or 1. Anything, NaN included, where *mask* is False. Shape (rows, horizons).
        mask: True where the label exists. Shape (rows, horizons), bool.
        days: The day of every row.
        threshold: The event is a target above this, in the unit of the target.
        pos_weight: What a row of the event counts, in rows that are none.
        focal_gamma: How fast a row loses its weight as its probability nears 1; 0 not at all.

    Returns:
        A PerDay in nats. A day without a label is not valid.

    Raises:
        ShapeError: Score, target, mask and days disagree.

    References:
        Lin et al., Focal loss for dense object detection, 2017, equation 4.

    Example:
        >>> known = torch.ones(2, 1, dtype=torch.bool)
        >>> score, target = torch.zeros(2, 1), torch.tensor([[0.01], [-0.02]])
        >>> bce_with_logits_loss(score, target, known, Days.from_lengths([2])).value
        tensor([[0.6931]])
    """
    c = cross_section(score, target, mask, days)
    event = c.target > threshold
    # Logit of what happened. A power of a probability near 0 has no gradient; of its logarithm
    # the exponential has.
    logit = torch.where(event, c.score, -c.score)
    cost = -logsigmoid(logit) * torch.exp(focal_gamma * logsigmoid(-logit))
    cost = torch.where(event, pos_weight * cost, cost)
    return c.result(c.show_nan(c.mean(cost)), c.names >= 1)
