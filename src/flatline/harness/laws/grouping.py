"""Laws on who counts with whom: rows in any order, days apart, horizons apart, means."""

from __future__ import annotations

import math

import numpy as np
import torch

from flatline.harness.laws.judged import Judged
from flatline.harness.laws.law import Law, Off, gap, largest
from flatline.harness.laws.scored_days import ScoredDays

__all__ = ["GROUPING"]

# Copies of each stock, and what a mean over stocks may change by at most: half of it, on a
# log scale, is between a mean (nothing) and a sum (all of it).
COPIES = 16


def _row_order(loss: Judged, batch: ScoredDays, draw: np.random.Generator) -> Off:
    moved = batch.rows(torch.from_numpy(draw.permutation(len(batch.group_day))))
    plain = loss(batch)
    off = gap(loss(moved), plain)
    says = f"its value changes by {off:.2g} of its size when the rows are put in another order"
    return Off(off, loss.close(plain.value), says)


def _days_apart(loss: Judged, batch: ScoredDays, draw: np.random.Generator) -> Off:
    # Far apart, so that no day of the one half follows a day of the other.
    half = int(draw.integers(1, batch.days.count))
    second = batch.group_day >= half
    batch = batch._replace(group_day=batch.group_day + 1000 * second)
    parts = loss(batch.rows(~second)), loss(batch.rows(second))
    whole = loss(batch)
    close = loss.close(whole.value)
    if whole.by_day:
        value, valid = (torch.cat([p[k] for p in parts]) for k in (0, 1))  # type: ignore[misc]
        off = gap(whole, whole._replace(value=value, valid=valid))
        return Off(off, close, f"a day's value changes by {off:.2g} of its size with other days")
    share = half / batch.days.count
    mean = share * parts[0].value + (1 - share) * parts[1].value
    off = gap(whole, whole._replace(value=mean))
    says = (
        f"the loss of {batch.days.count} days is {float(whole.value):.4g}, the mean of "
        f"the losses of its parts {float(mean):.4g}"
    )
    return Off(off, close, says)


def _day_ids(loss: Judged, batch: ScoredDays, draw: np.random.Generator) -> Off:
    count = batch.days.count
    ids = torch.arange(count) + 17
    if not loss.promises.follows:
        ids = torch.from_numpy(draw.permutation(1000)[:count]) - 500
    renamed, plain = loss(batch._replace(group_day=ids[batch.group_day])), loss(batch)
    if plain.by_day:
        order = ids.argsort()
        plain = plain._replace(value=plain.value[order], valid=plain.valid[order])
    off = gap(renamed, plain)
    says = f"its value changes by {off:.2g} of its size when the days get other ids"
    return Off(off, loss.close(plain.value), says)


def _horizons_apart(loss: Judged, batch: ScoredDays, draw: np.random.Generator) -> Off:
    del draw
    columns = range(batch.score.shape[1])
    alone = [loss(_column(batch, h)) for h in columns]
    both = loss(batch)
    value = torch.cat([one.value for one in alone], -1)
    valid = torch.cat([one.valid for one in alone], -1)
    if both.value.shape != value.shape:
        value, valid = value.mean(-1, keepdim=True), valid.all(-1, keepdim=True)
    off = gap(both, both._replace(value=value, valid=valid))
    says = f"a horizon's value changes by {off:.2g} of its size with the other horizons"
    return Off(off, loss.close(both.value), says)


def _mean_over_stocks(loss: Judged, batch: ScoredDays, draw: np.random.Generator) -> Off:
    del draw
    small = batch._replace(score=1e-3 * batch.score)
    many = ScoredDays(*(torch.cat([part] * COPIES) for part in small))
    copy = torch.arange(COPIES).repeat_interleave(len(batch.group_day))
    # A copy is a stock of its own.
    many = many._replace(stock_id=many.stock_id + 1000 * copy)
    one, all_of_them = largest(loss(small).value), largest(loss(many).value)
    times = all_of_them / one if one else math.nan
    says = f"with {COPIES} copies of each stock the loss is {times:.3g} times as large"
    return Off(abs(math.log(times)) if times > 0 else math.nan, math.log(COPIES) / 2, says)


def _column(batch: ScoredDays, h: int) -> ScoredDays:
    score, target, mask = (x[:, h : h + 1] for x in (batch.score, batch.target, batch.mask))
    return batch._replace(score=score, target=target, mask=mask)


def _scalar_and_even(loss: Judged) -> bool:
    return loss.promises.mean_of_days and not loss.by_day


GROUPING = (
    Law(
        id="row_order",
        says="The order of the rows changes nothing.",
        remedy="Look for what goes by position: a shift, a reshape, an assumption of whole days.",
        holds=_row_order,
        batch={"ties": False},
    ),
    Law(
        id="ties",
        says="The order of the rows decides nothing among equal scores or labels.",
        remedy="Leave pairs of equal labels out, and give equal values their average rank.",
        holds=_row_order,
        batch={"ties": True, "min_stocks": 3},
    ),
    Law(
        id="days_apart",
        says="A day's value does not depend on the other days.",
        remedy="Group by day before any sum, mean, spread, softmax or rank.",
        holds=_days_apart,
        batch={"min_days": 2},
        applies=lambda loss: loss.by_day,
    ),
    Law(
        id="mean_of_days",
        says="The loss of several days is the mean of the losses of each.",
        remedy="Group by day before any sum, mean, spread, softmax or rank, and average the days.",
        holds=_days_apart,
        # Equal days without gaps, so that a mean over rows is a mean over days.
        batch={"min_days": 2, "min_stocks": 5, "even": True, "missing": 0.0, "ties": False},
        applies=_scalar_and_even,
    ),
    Law(
        id="day_ids",
        says="Days are told apart by their ids, and the ids do not count otherwise.",
        remedy="Use the ids to group only, or number the days within the batch first.",
        holds=_day_ids,
        applies=lambda loss: loss.knows_days,
    ),
    Law(
        id="horizons_apart",
        says="A horizon's value does not depend on the other horizons.",
        remedy="Reduce over stocks, not over columns, and check that no shape is broadcast.",
        holds=_horizons_apart,
        batch={"horizons": 3, "min_stocks": 5, "missing": 0.0, "ties": False},
        applies=lambda loss: not loss.flat,
    ),
    Law(
        id="mean_over_stocks",
        says="The loss of a day does not grow with its number of stocks.",
        remedy="Take the mean over the stocks, or over the pairs, instead of the sum.",
        holds=_mean_over_stocks,
        batch={"min_stocks": 6, "missing": 0.0, "ties": False},
    ),
)
