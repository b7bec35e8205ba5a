"""What a subject's loss does with scores of our choice: numbers for each of its terms."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from flatline.harness.case import Case
from flatline.harness.labels import as_columns
from flatline.harness.probes.loss import NEARLY, Scene, refused, scene
from flatline.harness.trees import leaves, map_tensors

__all__ = [
    "Pull",
    "at_constant",
    "best_constants",
    "contrasts",
    "growth",
    "hears_other_days",
    "hidden_nan",
    "pulls",
    "push_where_missing",
]

# Random scores whose gradients are averaged, each with its mirror image.
DRAWS = 4
# Parts that a day's stocks are cut into, and the fewest stocks of each: of fewer, a correlation
# has a gradient of another size.
CUTS = 4
LEAST_STOCKS = 5
# Constant scores among which the best is looked for.
GRID = [k / 20 for k in range(-120, 121)]


class Pull(NamedTuple):
    """How the gradient goes with the labels.

    Args:
        cosine: Of the mean push on the scores and the labels, within the group, by horizon.
        rows: Known labels it was taken over, by horizon.
        elsewhere: Whether the model's outputs get gradient anywhere.
        largest: Of the gradient at the scores.
    """

    cosine: Tensor
    rows: Tensor
    elsewhere: bool
    largest: float


def at_constant(case: Case) -> Mapping[str, tuple[float, str]]:
    """Largest gradient, NaN if one is, at exactly and nearly constant scores, by part.

    With it what the loss said where it refused: then nothing is wrong.
    """
    one, found = case.of(scene), {}
    for part in one.parts:
        most, said = 0.0, ""
        for score in _constants(one):
            why = refused(lambda part=part, score=score: one.value(part, score))  # type: ignore[misc]
            if why is not None:
                said = why
                continue
            value = float(one.value(part, score).detach())
            sizes = [_largest(x) for x in one.at_outputs(part, score)]
            # The sum, unlike the built-in maximum, keeps a NaN.
            most = most + sum(sizes) + 0.0 * value
        found[part.name] = most, said
    return found


def pulls(case: Case) -> Pull:
    """How the gradient of the total goes with the labels, averaged over random scores."""
    one = case.of(scene)
    label, push, largest = one.centre(one.label), torch.zeros_like(one.label), 0.0
    for _ in range(DRAWS):
        noise = torch.randn_like(one.label.nan_to_num()) * one.unit
        # With its mirror image: what a loss does to the scores themselves cancels.
        up, down = (one.gradient(one.total, score) for score in (noise, -noise))
        push, largest = push - up - down, max(largest, _largest(up), _largest(down))
    apart = one.centre(push)
    size = apart.square().sum(0).sqrt() * label.square().sum(0).sqrt()
    cosine = torch.where(size > 0, (apart * label).sum(0) / torch.where(size > 0, size, 1.0), 0.0)
    # Rounding of a gradient that all stocks share is no direction.
    flat = apart.abs().amax(0) <= 1e-5 * push.abs().amax(0)
    cosine = torch.where(flat, 0.0, cosine)
    anywhere = any(_largest(x) > 0 for x in one.at_outputs(one.total))
    varied = torch.where(label.square().sum(0) > 0, one.known.sum(0), 0)
    return Pull(cosine.cpu(), varied.cpu(), anywhere, largest)


def hears_other_days(case: Case) -> Mapping[str, float]:
    """How far a day's gradient turns when the scores of other days change: 1 - |cosine|."""
    one, found = case.of(scene), {}
    ours = one.group < one.groups / 2
    score = one.informed()
    other = torch.where(ours[:, None], score, one.unit - 3 * score)
    for part in one.parts:
        if part.term is not None and not part.term.apart:
            continue
        before, after = (one.gradient(part, s) for s in (score, other))
        turned = [0.0]
        for day in range(int(one.group[ours].max()) + 1):
            here = one.group == day
            x, y = before[here].flatten().double(), after[here].flatten().double()
            size = float(x.norm() * y.norm())
            turned.append(1 - abs(float(x @ y)) / size if size > 0 else 0.0)
        # A day that has lost all of its gradient to the others, or gained some from them.
        lost = (before[ours] != 0).any() != (after[ours] != 0).any()
        found[part.name] = 1.0 if bool(lost) else float(torch.tensor(turned).max())
    return found


def push_where_missing(case: Case) -> tuple[int, float, float] | None:
    """Missing labels, the largest gradient there, and the largest elsewhere; None without any."""
    one = case.of(scene)
    if not bool(one.known.all()):
        targets, known = one.targets, one.known
    else:
        shape = tuple(one.label.shape)
        masks = [
            at
            for at, x in leaves(one.targets)
            if x.dtype == torch.bool and tuple(x.shape) in (shape, shape[:1])
        ]
        if len(masks) != 1:
            return None
        gone = torch.rand_like(one.label) < 0.2
        known = one.known & ~gone
        targets = map_tensors(
            lambda at, x: x & known.reshape(x.shape) if at == masks[0] else x, one.targets
        )
    leaf = one.informed().requires_grad_()
    with torch.enable_grad():
        value = one.total.value(one.put(leaf), targets, one.inputs)
        if not value.requires_grad:
            return int((~known).sum()), 0.0, 0.0
        (push,) = torch.autograd.grad(value, leaf)
    return int((~known).sum()), _largest(push[~known]), _largest(push[known])


