"""Which pairs of a day's stocks are compared: O(N log N) of the N (N - 1) / 2.

The stocks stand in the order of their targets, and each is compared with those a fixed
set of rank distances away: 1, 2, 5, 9, 15, ... (a geometric ladder). Each distance
stands for the distances around it and its pairs are weighted by how many pairs those
hold, so that the mean approximates the mean over all pairs, and is exact for up to four
stocks or for *ratio* 1. No draw is needed: the pairs depend on the day's own targets
and number of stocks alone, whatever the order of the rows and the rest of the batch.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from flatline.errors import SettingsError
from flatline.losses.cross_section import CrossSection
from flatline.losses.per_day import PerDay

__all__ = ["PairCost", "Stride", "in_target_order", "pair_mean", "strides"]


class Stride(NamedTuple):
    """A rank distance and the range of distances, both ends included, that it stands for."""

    first: int
    distance: int
    last: int


def strides(width: int, ratio: float) -> list[Stride]:
    """The ladder of rank distances for up to *width* stocks.

    Args:
        width: Stocks of the longest day.
        ratio: Growth of the distances from rung to rung; 1 takes every pair.

    Raises:
        SettingsError: *ratio* is under 1.

    Example:
        >>> [stride.distance for stride in strides(50, 1.6)]
        [1, 2, 5, 9, 15, 25]
    """
    if not ratio >= 1.0:
        raise SettingsError(
            f"ratio is {ratio}, expected at least 1. Give 1 for all pairs, 1.6 for few."
        )
    ladder, first = [], 1
    while first < width:
        # Distance 1 stands alone: a day of two stocks has no other.
        after = 2 if first == 1 else max(first + 1, math.ceil(first * ratio))
        # A rung that leaves no room for itself is left to the one before it.
        if after <= width:
            ladder.append(Stride(first, (first + after - 1) // 2, after - 1))
        first = after
    return ladder


def in_target_order(c: CrossSection) -> Tensor:
    """Order of ascending targets, ties by score, not known ones last: (days, horizons, width)."""
    target = torch.where(c.known, c.target, torch.inf)
    ordered, order = target.sort(dim=-1, stable=True)
    tied = (ordered[..., 1:] == ordered[..., :-1]) & torch.isfinite(ordered[..., 1:])
    tied = tied.any(-1)
    if bool(tied.any()):
        # Among equal targets the order of the rows must not decide who meets whom. Days
        # with such targets are sorted anew, by score first.
        by_score = c.score.detach()[tied].argsort(dim=-1, stable=True)
        then = target[tied].gather(-1, by_score).argsort(dim=-1, stable=True)
        order[tied] = by_score.gather(-1, then)
    return order


# The costs of score differences and their derivatives, both new tensors, elementwise.
PairCost = Callable[[Tensor], tuple[Tensor, Tensor]]


def pair_mean(
    c: CrossSection,
    cost: PairCost,
    *,
    ratio: float,
    weigh: Callable[[slice, slice], Tensor] | None = None,
) -> PerDay:
    """Weighted mean over pairs of what the higher target's lead in score costs.

    Args:
        c: Stocks in the order of `in_target_order`.
        cost: Loss of a score difference, higher target minus lower, and its slope.
        ratio: See `strides`.
        weigh: Weight of each pair from the places of its lower and its upper stock.

    Returns:
        A PerDay. A day without two different targets is not valid. Pairs of equal
        targets have no part in it: there is nothing to learn from their order.
    """
    ladder = strides(c.score.shape[-1], ratio)
    total, mass = _PairSums.apply(c.score, c, cost, ladder, weigh)  # type: ignore[no-untyped-call]
    valid = mass != 0
    return c.result(c.show_nan(total / torch.where(valid, mass, 1.0)), valid)


class _PairSums(torch.autograd.Function):
    """Sum of the weighted costs and of the weights: (days, horizons) each.

    Written with its own derivative: rung by rung the gradient is added up in place,
    where the automatic one would keep and copy a full tensor for each end of each rung.
    """

    @staticmethod
    def forward(  # noqa: PLR0917 - torch passes them by position
        ctx: FunctionCtx,
        score: Tensor,
        c: CrossSection,
        cost: PairCost,
        ladder: list[Stride],
        weigh: Callable[[slice, slice], Tensor] | None,
    ) -> tuple[Tensor, Tensor]:
        total, mass = torch.zeros_like(c.names), torch.zeros_like(c.names)
        gradient = torch.zeros_like(score)
        # The last rung of a day reaches to its longest distance.
        for stride, longer in itertools.zip_longest(ladder, ladder[1:]):
            share = _pairs_stood_for(c.names, stride, longer)
            low, high = slice(None, -stride.distance), slice(stride.distance, None)
            # Known stocks come first: where the upper one is known, both are.
            counts = (c.target[..., high] != c.target[..., low]) & c.known[..., high]
            weight = share[..., None] * counts
            if weigh is not None:
                weight *= weigh(low, high)
            costs, slopes = cost(score[..., high] - score[..., low])
            total += costs.mul_(weight).sum(-1)
            mass += weight.sum(-1)
            gradient[..., high] += slopes.mul_(weight)
            gradient[..., low] -= slopes
        ctx.save_for_backward(gradient)
        ctx.mark_non_differentiable(mass)
        return total, mass

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401 - torch's own
        (gradient,) = ctx.saved_tensors
        return grads[0][..., None] * gradient, None, None, None, None


def _pairs_stood_for(names: Tensor, stride: Stride, longer: Stride | None) -> Tensor:
    """Pairs at the distances of a rung, per pair at its own distance: (days, horizons)."""
    last = torch.full_like(names, stride.last)
    ends_here = names > stride.last
    if longer is not None:
        ends_here = ends_here & (names <= longer.last)
    last = torch.where(ends_here, names - 1, last)
    distances = last - stride.first + 1
    pairs = distances * (names - (stride.first + last) / 2)
    used = names > stride.last
    return torch.where(used, pairs / torch.where(used, names - stride.distance, 1.0), 0.0)
