"""Laws on what is not known: missing labels, days without any, numbers that are none."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from flatline.errors import FlatlineError
from flatline.harness.laws.judged import Judged
from flatline.harness.laws.law import Law, Off, gap, largest
from flatline.harness.laws.scored_days import ScoredDays, make_scored_days

__all__ = ["LABELS"]


def _missing_labels(loss: Judged, batch: ScoredDays, draw: np.random.Generator) -> Off:
    del draw
    other = batch._replace(
        score=torch.where(batch.mask, batch.score, 50 + batch.score),
        target=torch.where(batch.mask, batch.target, 37.0),
    )
    plain = loss(batch)
    value = gap(loss(other), plain)
    push = largest(loss.gradient(batch)[~batch.mask])
    says = (
        f"where the label is missing, other scores and targets change it by {value:.2g} of its "
        f"size, and the scores get a gradient of up to {push:.2g}"
    )
    # A NaN anywhere must show.
    return Off(float(np.maximum(value, push)), loss.close(plain.value), says)


def _missing_rows(loss: Judged, batch: ScoredDays, draw: np.random.Generator) -> Off:
    # The first rows of a day stay, so that no day is left out.
    gone = torch.from_numpy(draw.random(len(batch.group_day)) < 0.4) & (batch.days.slot >= 3)
    masked = batch._replace(
        mask=batch.mask & ~gone[:, None],
        target=torch.where(gone[:, None], torch.nan, batch.target),
    )
    without = loss(batch.rows(~gone))
    off = gap(loss(masked), without)
    says = f"{int(gone.sum())} rows without a label change it by {off:.2g} of its size"
    return Off(off, loss.close(without.value), says)


def _unlabelled_day(loss: Judged, batch: ScoredDays, draw: np.random.Generator) -> Off:
    del draw
    last = batch.group_day == batch.days.count - 1
    without = batch._replace(
        mask=batch.mask & ~last[:, None],
        target=torch.where(last[:, None], torch.nan, batch.target),
    )
    found, expected = loss(without), loss(batch.rows(~last))
    if found.by_day:
        counted = bool(found.valid[-1].any()) and largest(found.value[-1]) == 0.0
        says = "a day without a label counts as a valid day of value 0"
        return Off(float(counted), 0.0, says)
    off = gap(found, expected)
    says = f"a day without a label changes the loss by {off:.2g} of its size"
    return Off(off, loss.close(found.value), says)


def _nothing_to_learn(loss: Judged, batch: ScoredDays, draw: np.random.Generator) -> Off:
    del batch
    seed = int(draw.integers(2**32))
    kinds = {"days of one stock": make_scored_days([1] * 8, seed=seed, horizons=loss.horizons or 2)}
    if loss.masks:
        kinds["no label at all"] = _without_labels(kinds["days of one stock"])
    for kind, empty in kinds.items():
        if loss.refuses(empty):
            continue
        total = loss(empty).total.detach()
        if bool(torch.isfinite(total)) and largest(loss.gradient(empty)) == 0.0:
            says = f"on {kind} it is {float(total):.3g} without gradient and without a word"
            return Off(1.0, 0.0, says)
    return Off(0.0, 0.0, "it refuses what it can learn nothing from")


def _nan_stays_visible(loss: Judged, batch: ScoredDays, draw: np.random.Generator) -> Off:
    day = int(draw.integers(batch.days.count))
    row = int((batch.group_day == day).nonzero()[0])
    score = batch.score.clone()
    score[row] = torch.nan
    try:
        found = loss(batch, score)
    except (FlatlineError, ValueError):
        return Off(0.0, 0.0, "it refuses a score that is not a number")
    gone = found.value.isnan() | ~torch.isfinite(found.value)
    if not found.by_day:
        hidden = not bool((gone & found.valid).all())
        says = f"one score that is not a number leaves the loss at {float(found.total):.3g}"
        return Off(float(hidden), 0.0, says)
    here = gone[day] & found.valid[day]
    others = _but(gone, day) & _but(loss(batch).valid, day)
    if not bool(here.all()):
        return Off(1.0, 0.0, "a score that is not a number does not show in its day's value")
    says = f"one score that is not a number spoils {int(others.any(-1).sum())} other days"
    return Off(float(others.any()), 0.0, says)


def _ungiven(loss: Judged, batch: ScoredDays, draw: np.random.Generator) -> Off:
    # Infinite scores where nothing is known: a model may say anything there.
    del draw
    score = torch.where(batch.mask, batch.score, torch.inf)
    found, push = loss(batch, score), loss.gradient(batch, score)
    bad = not (bool(torch.isfinite(found.total)) and bool(torch.isfinite(push).all()))
    says = "an infinite score where the label is missing leaves value or gradient not finite"
    return Off(math.inf if bad else 0.0, 0.0, says)


def _without_labels(batch: ScoredDays) -> ScoredDays:
    none = torch.zeros_like(batch.mask)
    return batch._replace(mask=none, target=torch.full_like(batch.target, torch.nan))


def _but(x: Tensor, day: int) -> Tensor:
    return torch.cat([x[:day], x[day + 1 :]])


def _masks(loss: Judged) -> bool:
    return loss.masks


LABELS = (
    Law(
        id="missing_labels",
        says="What stands where the label is missing has no part in it.",
        remedy="Take it out with `torch.where(mask, x, 0)` before any arithmetic: 0 * NaN is NaN.",
        holds=_missing_labels,
        batch={"missing": 0.3, "min_stocks": 5},
        applies=_masks,
    ),
    Law(
        id="missing_rows",
        says="A row without a label counts as if it were not there.",
        remedy="Divide by the number of labels, not by the number of rows.",
        holds=_missing_rows,
        batch={"missing": 0.0, "min_stocks": 5, "ties": False},
        applies=_masks,
    ),
    Law(
        id="unlabelled_day",
        says="A day without a label counts for nothing, not as a day of loss 0.",
        remedy="Average over the days that have labels.",
        holds=_unlabelled_day,
        batch={"missing": 0.0, "min_days": 2, "min_stocks": 5, "even": True, "ties": False},
        applies=lambda loss: loss.masks and loss.promises.mean_of_days,
    ),
    Law(
        id="infinite_scores",
        says="A score that is not finite does no harm where the label is missing.",
        remedy="Take it out with `torch.where(mask, x, 0)` before any arithmetic: 0 * inf is NaN.",
        holds=_ungiven,
        batch={"missing": 0.3, "min_stocks": 5},
        applies=_masks,
    ),
    Law(
        id="nothing_to_learn",
        says="Where nothing can be learned the loss says so, and is no silent number.",
        remedy="Raise an error, or return the day as not valid.",
        holds=_nothing_to_learn,
    ),
    Law(
        id="nan_stays_visible",
        says="A score that is not a number shows in its own day, and in no other.",
        remedy="Do not fill NaN; reduce over the stocks of a day first.",
        holds=_nan_stays_visible,
        batch={"missing": 0.0, "min_days": 2, "min_stocks": 5, "ties": False},
        applies=lambda loss: not loss.promises.follows,
    ),
)
