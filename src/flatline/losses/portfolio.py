"""Losses on the portfolio that a day's scores stand for: return, turnover, exposure.

The portfolio is dollar-neutral and holds each stock in proportion to its score's distance
from the day's mean; the sizes of all positions sum to one, half long and half short.
"""

from __future__ import annotations

import torch
from torch import Tensor

from flatline.days import Days
from flatline.errors import ShapeError
from flatline.losses.cross_section import CrossSection, cross_section, lay
from flatline.losses.per_day import PerDay

__all__ = ["exposure_loss", "portfolio_loss", "turnover_loss"]


def portfolio_loss(
    score: Tensor, target: Tensor, mask: Tensor, days: Days, *, min_names: int = 5
) -> PerDay:
    """Minus the return of each day's dollar-neutral portfolio.

    One day has no Sharpe ratio: the blend takes mean over spread across days.

    Args:
        score: Model output, in any unit. Shape (rows, horizons).
        target: Return over the horizon, as a fraction (0.01 is one percent).
            Anything, NaN included, where *mask* is False. Shape (rows, horizons).
        mask: True where the label exists. Shape (rows, horizons), bool.
        days: The day of every row.
        min_names: Days with fewer labelled stocks than this are not valid.

    Returns:
        A PerDay in the unit of the target, per unit of gross position, before costs. A
        day is not valid for a horizon on which it has fewer than *min_names* labels, or
        constant scores.

    Raises:
        ShapeError: Score, target, mask and days disagree.

    Example:
        >>> score, target = torch.tensor([[3.0], [1.0]]), torch.tensor([[0.02], [-0.04]])
        >>> known, days = torch.ones_like(score, dtype=torch.bool), Days.from_lengths([2])
        >>> portfolio_loss(score, target, known, days, min_names=2).value
        tensor([[-0.0300]])
    """
    c = cross_section(score, target, mask, days)
    weight, valid = _positions(c, min_names)
    return c.result(-(weight * c.target).sum(-1), valid)


def turnover_loss(
    score: Tensor,
    target: Tensor,
    mask: Tensor,
    days: Days,
    *,
    stock_id: Tensor,
    max_gap: int = 1,
    min_names: int = 5,
) -> PerDay:
    """Share of the portfolio that is traded from one day of the batch to the next.

    Half the sum of the changes in position, stock by stock; a stock that is absent, or
    has no label, holds 0.

    Args:
        score: Model output, in any unit. Shape (rows, horizons).
        target: Not used but for its shape. Shape (rows, horizons).
        mask: True where the label exists. Shape (rows, horizons), bool.
        days: The day of every row; the ids count trading days.
        stock_id: Stock of every row. Shape (rows,), integer.
        max_gap: Days whose ids lie further apart than this do not follow each other.
        min_names: Days with fewer labelled stocks than this are not valid.

    Returns:
        A PerDay with values in [0, 1]: 0 is unchanged, 1 is upside down. A day is not
        valid for a horizon when it, or the day before it, has fewer than *min_names*
        labels or constant scores, or when no day before it is in the batch.

    Raises:
        ShapeError: Score, target, mask, stock_id and days disagree, or a stock has two
            rows on a day.

    Example:
        >>> score = torch.tensor([[1.0], [2.0], [2.0], [1.0]])
        >>> known, days = torch.ones_like(score, dtype=torch.bool), Days.from_lengths([2, 2])
        >>> stock_id = torch.tensor([0, 1, 0, 1])
        >>> turnover_loss(score, score, known, days, stock_id=stock_id, min_names=2).value
        tensor([[0.],
                [1.]])
    """
    days.check_rows(stock_id=stock_id)
    c = cross_section(score, target, mask, days)
    weight, held = _positions(c, min_names)
    order, again = _next_day(stock_id, days)
    weight, day = days.unpad(weight.movedim(-1, 1))[order], days.index[order]
    stays = torch.nn.functional.pad(again, (0, 1))[:, None]
    stayed = torch.nn.functional.pad(again, (1, 0))[:, None]
    before = torch.where(stayed, weight.roll(1, 0), 0.0)
    # Sold off stocks have no row on the next day: book them there from the day they leave.
    traded = weight.new_zeros(days.count + 1, weight.shape[1])
    traded = traded.index_add(0, day, (weight - before).abs())
    traded = traded.index_add(0, day + 1, torch.where(stays, 0.0, weight.abs()))
    follows = torch.nn.functional.pad(days.ids.diff() <= max_gap, (1, 0))[:, None]
    valid = held & torch.nn.functional.pad(held[:-1], (0, 0, 1, 0)) & follows
    return c.result(traded[:-1] / 2, valid)


def exposure_loss(
    score: Tensor,
    target: Tensor,
    mask: Tensor,
    days: Days,
    *,
    exposures: Tensor,
    min_names: int = 5,
) -> PerDay:
    """Squared exposure of each day's portfolio to given factors, averaged over factors.

    Args:
        score: Model output, in any unit. Shape (rows, horizons).
        target: Not used but for its shape. Shape (rows, horizons).
        mask: True where the label exists. Shape (rows, horizons), bool.
        days: The day of every row.
        exposures: What the portfolio shall not lean on, such as size or beta, in any
            unit: standardised within the day. Shape (rows, factors).
        min_names: Days with fewer labelled stocks than this are not valid.

    Returns:
        A PerDay in squared standard deviations of the factor per unit of gross position.
        A day is not valid for a horizon on which it has fewer than *min_names* labels,
        or constant scores.

    Raises:
        ShapeError: Score, target, mask, exposures and days disagree.

    Example:
        >>> score = torch.tensor([[1.0], [-1.0]])
        >>> known, days = torch.ones_like(score, dtype=torch.bool), Days.from_lengths([2])
        >>> exposure_loss(score, score, known, days, exposures=score, min_names=2).value
        tensor([[1.]])
    """
    days.check_rows(exposures=exposures)
    if exposures.ndim != 2:
        raise ShapeError(
            f"exposures has shape {tuple(exposures.shape)}, expected (rows, factors). "
            "Give one column per factor."
        )
    c = cross_section(score, target, mask, days)
    weight, valid = _positions(c, min_names)
    factor = lay(exposures.to(weight.dtype), days)[:, None]
    known = c.known[:, :, None]
    factor = torch.where(known, factor, 0.0)
    f = CrossSection(factor, factor, known, c.names[..., None])
    spread, _ = f.target_spread()
    leaning = (weight[:, :, None] * f.centre(factor)).sum(-1) / spread
    return c.result((leaning**2).mean(-1), valid)


def _positions(c: CrossSection, min_names: int) -> tuple[Tensor, Tensor]:
    """Position of each stock, sizes summing to one, and the days that have any."""
    centred = c.centre(c.score)
    valid = (c.names >= min_names) & ~c.is_flat(centred, c.score)
    # Scores without spread have no portfolio; give them a 1 to divide by.
    gross = torch.where(valid, centred.abs().sum(-1), 1.0)[..., None]
    return torch.where(valid[..., None], centred / gross, 0.0), valid


def _next_day(stock_id: Tensor, days: Days) -> tuple[Tensor, Tensor]:
    """Rows by stock and day, and whether each of these is followed by its next day."""
    stock = torch.unique(stock_id, return_inverse=True)[1]
    key, order = (stock * (days.count + 1) + days.index).sort()
    step = key.diff()
    if bool((step == 0).any()):
        row = order[1:][step == 0][0]
        raise ShapeError(
            f"stock_id {int(stock_id[row])} has two rows on day {int(days.ids[days.index[row]])}, "
            "expected one row per stock and day. Drop the duplicate."
        )
    return order, step == 1
