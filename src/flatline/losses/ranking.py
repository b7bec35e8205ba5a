"""Losses on the order of a day's stocks: ListNet, RankNet, LambdaRank and margin.

All are unchanged by a shift of the day's scores, all have a gradient at constant scores,
and all measure score differences in spreads of the day's targets, so that a setting
serves raw and standardised returns alike.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from flatline.days import Days
from flatline.losses.cross_section import CrossSection, cross_section, lay
from flatline.losses.pairs import in_target_order, pair_mean
from flatline.losses.per_day import PerDay

__all__ = ["lambdarank_loss", "listnet_loss", "margin_loss", "ranknet_loss"]


def listnet_loss(
    score: Tensor,
    target: Tensor,
    mask: Tensor,
    days: Days,
    *,
    tau: float = 1.0,
    top_k: int | None = None,
) -> PerDay:
    """Divergence of the scores' top-one probabilities from the targets', day by day.

    The top-one probability of a stock is the softmax over the day of its value, here in
    units of *tau* spreads of the day's targets. The loss is the Kullback-Leibler
    divergence: ListNet's cross-entropy, less the entropy of the targets, which has no
    gradient, so that a perfect forecast costs 0.

    Args:
        score: Model output, in the unit of the target. Shape (rows, horizons).
        target: Return over the horizon, as a fraction (0.01 is one percent).
            Anything, NaN included, where *mask* is False. Shape (rows, horizons).
        mask: True where the label exists. Shape (rows, horizons), bool.
        days: The day of every row.
        tau: Temperature, in spreads of the day's targets: small looks at the top alone.
        top_k: Only the *top_k* highest targets (and ties of the last) share the target
            probability; the scores compete over all stocks. None takes all.

    Returns:
        A PerDay in nats. A day with fewer than two different targets is not valid.

    Raises:
        ShapeError: Score, target, mask and days disagree.

    References:
        Z. Cao et al., Learning to Rank: From Pairwise Approach to Listwise Approach,
        2007, eq. 4 and 6.

    Example:
        >>> target = torch.tensor([[0.01], [0.03], [-0.02]])
        >>> known, days = torch.ones_like(target, dtype=torch.bool), Days.from_lengths([3])
        >>> listnet_loss(target + 7.0, target, known, days).value.abs().round(decimals=4)
        tensor([[0.]])
    """
    c = cross_section(score, target, mask, days)
    spread, differ = c.target_spread()
    scale = (tau * spread)[..., None]
    targets = torch.where(c.known, c.target / scale, -torch.inf)
    if top_k is not None:
        last = targets.topk(min(top_k, targets.shape[-1]), dim=-1).values[..., -1:]
        targets = torch.where(targets >= last, targets, -torch.inf)
    shares = targets.softmax(-1)
    scores = torch.where(c.known, c.score / scale, -torch.inf).log_softmax(-1)
    gap = targets.log_softmax(-1) - scores
    # Where the share is 0 the logarithms are infinite and the product has no part.
    inside = torch.isneginf(targets)
    return c.result(c.show_nan(torch.where(inside, 0.0, shares * gap).sum(-1)), differ)


def ranknet_loss(
    score: Tensor,
    target: Tensor,
    mask: Tensor,
    days: Days,
    *,
    tau: float = 1.0,
    ratio: float = 1.6,
) -> PerDay:
    """Logistic loss on which of two stocks did better, averaged over pairs of a day.

    Pairs of different targets only: ties do not train. Which pairs: see `losses.pairs`.

    Args:
        score: Model output, in the unit of the target. Shape (rows, horizons).
        target: Return over the horizon, as a fraction (0.01 is one percent).
            Anything, NaN included, where *mask* is False. Shape (rows, horizons).
        mask: True where the label exists. Shape (rows, horizons), bool.
        days: The day of every row.
        tau: Temperature of the logistic, in spreads of the day's targets.
        ratio: Growth of the rank distances that are compared; 1 takes every pair.

    Returns:
        A PerDay in nats; log 2 at constant scores. A day with fewer than two different
        targets is not valid.

    Raises:
        ShapeError: Score, target, mask and days disagree.
        SettingsError: *ratio* is under 1.

    References:
        C. Burges et al., Learning to Rank using Gradient Descent, 2005, eq. 3.

    Example:
        >>> target = torch.tensor([[0.01], [0.03], [-0.02]])
        >>> known, days = torch.ones_like(target, dtype=torch.bool), Days.from_lengths([3])
        >>> ranknet_loss(0 * target, target, known, days).value
        tensor([[0.6931]])
    """
    c = _in_spreads(cross_section(score, target, mask, days), tau)
    return pair_mean(_take(c, in_target_order(c)), _logistic, ratio=ratio)


def lambdarank_loss(
    score: Tensor,
    target: Tensor,
    mask: Tensor,
    days: Days,
    *,
    tau: float = 1.0,
    ratio: float = 1.6,
) -> PerDay:
    """RankNet with each pair weighted by what its swap would change in NDCG.

    The gain of a stock is the share of its day's stocks that it beat, the discount
    1 / log2(1 + place), places by score, highest first. Equal scores take their places
    worst first: the choice does not depend on the order of the rows, and constant
    scores keep a gradient. The weights have no gradient and sum to one; since they move
    with the order, follow the gradient and not the value, which is not least in perfect
    order.

    Args:
        score: Model output, in the unit of the target. Shape (rows, horizons).
        target: Return over the horizon, as a fraction (0.01 is one percent).
            Anything, NaN included, where *mask* is False. Shape (rows, horizons).
        mask: True where the label exists. Shape (rows, horizons), bool.
        days: The day of every row.
        tau: Temperature of the logistic, in spreads of the day's targets.
        ratio: Growth of the rank distances that are compared; 1 takes every pair.

    Returns:
        A PerDay in nats; log 2 at constant scores. A day with fewer than two different
        targets is not valid. It jumps where two scores change places.

    Raises:
        ShapeError: Score, target, mask and days disagree.
        SettingsError: *ratio* is under 1.

    References:
        C. Burges, From RankNet to LambdaRank to LambdaMART: An Overview, 2010, section 4.

    Example:
        >>> target = torch.tensor([[0.01], [0.03], [-0.02]])
        >>> known, days = torch.ones_like(target, dtype=torch.bool), Days.from_lengths([3])
        >>> lambdarank_loss(0 * target, target, known, days).value
        tensor([[0.6931]])
    """
    c = _in_spreads(cross_section(score, target, mask, days), tau)
    order = in_target_order(c)
    beaten = lay(days.rank(target.to(c.target.dtype), mask) - 1, days)
    gain = (beaten / (c.names - 1).clamp(min=1)[..., None]).gather(-1, order)
    c = _take(c, order)
    # Stable, on ascending targets: of equal scores the lowest target comes first.
    best_first = torch.where(c.known, -c.score.detach(), torch.inf).argsort(dim=-1, stable=True)
    place = torch.empty_like(best_first)
    counted = torch.arange(1, place.shape[-1] + 1, device=place.device)
    place.scatter_(-1, best_first, counted.expand_as(place))
    discount = (1.0 + place.to(c.score.dtype)).log2().reciprocal()

    def swap(low: slice, high: slice) -> Tensor:
        change = gain[..., high] - gain[..., low]
        return (change * (discount[..., high] - discount[..., low])).abs()

    return pair_mean(c, _logistic, ratio=ratio, weigh=swap)


def margin_loss(
    score: Tensor,
    target: Tensor,
    mask: Tensor,
    days: Days,
    *,
    margin: float = 1.0,
    ratio: float = 1.6,
) -> PerDay:
    """How far the better stock's lead in score falls short of a margin, averaged over pairs.

    Pairs of different targets only: ties do not train. Which pairs: see `losses.pairs`.

    Args:
        score: Model output, in the unit of the target. Shape (rows, horizons).
        target: Return over the horizon, as a fraction (0.01 is one percent).
            Anything, NaN included, where *mask* is False. Shape (rows, horizons).
        mask: True where the label exists. Shape (rows, horizons), bool.
        days: The day of every row.
        margin: Lead that costs nothing, in spreads of the day's targets.
        ratio: Growth of the rank distances that are compared; 1 takes every pair.

    Returns:
        A PerDay in spreads of the day's targets; *margin* at constant scores. A day with
        fewer than two different targets is not valid.

    Raises:
        ShapeError: Score, target, mask and days disagree.
        SettingsError: *ratio* is under 1.

    References:
        R. Herbrich, T. Graepel, K. Obermayer, Large Margin Rank Boundaries for Ordinal
        Regression, 2000, eq. 8.

    Example:
        >>> target = torch.tensor([[0.01], [0.03], [-0.02]])
        >>> known, days = torch.ones_like(target, dtype=torch.bool), Days.from_lengths([3])
        >>> margin_loss(0 * target, target, known, days).value
        tensor([[1.]])
    """
    c = _in_spreads(cross_section(score, target, mask, days), 1.0)

    def hinge(lead: Tensor) -> tuple[Tensor, Tensor]:
        short = (margin - lead).clamp_(min=0)
        return short, short.sign().neg_()

    return pair_mean(_take(c, in_target_order(c)), hinge, ratio=ratio)


def _logistic(lead: Tensor) -> tuple[Tensor, Tensor]:
    """-log of the logistic function, and its derivative."""
    return logsigmoid(lead).neg_(), torch.sigmoid(lead).sub_(1)


def _in_spreads(c: CrossSection, tau: float) -> CrossSection:
    """Scores in *tau* spreads of the day's targets."""
    spread, _ = c.target_spread()
    return c._replace(score=c.score / (tau * spread)[..., None])


def _take(c: CrossSection, order: Tensor) -> CrossSection:
    """The stocks of each day in another order."""
    score, target, known = (x.gather(-1, order) for x in (c.score, c.target, c.known))
    return CrossSection(score, target, known, c.names)
