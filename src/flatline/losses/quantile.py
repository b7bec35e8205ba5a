"""Losses on quantile forecasts: pinball, and how often the outcome falls below."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from flatline.days import Days
from flatline.errors import SettingsError
from flatline.losses.cross_section import cross_section
from flatline.losses.per_day import PerDay

__all__ = ["coverage_loss", "pinball_loss"]


def pinball_loss(
    score: Tensor, target: Tensor, mask: Tensor, days: Days, *, levels: Sequence[float]
) -> PerDay:
    """Pinball loss over the stocks and levels of each day.

    An outcome above the forecast of level q costs q per unit, one below costs 1 - q; so
    the best forecast is the q-quantile. The levels are averaged.

    Args:
        score: Forecast quantiles, in the unit of the target. Shape (rows, horizons, levels).
        target: Return over the horizon, as a fraction (0.01 is one percent).
            Anything, NaN included, where *mask* is False. Shape (rows, horizons).
        mask: True where the label exists. Shape (rows, horizons), bool.
        days: The day of every row.
        levels: Probability of an outcome below each quantile, in (0, 1).

    Returns:
        A PerDay in the unit of the target. A day without a label is not valid.

    Raises:
        ShapeError: Score, target, mask, levels and days disagree.
        SettingsError: A level is not in (0, 1).

    References:
        R. Koenker, G. Bassett, Regression Quantiles, 1978, eq. 2.1.

    Example:
        >>> known = torch.ones(2, 1, dtype=torch.bool)
        >>> score, target = torch.zeros(2, 1, 1), torch.tensor([[1.0], [-1.0]])
        >>> pinball_loss(score, target, known, Days.from_lengths([2]), levels=[0.9]).value
        tensor([[0.5000]])
    """
    c = cross_section(score, target, mask, days, levels=len(levels))
    level = _column(levels, c.score)
    short = c.target[:, :, None] - c.score
    cost = torch.maximum(level * short, (level - 1) * short).mean(2)
    return c.result(c.mean(cost), c.names >= 1)


def coverage_loss(
    score: Tensor,
    target: Tensor,
    mask: Tensor,
    days: Days,
    *,
    levels: Sequence[float],
    softness: float = 0.1,
    min_names: int = 5,
) -> PerDay:
    """Squared gap between the share of outcomes below a quantile and its level.

    The share is smooth, so that it has a gradient: an outcome counts as below by a
    sigmoid of its distance, *softness* times the day's target spread wide. The wider it
    is, the more the smooth share leans to 1/2. All stocks of a day are pushed the same
    way: this sets the level of the quantiles and separates no stock from another.

    Args:
        score: Forecast quantiles, in the unit of the target. Shape (rows, horizons, levels).
        target: Return over the horizon, as a fraction (0.01 is one percent).
            Anything, NaN included, where *mask* is False. Shape (rows, horizons).
        mask: True where the label exists. Shape (rows, horizons), bool.
        days: The day of every row.
        levels: Probability of an outcome below each quantile, in (0, 1).
        softness: Width of the sigmoid, in spreads of the day's targets.
        min_names: Days with fewer labelled stocks than this are not valid.

    Returns:
        A PerDay with values in [0, 1]. A day is not valid for a horizon on which it has
        fewer than *min_names* labels, or a constant target.

    Raises:
        ShapeError: Score, target, mask, levels and days disagree.
        SettingsError: A level is not in (0, 1).

    Example:
        >>> target = torch.tensor([[-2.0], [-1.0], [1.0], [2.0]])
        >>> known, days = torch.ones(4, 1, dtype=torch.bool), Days.from_lengths([4])
        >>> args = torch.zeros(4, 1, 1), target, known, days
        >>> coverage_loss(*args, levels=[0.9], min_names=4).value.round(decimals=4)
        tensor([[0.1600]])
    """
    c = cross_section(score, target, mask, days, levels=len(levels))
    level = _column(levels, c.score)[..., 0]
    spread, differ = c.target_spread()
    wide = (softness * spread)[:, :, None, None]
    below = torch.sigmoid((c.score - c.target[:, :, None]) / wide)
    below = torch.where(c.known[:, :, None], below, 0.0)
    share = below.sum(-1) / c.names.clamp(min=1)[..., None]
    return c.result(((share - level) ** 2).mean(-1), (c.names >= min_names) & differ)


def _column(levels: Sequence[float], like: Tensor) -> Tensor:
    """The levels beside the stocks: (levels, 1)."""
    if not all(0.0 < level < 1.0 for level in levels):
        raise SettingsError(
            f"levels is {tuple(levels)}, expected probabilities above 0 and below 1. "
            "Give 0.05 for the quantile with 5 % of the outcomes below it."
        )
    return torch.tensor(tuple(levels), dtype=like.dtype, device=like.device)[:, None]
