"""Laws on what is rewarded: the right direction, the best forecast, and nothing for the level."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from flatline.harness.laws.judged import Judged
from flatline.harness.laws.law import Law, Off, gap
from flatline.harness.laws.scored_days import ScoredDays

__all__ = ["DIRECTION"]

# Least relative difference between a forecast and the same upside down. A softmax of raw daily
# returns is within 0.01 of uniform and reaches 0.0025, of standardised ones 0.1.
CONTRAST = 0.01


def _direction(loss: Judged, batch: ScoredDays, draw: np.random.Generator) -> Off:
    del draw
    good, bad = _forecast_and_mirror(loss, batch, 1.0)
    says = f"the targets as scores cost {good:.4g}, the same upside down {bad:.4g}"
    # Two losses of 0 are no direction either.
    return Off(good - bad, -1e-9 * max(abs(bad), 1e-200), says)


def _contrast(loss: Judged, batch: ScoredDays, draw: np.random.Generator) -> Off:
    del draw
    most = 0.0
    # In the unit of the targets, or in that of a logit: either is how scores may be meant.
    for scale in (1.0, 1.0 / loss.promises.unit):
        good, bad = _forecast_and_mirror(loss, batch, scale)
        most = max(most, (bad - good) / max(abs(bad) + abs(good), 1e-300))
    says = f"a forecast and the same upside down differ by {most:.2g} of the loss"
    return Off(-most, -CONTRAST, says)


def _best_forecast(loss: Judged, batch: ScoredDays, draw: np.random.Generator) -> Off:
    del draw
    perfect, worst = loss(batch, batch.target), -math.inf
    # A shrunk forecast too: what compares every row with every other likes the mean best.
    for other in (batch.score, 0.5 * batch.target):
        found = loss(batch, other)
        over = torch.where(perfect.valid & found.valid, perfect.value - found.value, 0.0)
        worst = max(worst, float(over.detach().max()) / loss.promises.unit**2)
    says = f"other scores cost {worst:.2g} less than the targets themselves"
    return Off(worst, loss.close(perfect.value), says)


def _best_order(loss: Judged, batch: ScoredDays, draw: np.random.Generator) -> Off:
    del draw
    best, found = loss(batch, _in_target_order(batch)), loss(batch)
    over = float(torch.where(found.valid, best.value - found.value, 0.0).detach().max())
    says = f"another order of the same scores costs {over:.2g} less than that of the targets"
    return Off(over, loss.close(found.value), says)


def _shift(loss: Judged, batch: ScoredDays, draw: np.random.Generator) -> Off:
    by = float(draw.uniform(-5, 5)) * (1 + batch.group_day.double())
    found, plain = loss(batch, batch.score + by[:, None]), loss(batch)
    off = gap(found, plain)
    return _stated(loss, loss.promises.shift, off, found.value, "adding a number to a day's scores")


def _scale(loss: Judged, batch: ScoredDays, draw: np.random.Generator) -> Off:
    by = float(draw.uniform(0.3, 3.0)) ** (1 + batch.group_day.double())
    # Small, so that no floor hides what is felt.
    small = batch._replace(score=1e-3 * batch.score)
    found, plain = loss(small, small.score * by[:, None]), loss(small)
    off = gap(found, plain)
    return _stated(loss, loss.promises.scale, off, found.value, "multiplying a day's scores")


def _stated(loss: Judged, promised: bool | None, off: float, value: Tensor, what: str) -> Off:
    says = f"{what} changes it by {off:.2g} of its size"
    if promised:
        return Off(off, loss.close(value), says)
    # Not invariant: then declared wrongly, if nothing changes.
    return Off(-off, -loss.close(value), f"{says}, though it is declared to matter")


def _unit(loss: Judged, batch: ScoredDays, draw: np.random.Generator) -> Off:
    by = float(draw.uniform(0.1, 10))
    degree = loss.promises.degree or 0.0
    plain = loss(batch)
    moved = replace(loss, reads=lambda score: by * loss.reads(score / by))
    found = moved(batch._replace(target=batch.target * by), batch.score * by)
    off = gap(found, plain._replace(value=plain.value * by**degree))
    says = (
        f"in a unit {by:.3g} times as small it is not {by:.3g}**{degree:g} times as large, "
        f"but off by {off:.2g}"
    )
    return Off(off, loss.close(found.value), says)


def _level_earns_nothing(loss: Judged, batch: ScoredDays, draw: np.random.Generator) -> Off:
    del draw
    # Days of quite different level, which a loss over all rows would take for skill.
    target = batch.target + 3 * loss.promises.unit * batch.group_day[:, None]
    batch = batch._replace(target=target)
    level = batch.days.spread(batch.days.mean(target))
    # Around a little noise: exactly constant scores may be undefined.
    noise = 0.01 * batch.score
    market, nothing = loss(batch, level + noise), loss(batch, noise)
    off = gap(market, nothing)
    says = f"knowing each day's level alone changes it by {off:.2g} of its size"
    return Off(off, 1e3 * loss.close(market.value), says)


def _ranks(loss: Judged, batch: ScoredDays, draw: np.random.Generator) -> Off:
    del draw
    # The same order, once bent out of shape, once evenly spaced.
    bent = (2 * batch.score / loss.promises.unit).exp()
    even = batch.days.rank(bent)
    change = float((loss(batch, bent).total - loss(batch, even).total).detach().abs())
    straight = _correlation(batch, bent) - _correlation(batch, even)
    as_linear = float(straight.abs().mean() * loss(batch).valid.sum())
    share = change / as_linear if as_linear else math.nan
    says = f"bending the scores in order changes it by {share:.2g} of what Pearson's changes by"
    return Off(share, 0.5, says)


def _correlation(batch: ScoredDays, score: Tensor) -> Tensor:
    days, target = batch.days, batch.target
    x, y = days.centre(score), days.centre(target)
    return days.mean(x * y) / (days.mean(x**2) * days.mean(y**2)).sqrt()


def _forecast_and_mirror(loss: Judged, batch: ScoredDays, scale: float) -> tuple[float, float]:
    centred = batch._replace(target=batch.days.centre(batch.target))
    good, bad = loss(centred, scale * centred.target), loss(centred, -scale * centred.target)
    return float(good.total.detach()), float(bad.total.detach())


def _in_target_order(batch: ScoredDays) -> Tensor:
    """The same scores, dealt out in the order of the targets, day by day and by horizon."""
    days = batch.days
    place = days.rank(batch.target).long() - 1
    score = days.pad(batch.score, fill=torch.inf).sort(dim=1).values
    return days.unpad(score.gather(1, days.pad(place.double()).long()))


WHOLE = {"missing": 0.0, "ties": False, "min_stocks": 5}


DIRECTION = (
    Law(
        id="direction",
        says="A forecast loses less than the same upside down.",
        remedy="Minimise what is to be maximised with a minus sign, once.",
        holds=_direction,
        batch=WHOLE,
        applies=lambda loss: loss.promises.best is not None,
    ),
    Law(
        id="contrast",
        says="The loss tells a forecast from the same upside down by more than its noise.",
        remedy="Set the temperature in spreads of the day's targets, or standardise the targets.",
        holds=_contrast,
        batch=WHOLE | {"min_stocks": 20, "max_stocks": 40},
        applies=lambda loss: loss.promises.best is not None,
    ),
    Law(
        id="best_forecast",
        says="No scores lose less than the targets themselves.",
        remedy="Check the shapes: (rows, 1) against (rows,) compares every row with every other.",
        holds=_best_forecast,
        batch={"missing": 0.0},
        applies=lambda loss: loss.promises.best == "forecast",
    ),
    Law(
        id="best_order",
        says="No order of the same scores loses less than the order of the targets.",
        remedy="Check the sign, and that ranks go the same way for scores and targets.",
        holds=_best_order,
        batch=WHOLE | {"min_stocks": 2, "max_stocks": 30, "max_days": 2},
        applies=lambda loss: loss.promises.best == "order",
    ),
    Law(
        id="shift",
        says="A number added to a day's scores matters or not, as declared.",
        remedy="Centre the scores by day, or declare `shift` as it is.",
        holds=_shift,
        batch=WHOLE,
        applies=lambda loss: loss.promises.shift is not None,
    ),
    Law(
        id="scale",
        says="A factor on a day's scores matters or not, as declared.",
        remedy="Divide by the day's spread, or declare `scale` as it is.",
        holds=_scale,
        batch=WHOLE,
        applies=lambda loss: loss.promises.scale is not None,
    ),
    Law(
        id="unit",
        says="Scores and targets in another unit change the value by that unit to its degree.",
        remedy="Set thresholds and temperatures in spreads of the day's targets.",
        holds=_unit,
        batch={"min_stocks": 2},
        applies=lambda loss: loss.promises.degree is not None,
    ),
    Law(
        id="level_earns_nothing",
        says="Scores that hold each day's level alone are worth as much as none.",
        remedy="Group by day before any sum, mean, spread, softmax or rank.",
        holds=_level_earns_nothing,
        batch=WHOLE | {"min_days": 2, "even": True},
        applies=lambda loss: bool(loss.promises.shift),
    ),
    Law(
        id="ranks",
        says="Only the order of the scores counts, give or take a smoothing.",
        remedy="Lower the softness: ranks that are too soft are straight lines in the scores.",
        holds=_ranks,
        batch=WHOLE | {"min_days": 4, "min_stocks": 100, "max_stocks": 100, "even": True},
        applies=lambda loss: bool(loss.promises.ranks),
    ),
)
