"""Planted targets: one short training on targets that are a known function of the inputs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from flatline.harness.case import Case
from flatline.harness.declared import ROOT_NAME
from flatline.harness.permutation import agreement, deal
from flatline.harness.probes.pathways import Kind, Pathway, Planting, heard, pathways_of, plant
from flatline.harness.probes.scoring import forward
from flatline.harness.probes.smoke import train
from flatline.harness.probes.targets import LabelPlace
from flatline.harness.statistics import Estimate
from flatline.metrics.blocks import DayBlocks
from flatline.metrics.variance import within_day

__all__ = ["Planted", "Reached", "overheard", "planted"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Steps for a sum of which some came through already and the rest may be drowned; for what does not
# come through; at most, as long as more comes through from look to look; and between two looks.
SUM_STEPS, STEPS, MOST_STEPS, LOOK = 100, 200, 600, 25
# So many times its error a correlation is no more in doubt.
BEYOND_DOUBT = 10.0
# Within so many of them it may have been drowned by others.
DROWNED = 6.0
# A correlation with the whole of what was planted at which there is little left to learn.
MOST_OF_IT = 0.8
# By so many errors of a glance it has to grow for the training to go on.
MORE = 2.0
# Rows on which the trained model is scored: chance makes 0.013 of a correlation on as many. A
# quarter of them will do to see whether it may stop.
ROWS, GLANCE = 6000, 1500


@dataclass(frozen=True, slots=True, eq=False)
class Reached:
    """How much of what was planted in one pathway came through to the scores.

    Args:
        kind: What of the input.
        path: The input.
        name: What to call it.
        correlation: Of the scores with what was planted, within groups, NaN where undefined.
            Shape (horizons,).
        error: Its spread for a model that does not look there. Shape (horizons,).
    """

    kind: Kind
    path: str
    name: str
    correlation: Floats
    error: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Planted:
    """What a model learned of planted targets.

    Args:
        reached: One per pathway.
        score: On rows that it was not trained on. Shape (rows, horizons).
        label: What was planted there, NaN where not known. Shape (rows, horizons).
        order: What the labels were dealt out by. Shape (rows,).
        group: Which rows are compared. Shape (rows,).
        steps: Optimizer steps taken.
    """

    reached: tuple[Reached, ...]
    score: Floats
    label: Floats
    order: Floats
    group: Ints
    steps: int

    @property
    def share(self) -> Floats:
        """Correlation within groups of the scores with all that was planted: (horizons,)."""
        order = self.order[:, None]
        found = [agreement(s[:, None], order, self.group).value for s in self.score.T]
        return np.array(found)


@dataclass(frozen=True, slots=True, eq=False)
class _Batch:
    inputs: Any
    targets: Any
    label: Floats
    order: Floats
    group: Ints
    plantings: Sequence[Planting]


def planted(case: Case) -> Planted:
    """Train a fresh model on planted targets, and see what of them its scores follow.

    The target is a sum over pathways: a feature at the newest step, one at an earlier step, the
    level of one, an attribute, a feature of the neighbours. Each batch keeps its own labels, dealt
    out anew in the order of that sum: to the loss they look as they always do. What does not come
    through in the sum is given another training without the rest, which may have drowned it.

    Raises:
        ShapeError: The labels cannot be found among the targets.
    """
    subject = case.subject
    inputs, targets = case.batch()
    pathways = pathways_of(subject, inputs)
    if not pathways:
        nothing = np.zeros((0, 0))
        return Planted((), nothing, nothing, np.zeros(0), np.zeros(0, np.int64), 0)
    with torch.no_grad():
        score = subject.score_of(forward(subject, case.model(), inputs, case.place))
    place = LabelPlace.find(subject, targets, score)
    found = _train(case, place, pathways)
    reached, left, steps = list(found.reached), list(range(len(pathways))), found.steps
    # Each round takes one out at least; where none came through, nothing was drowned.
    while 0 < len(drowned := _drowned(reached, left)) < len(left):
        alone = _train(case, place, [pathways[k] for k in drowned])
        for k, one in zip(drowned, alone.reached, strict=True):
            reached[k] = one
        left, steps = drowned, steps + alone.steps
    return replace(found, reached=tuple(reached), steps=steps)


def _drowned(reached: Sequence[Reached], left: Sequence[int]) -> list[int]:
    """Those that are *left* and did not come through."""
    # How far a model looks back is its own matter, not that of each of its inputs.
    back = any(_errors(one) > DROWNED for one in reached if one.kind == Kind.EARLIER)
    return [
        k
        for k in left
        if _errors(reached[k]) <= DROWNED and not (back and reached[k].kind == Kind.EARLIER)
    ]


def _train(case: Case, place: LabelPlace, pathways: Sequence[Pathway]) -> Planted:
    """What a fresh model learns of these pathways, in no more steps than it takes."""
    model, taken, best = case.model(), STEPS, -np.inf
    draw = np.random.default_rng(case.seed_of("planted"))

    def batches(split: str) -> Iterator[_Batch]:
        for own, happened in case.batches(split):
            yield _planted(place, own, happened, pathways, draw)

    def enough(steps: int) -> bool:
        nonlocal taken, best
        if steps % LOOK:
            return False
        taken = steps
        seen = _measure(case, model, pathways, batches, steps, rows=GLANCE)
        least = np.array([_errors(one) for one in seen.reached])
        through = least > BEYOND_DOUBT * np.sqrt(GLANCE / ROWS)
        if (through.all() and seen.share.min() > MOST_OF_IT) or (
            steps >= SUM_STEPS and through.any()
        ):
            return True
        more, best = bool(least.max() > best + MORE), max(best, float(least.max()))
        return steps >= STEPS and not more

    train(
        case,
        model,
        steps=MOST_STEPS if case.subject.fit is None else STEPS,
        batches=lambda split: ((one.inputs, one.targets) for one in batches(split)),
        until=enough,
    )
    return _measure(case, model, pathways, batches, taken)


def _errors(one: Reached) -> float:
    """The least correlation over the horizons, in units of its error; undefined is none."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.nan_to_num(one.correlation / one.error, nan=-np.inf).min())


