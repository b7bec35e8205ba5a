"""Laws on the gradient: it is there, it is the derivative, and it is sound at constant scores."""

from __future__ import annotations

import math

import numpy as np
import torch

from flatline.harness.laws.judged import Judged
from flatline.harness.laws.law import Law, Off, largest
from flatline.harness.laws.scored_days import ScoredDays, make_scored_days

__all__ = ["SLOPE"]

# Step of the finite differences, over the spread of the scores: the cube root of double's
# rounding, where the errors of the step and of rounding are equal.
STEP = 1e-5
# Directions in which they are taken; a kink may lie within the step of one.
DIRECTIONS = 4
# Spread of nearly constant scores, over that of the targets.
NEARLY = (1e-2, 1e-4, 1e-6)
# Constants among the labels, and one far off, where nothing but sound numbers is asked for.
AMONG, FAR = (0.0, 0.1, -0.3), (-37.5,)


def _derivative(loss: Judged, batch: ScoredDays, draw: np.random.Generator) -> Off:
    unit = loss.promises.unit
    # Large and small: a penalty on flat scores speaks only where they are.
    score = batch.score * float(draw.choice([1.0, 0.1, 0.01]))
    gradient = loss.gradient(batch, score)
    size = float(gradient.norm())
    if not math.isfinite(size):
        return Off(math.nan, 0.0, "its gradient is not finite")
    step = STEP * unit * float(score.std() / batch.score.std())
    least = math.inf
    for _ in range(DIRECTIONS):
        way = torch.from_numpy(draw.standard_normal(tuple(score.shape)))
        # Half of it along the gradient, where a part without gradient cannot hide.
        way = way / way.norm() + (gradient / size if size else 0.0)
        up, down = loss(batch, score + step * way), loss(batch, score - step * way)
        slope = float((up.total - down.total).detach()) / (2 * step)
        told = float((gradient * way).sum())
        # What rounding of the values alone leaves of a difference.
        noise = 1e-14 * (1 + float(up.total.detach().abs())) / step
        least = min(least, abs(slope - told) / max(abs(slope), abs(told), noise * 1e4))
    says = f"its gradient is off the slope of its value by {least:.2g} in the best of directions"
    return Off(least, 1e-4, says)


def _gradient_when_nearly_constant(
    loss: Judged, batch: ScoredDays, draw: np.random.Generator
) -> Off:
    del draw
    spread = float(batch.score.std())
    for nearly in NEARLY:
        score = batch.score * (nearly * loss.promises.unit / spread)
        found = loss.gradient(batch, score)
        if not bool(torch.isfinite(found).all()):
            return Off(
                math.nan, 0.0, f"at scores of {nearly:.0e} spreads its gradient is no number"
            )
        if largest(found) == 0.0:
            return Off(1.0, 0.0, f"at scores of {nearly:.0e} spreads it has a value, no gradient")
    return Off(0.0, 0.0, "it has a gradient at nearly constant scores")


def _constant(loss: Judged, batch: ScoredDays, draw: np.random.Generator) -> Off:
    promise = loss.promises.at_constant
    levels = AMONG if promise == "alive" else AMONG + FAR
    level = float(draw.choice(levels)) * loss.promises.unit
    # Labels on both sides of any event, on every day.
    batch = batch._replace(target=batch.days.centre(batch.target))
    score = torch.full_like(batch.score, level)
    if promise == "undefined":
        says = f"constant scores of {level:g} have a value, though they are declared undefined"
        return Off(float(not loss.refuses(batch, score)), 0.0, says)
    found = loss.gradient(batch, score)
    if not bool(torch.isfinite(found).all()) or not bool(torch.isfinite(loss(batch, score).total)):
        says = f"at constant scores of {level:g} its value or gradient is not finite"
        return Off(math.nan, 0.0, says)
    if promise == "dead":
        return Off(0.0, 0.0, "it is finite at constant scores")
    target = torch.where(batch.mask, batch.target, 0.0)
    push = (-found * batch.days.centre(target)).sum(-1)
    least = float(batch.days.total(push).min())
    says = f"at constant scores of {level:g} the gradient's pull to higher labels is {least:.3g}"
    return Off(float(not least > 0), 0.0, says)


def _rounding(loss: Judged, batch: ScoredDays, draw: np.random.Generator) -> Off:
    del batch
    stocks = int(draw.choice([50, 1000]))
    days = make_scored_days([stocks, stocks], seed=0, horizons=loss.horizons or 2)
    score = torch.full_like(days.score, 0.1, dtype=torch.float32)
    days = days._replace(target=days.target.float(), exposures=days.exposures.float())
    says = f"the rounding of {stocks} equal scores in single precision passes for a spread"
    return Off(float(not loss.refuses(days, score)), 0.0, says)


WHOLE = {"missing": 0.0, "ties": False, "min_stocks": 5}


SLOPE = (
    Law(
        id="derivative",
        says="The gradient is the derivative of the value.",
        remedy="Look for `.item()`, `.detach()`, `no_grad`, a hard rank or a clamp on the way.",
        holds=_derivative,
        batch=WHOLE,
        applies=lambda loss: loss.promises.differentiable,
    ),
    Law(
        id="nearly_constant_scores",
        says="Scores that hardly differ still get a gradient.",
        remedy="Add a small number instead of `clamp(min=eps)`; do without hard ranks.",
        holds=_gradient_when_nearly_constant,
        batch=WHOLE,
    ),
    Law(
        id="constant_scores",
        says="Exactly constant scores do what is declared, and leave no NaN behind.",
        remedy="A root has no derivative at 0: take it where the spread is above 0 only.",
        holds=_constant,
        batch=WHOLE,
        applies=lambda loss: loss.promises.at_constant is not None,
    ),
    Law(
        id="rounding_is_no_spread",
        says="In single precision too a constant is a constant.",
        remedy="Take one of the values off first, and hold the spread against rounding.",
        holds=_rounding,
        applies=lambda loss: loss.promises.at_constant == "undefined",
    ),
)
