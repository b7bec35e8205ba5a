"""The loss of a long-only book: what its best-scored stocks return above their day's mean."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from flatline.days import Days
from flatline.errors import SettingsError
from flatline.losses.cross_section import CrossSection, cross_section
from flatline.losses.per_day import PerDay

__all__ = ["top_k_loss"]


def top_k_loss(
    score: Tensor,
    target: Tensor,
    mask: Tensor,
    days: Days,
    *,
    share: float = 0.1,
    tau: float = 0.5,
) -> PerDay:
    """Minus what the best-scored stocks of a day return above its mean.

    The hard choice of the top has no gradient, so each stock is held in part: the
    logistic function of its score's lead over a border, in units of *tau* spreads of the
    day's targets. The border is the day's own, such that the parts add up to *share* of
    the stocks. As *tau* falls the parts become 0 and 1, and the loss minus the return of
    the equally weighted top, less that of the market.

    Args:
        score: Model output, in the unit of the target. Shape (rows, horizons).
        target: Return over the horizon, as a fraction (0.01 is one percent).
            Anything, NaN included, where *mask* is False. Shape (rows, horizons).
        mask: True where the label exists. Shape (rows, horizons), bool.
        days: The day of every row.
        share: Of the day's stocks that are held, above 0 and under 1.
        tau: Width of the border, in spreads of the day's targets.

    Returns:
        A PerDay in spreads of the day's targets: negative where the top did better than
        the day's mean, 0 at constant scores. A day with fewer than two different targets
        is not valid.

    Raises:
        ShapeError: Score, target, mask and days disagree.
        SettingsError: *share* is no share.

    References:
        B. Amos, V. Koltun, J. Z. Kolter, The Limited Multi-Label Projection Layer, 2019
        (logistic parts under a common border, with its derivative).

    Example:
        >>> target = torch.tensor([[0.01], [0.03], [-0.01], [-0.03]])
        >>> known, days = torch.ones_like(target, dtype=torch.bool), Days.from_lengths([4])
        >>> top_k_loss(target, target, known, days, share=0.5, tau=0.01).value.round(decimals=4)
        tensor([[-0.8944]])
    """
    if not 0.0 < share < 1.0:
        raise SettingsError(
            f"share is {share}, expected above 0 and under 1. Give 0.1 for a tenth of the stocks."
        )
    c = cross_section(score, target, mask, days)
    spread, differ = c.target_spread()
    # Less the day's best score: large levels would leave the parts no digits.
    best = torch.where(c.known, c.score.detach(), -torch.inf).amax(-1, keepdim=True)
    lead = torch.where(c.known, (c.score - best) / (tau * spread)[..., None], 0.0)
    held = _held(c, lead, share)
    gain = c.centre(c.target) / spread[..., None]
    value = -(held * gain).sum(-1) / (share * c.names).clamp(min=torch.finfo(held.dtype).tiny)
    return c.result(c.show_nan(value), differ)


def _held(c: CrossSection, lead: Tensor, share: float) -> Tensor:
    """Part of each stock that is held, adding up to *share* of the day's stocks."""
    border = _border(c, lead.detach(), share)
    held = torch.where(c.known, torch.sigmoid(lead - border), 0.0)
    # The border moves with the scores: by the implicit function theorem, as the mean of
    # their moves weighted by the slopes. Where all slopes are 0 nothing moves.
    slope = (held * (1.0 - held)).detach()
    total = slope.sum(-1, keepdim=True)
    weight = torch.where(total > 0, slope / torch.where(total > 0, total, 1.0), 0.0)
    moved = border + (weight * (lead - lead.detach())).sum(-1, keepdim=True)
    return torch.where(c.known, torch.sigmoid(lead - moved), 0.0)


def _border(c: CrossSection, lead: Tensor, share: float) -> Tensor:
    """Where the parts add up, by halving until the type has no more digits."""
    # With all scores at one value the border lies this far from it, so that it lies
    # between the lowest and the highest score moved by as much.
    offset = math.log(share / (1.0 - share))
    low = torch.where(c.known, lead, torch.inf).amin(-1, keepdim=True) - offset
    high = torch.where(c.known, lead, -torch.inf).amax(-1, keepdim=True) - offset
    wanted = share * c.names[..., None]
    # A further score in the range costs one halving; the digits of the type the rest.
    for _ in range(round(-math.log2(torch.finfo(lead.dtype).eps)) + 8):
        middle = (low + high) / 2
        over = torch.where(c.known, torch.sigmoid(lead - middle), 0.0).sum(-1, keepdim=True)
        over = over > wanted
        low, high = torch.where(over, middle, low), torch.where(over, high, middle)
    return torch.nan_to_num((low + high) / 2)