def _planted(
    place: LabelPlace,
    inputs: Any,  # noqa: ANN401 (the subject's own)
    targets: Any,  # noqa: ANN401
    pathways: Sequence[Pathway],
    draw: np.random.Generator,
) -> _Batch:
    ids = place.subject.group_of(inputs).cpu().numpy()
    inputs, plantings = plant(place.subject, inputs, pathways, draw)
    shares = [pathway.weight for pathway in pathways]
    order = np.average([one.value for one in plantings], axis=0, weights=shares)
    targets, label = place.put(targets, len(ids), lambda own: deal(own, order, ids))
    return _Batch(inputs, targets, label, order, ids, plantings)


@torch.no_grad()
def _measure(
    case: Case,
    model: nn.Module,
    pathways: Sequence[Pathway],
    batches: Callable[[str], Iterator[_Batch]],
    steps: int,
    *,
    rows: int = ROWS,
) -> Planted:
    """Scores on so many held-out rows, planted anew each time they come round."""
    model.eval()
    seen: list[tuple[Floats, _Batch]] = []
    while rows > 0:
        for batch in batches("valid"):
            outputs = forward(case.subject, model, batch.inputs, case.place)
            seen.append((case.subject.score_of(outputs).double().cpu().numpy(), batch))
            rows -= len(batch.group)
            if rows <= 0:
                break
    # The same day planted twice is two groups: each was dealt out by itself.
    first = np.cumsum([0, *(int(batch.group.max()) + 1 for _, batch in seen[:-1])])
    group = np.concatenate([b.group + at for at, (_, b) in zip(first, seen, strict=True)])
    score = np.concatenate([found for found, _ in seen])
    return Planted(
        tuple(
            _reached(pathway, score, group, [b.plantings[k] for _, b in seen])
            for k, pathway in enumerate(pathways)
        ),
        score=score,
        label=np.concatenate([batch.label for _, batch in seen]),
        order=np.concatenate([batch.order for _, batch in seen]),
        group=group,
        steps=steps,
    )


def _reached(
    pathway: Pathway, score: Floats, group: Ints, plantings: Sequence[Planting]
) -> Reached:
    value = np.concatenate([one.value for one in plantings])
    if pathway.edges is None:
        found = [agreement(s[:, None], value[:, None], group) for s in score.T]
    else:
        found = [overheard(s, group, value, plantings) for s in score.T]
    return Reached(
        pathway.kind,
        pathway.part.path or ROOT_NAME,
        pathway.name,
        np.array([one.value for one in found]),
        np.array([one.error for one in found]),
    )


def overheard(score: Floats, group: Ints, value: Floats, plantings: Sequence[Planting]) -> Estimate:
    """The correlation with what was heard from neighbours, the row's own channel taken out.

    Rows that share neighbours hear much the same. What the scores weigh each source's channel
    with is worked out instead, and it is the channel that chance deals out.
    """
    blocks = DayBlocks.of(group)
    channel = np.concatenate([one.channel for one in plantings])
    s, x, u = within_day(np.stack([score, channel, value]), blocks)
    s = s - x * (s @ x) / max(x @ x, np.finfo(float).tiny)
    ends = np.cumsum([len(one.channel) for one in plantings])
    weights = np.concatenate(
        [
            one.gain * heard(part, one.edges, back=True)
            for one, part in zip(plantings, np.split(s, ends[:-1]), strict=True)
        ]
    )
    found = agreement(weights[:, None], channel[:, None], group)
    w = within_day(weights[None], blocks)[0]
    size = np.sqrt((s @ s) * (u @ u))
    scale = float(np.sqrt((w @ w) * (x @ x)) / size) if size > 0 else np.nan
    return Estimate(found.value * scale, found.error * scale, found.free)
