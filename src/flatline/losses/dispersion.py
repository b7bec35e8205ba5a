"""Penalties on scores that do not differ enough across the stocks of a day.

Both are dead at exactly constant scores: their gradient there is 0, because no stock is
told from another. They keep a spread; they cannot bring one back.
"""

from __future__ import annotations

from torch import Tensor

from flatline.days import Days
from flatline.losses.cross_section import CrossSection, cross_section
from flatline.losses.per_day import PerDay

__all__ = ["reciprocal_spread_loss", "variance_floor_loss"]


def variance_floor_loss(
    score: Tensor, target: Tensor, mask: Tensor, days: Days, *, floor: float = 0.1
) -> PerDay:
    """How far the spread of a day's scores is under its floor, squared.

    Args:
        score: Model output, in the unit of the target. Shape (rows, horizons).
        target: Return over the horizon, as a fraction (0.01 is one percent).
            Anything, NaN included, where *mask* is False. Shape (rows, horizons).
        mask: True where the label exists. Shape (rows, horizons), bool.
        days: The day of every row.
        floor: Least spread of the scores, in spreads of the day's targets.

    Returns:
        A PerDay with values in [0, floor^2], without unit. A day is not valid for a
        horizon with fewer than two labels, or a constant target.

    Raises:
        ShapeError: Score, target, mask and days disagree.

    Example:
        >>> import torch
        >>> known = torch.ones(2, 1, dtype=torch.bool)
        >>> score, target = torch.zeros(2, 1), torch.tensor([[1.0], [-1.0]])
        >>> variance_floor_loss(score, target, known, Days.from_lengths([2]), floor=0.5).value
        tensor([[0.2500]])
    """
    c = cross_section(score, target, mask, days)
    ratio, valid = _spread_ratio(c)
    return c.result((floor - ratio).clamp(min=0) ** 2, valid)


def reciprocal_spread_loss(
    score: Tensor, target: Tensor, mask: Tensor, days: Days, *, softening: float = 0.01
) -> PerDay:
    """Spread of a day's targets over the spread of its scores.

    Added to a squared error this is the form MSE + lambda / std.

    Args:
        score: Model output, in the unit of the target. Shape (rows, horizons).
        target: Return over the horizon, as a fraction (0.01 is one percent).
            Anything, NaN included, where *mask* is False. Shape (rows, horizons).
        mask: True where the label exists. Shape (rows, horizons), bool.
        days: The day of every row.
        softening: Added to the spread of the scores in quadrature, in spreads of the
            day's targets: keeps the loss finite (1 / softening) at constant scores.

    Returns:
        A PerDay with values in (0, 1 / softening], without unit. A day is not valid for
        a horizon with fewer than two labels, or a constant target.

    Raises:
        ShapeError: Score, target, mask and days disagree.

    Example:
        >>> import torch
        >>> known = torch.ones(2, 1, dtype=torch.bool)
        >>> score, target = torch.tensor([[0.5], [0.0]]), torch.tensor([[1.0], [-1.0]])
        >>> args = score, target, known, Days.from_lengths([2])
        >>> reciprocal_spread_loss(*args).value.round(decimals=2)
        tensor([[4.]])
    """
    c = cross_section(score, target, mask, days)
    ratio, valid = _spread_ratio(c)
    return c.result((ratio**2 + softening**2).rsqrt(), valid)


def _spread_ratio(c: CrossSection) -> tuple[Tensor, Tensor]:
    """Spread of the scores in spreads of the targets, and where it has a meaning."""
    spread, differ = c.target_spread()
    return c.spread(c.centre(c.score)) / spread, differ & (c.names >= 2)