def hidden_nan(case: Case) -> tuple[float, float, str] | None:
    """The loss with one score that is not a number, without, and what it said if it refused.

    Of a row with a label, of all horizons if there is one; None without any.
    """
    one = case.of(scene)
    labels = one.known.sum(1)
    if not bool(labels.any()):
        return None
    score = one.informed()
    clean = float(one.value(one.total, score).detach())
    score[int(labels.argmax())] = torch.nan
    said = refused(lambda: one.value(one.total, score))
    value = math.nan if said else float(one.value(one.total, score).detach())
    return value, clean, said or ""


def growth(case: Case) -> tuple[int, Mapping[str, float]] | None:
    """Parts that each day is cut into, and how the gradient of the whole compares to theirs.

    Summed over the stocks; 1 for a mean, the number of parts for a sum. None where days are
    too small to be cut.
    """
    one = case.of(scene)
    if int(torch.bincount(one.group).min()) < CUTS * LEAST_STOCKS:
        return None
    place = _places(one.group)
    found = {}
    for part in one.parts:
        score = -2 * one.informed()
        whole = _mass(one.at_outputs(part, score))
        pieces = [_mass(one.at_outputs(part, score, place % CUTS == k)) for k in range(CUTS)]
        found[part.name] = CUTS * whole / sum(pieces) if sum(pieces) > 0 else math.nan
    return CUTS, found


def contrasts(case: Case) -> Mapping[str, float]:
    """How much less a forecast loses than the same upside down, of the loss, by part."""
    one, found = case.of(scene), {}
    label = torch.nan_to_num(one.centre(one.label)) / one.spread
    level = torch.nan_to_num(one.mean(torch.nan_to_num(one.label)))
    for part in one.parts:
        if part.term is not None and not part.term.rewards:
            continue
        least = -math.inf
        for scale in (one.unit, torch.ones_like(one.unit)):
            for around in (torch.zeros_like(level), level):
                good, bad = (
                    float(one.value(part, around + sign * scale * label).detach())
                    for sign in (1, -1)
                )
                size = abs(good) + abs(bad)
                least = max(least, (bad - good) / size if size > 0 else 0.0)
        found[part.name] = least
    return found


def best_constants(case: Case) -> tuple[Tensor, Tensor]:
    """Share of the class, and what probability the constant of the least loss stands for.

    Shape (horizons,) each; NaN where the loss of every constant is refused.
    """
    one = case.of(scene)
    probabilities = case.subject.probabilities
    if probabilities is None:
        raise ValueError("a share of the class needs `probabilities`")
    known, best = one.known, []
    for column in range(one.label.shape[1]):
        found = (math.inf, math.nan)
        for constant in GRID:
            # What the others are is as sound as a logit and as a probability.
            score = torch.full_like(one.label, 0.5)
            score[:, column] = constant
            outputs = one.put(score)
            if refused(lambda outputs=outputs: one.total.value(outputs, one.targets, one.inputs)):  # type: ignore[misc]
                continue
            loss = float(one.total.value(outputs, one.targets, one.inputs).detach())
            chance = float(as_columns(probabilities(outputs), of="probabilities")[0, column])
            found = min(found, (loss, chance))
        best.append(found[1])
    share = torch.where(known, one.label, 0.0).sum(0) / known.sum(0).clamp(min=1)
    return share.cpu(), torch.tensor(best)


def _constants(one: Scene) -> list[Tensor]:
    draw = torch.randn_like(one.label.nan_to_num()) * one.unit
    level = torch.where(one.known, one.label, 0.0).sum(0) / one.known.sum(0).clamp(min=1)
    flat = torch.zeros_like(draw)
    return [flat, flat + level, flat + 0.1, *(near * draw for near in NEARLY)]


def _places(group: Tensor) -> Tensor:
    """Place of each row among those of its group: (rows,)."""
    order = torch.argsort(group, stable=True)
    counts = torch.bincount(group)
    first = torch.cumsum(counts, 0) - counts
    place = torch.empty_like(group)
    place[order] = torch.arange(len(group), device=group.device) - first[group[order]]
    return place


def _mass(gradients: list[Tensor]) -> float:
    return sum(float(x.double().abs().sum()) for x in gradients)


def _largest(x: Tensor) -> float:
    return float(x.detach().abs().max()) if x.numel() else 0.0
