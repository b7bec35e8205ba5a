"""Learning by heart: a few rows with labels dealt out at random, and what that says of others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from flatline.harness.case import Case
from flatline.harness.declared import ROOT_NAME, column_name
from flatline.harness.inputs import Input, Role, inputs_of
from flatline.harness.permutation import agreement, shuffle
from flatline.harness.probes.scoring import forward
from flatline.harness.probes.smoke import train
from flatline.harness.probes.targets import LabelPlace
from flatline.harness.statistics import Estimate
from flatline.harness.subject import Subject
from flatline.harness.trees import map_tensors, read, write
from flatline.metrics.blocks import DayBlocks
from flatline.metrics.variance import within_day

__all__ = ["FEWEST", "Memory", "first_rows", "memory"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Rows to learn by heart, at most and at least.
ROWS, FEWEST = 64, 32
# Steps to do it in; as long as one look finds more learned than the looks before, more of them.
STEPS, MOST_STEPS, LOOK = 100, 1000, 25
# Rows that were not learned on which the scores are held against labels dealt out at random.
OTHERS = 3000
# So many times its error a correlation is no more in doubt.
BEYOND_DOUBT = 6.0
# By so much a correlation has to grow from look to look for the learning to go on.
MORE = 0.002
# A column that correlates this closely with the labels of so many rows holds them.
SAME, ENOUGH = 0.9999, 8


@dataclass(frozen=True, slots=True, eq=False)
class Memory:
    """What a model learned by heart.

    Args:
        learned: Agreement of the scores with the labels of the rows that were learned; None
            where these do not differ, NaN where the scores do not.
        others: The same on other rows, whose labels were dealt out at random too.
        rows: How many rows were learned.
        weights: Numbers that the training could change.
        steps: Optimizer steps taken.
        leaks: Columns of the inputs that hold the labels.
    """

    learned: Estimate | None
    others: Estimate | None
    rows: int
    weights: int
    steps: int
    leaks: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class _Dealt:
    inputs: Any
    targets: Any
    label: Floats
    group: Ints
    leaks: tuple[str, ...]


def memory(case: Case) -> Memory:
    """Train a fresh model on a few rows of one batch, their labels dealt out at random.

    A day's labels change place among its rows, so that nothing in the inputs tells them but the
    rows' own oddities. Where a column of the inputs holds the labels, it changes place with them.

    Raises:
        ShapeError: The labels cannot be found among the targets.
    """
    subject, model = case.subject, case.model()
    inputs, targets = first_rows(subject, *case.batch(), ROWS)
    with torch.no_grad():
        score = subject.score_of(forward(subject, model, inputs, case.place))
    place = LabelPlace.find(subject, targets, score)
    draw = np.random.default_rng(case.seed_of("memory"))
    batch = _dealt(place, inputs, targets, draw)
    weights = sum(p.numel() for p in model.parameters() if p.requires_grad)
    taken, best = STEPS, -np.inf

    def enough(steps: int) -> bool:
        nonlocal taken, best
        if steps % LOOK:
            return False
        learned, taken = _agree(case, model, [batch]), steps
        if learned is None or learned.value > BEYOND_DOUBT * learned.error:
            return True
        more = learned.value > best + MORE
        best = max(best, learned.value)
        return steps >= STEPS and not more

    if min(weights, len(batch.group)) >= FEWEST:
        train(
            case,
            model,
            steps=MOST_STEPS if subject.fit is None else STEPS,
            batches=lambda _: iter([(batch.inputs, batch.targets)]),
            until=enough,
        )
    others = list(_others(case, place, draw))
    return Memory(
        learned=_agree(case, model, [batch]),
        others=_agree(case, model, others),
        rows=len(batch.group),
        weights=weights,
        steps=taken,
        leaks=tuple(dict.fromkeys(leak for one in (batch, *others) for leak in one.leaks)),
    )


def first_rows(
    subject: Subject,
    inputs: Any,  # noqa: ANN401 (the subject's own)
    targets: Any,  # noqa: ANN401
    count: int,
) -> tuple[Any, Any]:
    """The first *count* rows of a batch, days in order, and the edges between them.

    The whole batch where an input is not known by its rows.
    """
    parts = inputs_of(subject, inputs)
    day = subject.day_of(inputs)
    if len(day) <= count or any(part.role == Role.OTHER for part in parts):
        return inputs, targets
    kept = torch.argsort(day, stable=True)[:count]
    place = torch.full((len(day),), -1, device=day.device).index_copy(
        0, kept, torch.arange(count, device=day.device)
    )
    edges = [read(inputs, part.path) for part in parts if part.role == Role.EDGES]
    within = [(place[e] >= 0).all(0) for e in edges]

    def cut(part: Input, x: Tensor) -> Tensor:
        if part.role == Role.EDGES:
            return place[x[:, within[0]]]
        if part.role == Role.EDGE_ATTRIBUTES:
            return x[within[0].nonzero().ravel()]
        return x.index_select(part.axes.index("rows"), kept)

    of_path = {part.path: part for part in parts}
    rows = len(day)
    return (
        map_tensors(lambda path, x: cut(of_path[path], x), inputs),
        map_tensors(lambda _, x: x[kept] if x.ndim and len(x) == rows else x, targets),
    )


def _others(case: Case, place: LabelPlace, draw: np.random.Generator) -> Iterator[_Dealt]:
    rows = 0
    for inputs, targets in case.batches("valid"):
        yield (batch := _dealt(place, inputs, targets, draw))
        rows += len(batch.group)
        if rows >= OTHERS:
            return


def _dealt(
    place: LabelPlace,
    inputs: Any,  # noqa: ANN401
    targets: Any,  # noqa: ANN401
    draw: np.random.Generator,
) -> _Dealt:
    subject = place.subject
    group = subject.group_of(inputs).cpu().numpy()
    labels = place.labels(targets, len(group))
    # Rows that lack one of their labels keep the others.
    whole = np.flatnonzero(torch.isfinite(labels).all(1).cpu().numpy())
    order = np.arange(len(group))
    order[whole] = whole[shuffle(group[whole], draw)]
    inputs, leaks = _dealt_along(subject, inputs, labels, whole, order)
    targets, label = place.put(targets, len(group), lambda own: own[order])
    kept = np.full_like(label, np.nan)
    of_class = subject.class_of(torch.from_numpy(label)).numpy()
    kept[whole] = (label if subject.probabilities is None else of_class)[whole]
    return _Dealt(inputs, targets, kept, group, tuple(leaks))


def _dealt_along(
    subject: Subject,
    inputs: Any,  # noqa: ANN401
    labels: Tensor,
    whole: Ints,
    order: Ints,
) -> tuple[Any, list[str]]:
    """Inputs whose columns that hold the labels change place with them, and those columns."""
    leaks: list[str] = []
    for part in inputs_of(subject, inputs):
        if part.role != Role.ROWS or part.axes[0] != "rows":
            continue
        x = read(inputs, part.path)
        held = _holding(x, labels, whole)
        if len(held):
            flat = x.reshape(len(x), -1).clone()
            flat[:, held] = flat[torch.from_numpy(order).to(x.device)][:, held]
            inputs = write(inputs, part.path, flat.reshape(x.shape))
            features = x.shape[-1] if x.ndim > 1 else 1
            names = {column_name(part, int(k) % features, subject.columns) for k in held}
            leaks += [f"{part.path or ROOT_NAME}:{name}" for name in sorted(names)]
    return inputs, leaks


def _holding(x: Tensor, labels: Tensor, whole: Ints) -> Ints:
    """Columns of an input that hold a column of the labels, whatever their unit."""
    a = x.reshape(len(x), -1).double().cpu().numpy()[whole]
    b = labels.double().cpu().numpy()[whole]
    if len(whole) < ENOUGH:
        return np.zeros(0, np.int64)
    a, b = a - a.mean(0), b - b.mean(0)
    with np.errstate(divide="ignore", invalid="ignore"):
        together = (a.T @ b) / np.sqrt((a**2).sum(0)[:, None] * (b**2).sum(0))
    return np.flatnonzero((np.abs(np.nan_to_num(together)) > SAME).any(1))


@torch.no_grad()
def _agree(case: Case, model: nn.Module, batches: list[_Dealt]) -> Estimate | None:
    """Of the scores with the labels that were dealt out, on rows with all of theirs."""
    model.eval()
    scores = [
        case.subject.score_of(forward(case.subject, model, one.inputs, case.place))
        for one in batches
    ]
    score = torch.cat(scores).double().cpu().numpy()
    label = np.concatenate([one.label for one in batches])
    first = np.cumsum([0, *(int(one.group.max()) + 1 for one in batches[:-1])])
    group = np.concatenate([one.group + at for at, one in zip(first, batches, strict=True)])
    known = np.isfinite(label).all(1)
    if not known.any():
        return None
    score, label, group = score[known], label[known], group[known]
    # A class may not come up in a few rows: of such a column nothing can be learned.
    told = np.abs(within_day(label.T, DayBlocks.of(group))).max(1) > 0
    if not told.any():
        return None
    return agreement(score[:, told], label[:, told], group)
