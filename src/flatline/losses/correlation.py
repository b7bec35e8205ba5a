"""Losses on the information coefficient: the correlation across the stocks of a day."""

from __future__ import annotations

import torch
from torch import Tensor

from flatline.days import Days
from flatline.losses.cross_section import CrossSection, cross_section
from flatline.losses.per_day import PerDay

__all__ = ["ic_loss", "rank_ic_loss"]


def ic_loss(
    score: Tensor, target: Tensor, mask: Tensor, days: Days, *, min_names: int = 5
) -> PerDay:
    """One minus the correlation of score and target across stocks, day by day.

    The information coefficient (IC) of a day is the Pearson correlation between
    what was predicted and what happened, over the stocks of that day. The loss
    is 1 - IC: 0 when the scores are a rising straight line in the returns, 1
    when they are unrelated, 2 when they are exactly upside down. Shifting a
    day's scores, or multiplying them by a positive number, does not change it.

    Args:
        score: Model output, in any unit. Shape (rows, horizons).
        target: Return over the horizon, as a fraction (0.01 is one percent).
            Anything, NaN included, where *mask* is False. Shape (rows, horizons).
        mask: True where the label exists. Shape (rows, horizons), bool.
        days: The day of every row.
        min_names: Days with fewer labelled stocks than this are not valid.

    Returns:
        A PerDay with values in [0, 2]. A day is not valid for a horizon on which
        it has fewer than *min_names* labels, or a constant score or target.

    Raises:
        ShapeError: Score, target, mask and days disagree.

    Example:
        >>> days = Days.from_lengths([3, 3])
        >>> score = torch.tensor([1.0, 2.0, 3.0, 1.0, 2.0, 3.0])[:, None]
        >>> target = torch.tensor([0.01, 0.02, 0.03, 0.03, 0.02, 0.01])[:, None]
        >>> known = torch.ones_like(score, dtype=torch.bool)
        >>> ic_loss(score, target, known, days, min_names=3).value.flatten().round(decimals=4)
        tensor([0., 2.])
    """
    return _one_minus_correlation(cross_section(score, target, mask, days), min_names)


def rank_ic_loss(
    score: Tensor,
    target: Tensor,
    mask: Tensor,
    days: Days,
    *,
    softness: float = 5.0,
    min_names: int = 5,
) -> PerDay:
    """One minus the rank correlation of score and target across stocks, day by day.

    A hard rank has no gradient. The soft rank of a stock counts each other one as
    below it by a ramp from 0 to 1 over score differences of -w to w, with
    w = *softness* times the day's score spread over its number of stocks: about
    *softness* names share a ramp whatever the unit of the scores and the size of the
    day. A fixed w would make the soft ranks straight lines in the scores, and RankIC
    silently Pearson, as soon as the scores are smaller than w. Sorted prefix sums
    give the exact sums over all pairs in O(N log N).

    Args:
        score: Model output, in any unit. Shape (rows, horizons).
        target: Return over the horizon, as a fraction (0.01 is one percent). Only its
            order counts; equal targets share the average rank.
            Anything, NaN included, where *mask* is False. Shape (rows, horizons).
        mask: True where the label exists. Shape (rows, horizons), bool.
        days: The day of every row.
        softness: Half-width of the ramp, in score spreads over number of stocks.
        min_names: Days with fewer labelled stocks than this are not valid.

    Returns:
        A PerDay with values in [0, 2]; a little above 0 in perfect order, because soft
        ranks are not evenly spaced. A day is not valid for a horizon on which it has
        fewer than *min_names* labels, or a constant score or target.

    Raises:
        ShapeError: Score, target, mask and days disagree.

    References:
        C. Spearman, The Proof and Measurement of Association between Two Things, 1904.
        T. Qin, T.-Y. Liu, H. Li, A General Approximation Framework for Direct
        Optimization of Information Retrieval Measures, 2010, eq. 11 (soft positions).

    Example:
        >>> score = torch.tensor([[1.0], [2.0], [40.0]])
        >>> target = torch.tensor([[0.01], [0.02], [0.03]])
        >>> known, days = torch.ones_like(score, dtype=torch.bool), Days.from_lengths([3])
        >>> rank_ic_loss(score, target, known, days, softness=0.1, min_names=3).value
        tensor([[0.]])
    """
    days.check_rows(score=score, target=target, mask=mask)
    # A rank would hide a target that is not finite.
    ranks = days.rank(target, mask) + 0 * target
    c = cross_section(score, ranks, mask, days)
    flat = c.is_flat(c.centre(c.score), c.score)
    soft, order = _soft_ranks(c, flat, softness)
    by_score = CrossSection(soft, c.target.gather(-1, order), c.known.gather(-1, order), c.names)
    loss = _one_minus_correlation(by_score, min_names)
    return c.result(c.show_nan(loss.value), loss.valid & ~flat)


def _soft_ranks(c: CrossSection, flat: Tensor, softness: float) -> tuple[Tensor, Tensor]:
    """Soft ranks in ascending order of the scores, and that order, not known ones last."""
    centred = c.centre(c.score)
    half = softness * c.spread(centred) / c.names.clamp(min=1)
    half = torch.where(flat, 1.0, half)[..., None]
    place, order = torch.where(c.known, centred, torch.inf).detach().sort(dim=-1, stable=True)
    value = centred.gather(-1, order)
    first = torch.searchsorted(place, place - half.detach(), right=False)
    last = torch.searchsorted(place, place + half.detach(), right=True)
    # Differences of long sums: double keeps the digits that single would lose.
    sums = torch.nn.functional.pad(value.double().cumsum(-1), (1, 0))
    near = (sums.gather(-1, last) - sums.gather(-1, first)).to(value.dtype)
    count = (last - first).to(value.dtype)
    # Below the ramp 1 each, on it 1/2 + difference / (2 half), above it 0.
    return first + 0.5 + count / 2 + (count * value - near) / (2 * half), order


def _one_minus_correlation(c: CrossSection, min_names: int) -> PerDay:
    x, y = c.centre(c.score), c.centre(c.target)
    # Written as "is flat", not "is not flat": a NaN is neither, so it stays
    # valid and shows in the total instead of vanishing with its day.
    flat = c.is_flat(x, c.score) | c.is_flat(y, c.target)
    valid = (c.names >= min_names) & ~flat
    # Squares of small returns underflow; the correlation does not mind the scale.
    x = x / torch.where(flat, 1.0, x.detach().abs().amax(-1))[..., None]
    y = y / torch.where(flat, 1.0, y.abs().amax(-1))[..., None]
    # The root's gradient is infinite at zero: give invalid days a 1 to take it of.
    spread = torch.where(valid, c.mean(x**2) * c.mean(y**2), 1.0).sqrt()
    return c.result(1.0 - c.mean(x * y) / spread, valid)
