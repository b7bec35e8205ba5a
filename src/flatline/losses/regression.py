"""Losses that want the score to be the target: squared error and Huber."""

from __future__ import annotations

import torch
from torch import Tensor

from flatline.days import Days
from flatline.losses.cross_section import cross_section
from flatline.losses.per_day import PerDay

__all__ = ["huber_loss", "mse_loss"]


def mse_loss(score: Tensor, target: Tensor, mask: Tensor, days: Days) -> PerDay:
    """Mean squared error over the stocks of each day.

    Args:
        score: Model output, in the unit of the target. Shape (rows, horizons).
        target: Return over the horizon, as a fraction (0.01 is one percent).
            Anything, NaN included, where *mask* is False. Shape (rows, horizons).
        mask: True where the label exists. Shape (rows, horizons), bool.
        days: The day of every row.

    Returns:
        A PerDay in the square of the target's unit. A day without a label is not valid.

    Raises:
        ShapeError: Score, target, mask and days disagree.

    Example:
        >>> known = torch.ones(2, 1, dtype=torch.bool)
        >>> score, target = torch.tensor([[1.0], [2.0]]), torch.tensor([[1.0], [4.0]])
        >>> mse_loss(score, target, known, Days.from_lengths([2])).value
        tensor([[2.]])
    """
    c = cross_section(score, target, mask, days)
    return c.result(c.mean((c.score - c.target) ** 2), c.names >= 1)


def huber_loss(
    score: Tensor, target: Tensor, mask: Tensor, days: Days, *, delta: float = 1.0
) -> PerDay:
    """Squared error for small errors, absolute error for large ones, day by day.

    Small and large are told apart at *delta* times the root mean square of the day's
    targets, so one setting serves raw returns and standardised ones. (Their size, not
    their spread: a day of one stock has the first and not the second.)

    Args:
        score: Model output, in the unit of the target. Shape (rows, horizons).
        target: Return over the horizon, as a fraction (0.01 is one percent).
            Anything, NaN included, where *mask* is False. Shape (rows, horizons).
        mask: True where the label exists. Shape (rows, horizons), bool.
        days: The day of every row.
        delta: Where the parabola becomes a line, in root mean squares of the day's targets.

    Returns:
        A PerDay in the square of the target's unit. A day is not valid for a horizon
        without labels, or with targets that are all 0 and so have no size.

    Raises:
        ShapeError: Score, target, mask and days disagree.

    References:
        P. J. Huber, Robust Estimation of a Location Parameter, 1964.

    Example:
        >>> known = torch.ones(2, 1, dtype=torch.bool)
        >>> score, target = torch.tensor([[1.0], [9.0]]), torch.tensor([[2.0], [-2.0]])
        >>> huber_loss(score, target, known, Days.from_lengths([2])).value
        tensor([[10.2500]])
    """
    c = cross_section(score, target, mask, days)
    # The target's size with the largest taken out first: squares of returns underflow.
    peak = c.target.abs().amax(-1)
    valid = (c.names >= 1) & (peak != 0)
    peak = torch.where(peak == 0, 1.0, peak)
    knee = (delta * peak * c.mean((c.target / peak[..., None]) ** 2).sqrt())[..., None]
    error = (c.score - c.target).abs()
    inner = error.minimum(knee)
    # Below the knee e^2 / 2, above it knee * (e - knee / 2).
    return c.result(c.mean(inner * (error - inner / 2)), valid)
