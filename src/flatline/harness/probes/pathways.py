"""Pathways through a model: what of its inputs a target is planted in, and how."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from flatline.harness.declared import ROOT_NAME, Declared, column_name
from flatline.harness.inputs import Input, Role, inputs_of
from flatline.harness.permutation import normal_scores, shuffle
from flatline.harness.subject import Subject
from flatline.harness.trees import read, write

__all__ = ["Kind", "Pathway", "Planting", "heard", "pathways_of", "plant"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Planted targets share one training: more of them would drown each other.
MOST = 8
# A column with fewer distinct values than half of the rows is taken only where there is no other.
DISTINCT = 0.5
# Axes of an input that a target can be planted in, laid out in this order.
CUBE = ("rows", "lookback", "features")


class Kind(StrEnum):
    """What of an input a planted target hangs on."""

    NEWEST = "newest step"
    EARLIER = "earlier step"
    LEVEL = "level"
    ROW = "row"
    NEIGHBOURS = "neighbours"


# Shares in the planted target: what a model finds late gets more of it.
WEIGHTS = {
    Kind.NEWEST: 1.0,
    Kind.EARLIER: 1.6,
    Kind.LEVEL: 0.8,
    Kind.ROW: 0.8,
    Kind.NEIGHBOURS: 1.6,
}


@dataclass(frozen=True, slots=True)
class Pathway:
    """One thing that the planted target hangs on.

    Args:
        kind: What of the input.
        part: The input.
        column: Which of its features; 0 where it has one value per row.
        name: What to call it in a message.
        step: Of the lookback; 0 without.
        edges: Path of the edges, for neighbours; None for what is of the row itself.
        carrier: The pathway whose feature is heard from neighbours; None for what is of the row.
    """

    kind: Kind
    part: Input
    column: int
    name: str
    step: int = 0
    edges: str | None = None
    carrier: Pathway | None = None

    @property
    def weight(self) -> float:
        """Its share in the planted target."""
        return WEIGHTS[self.kind]


@dataclass(frozen=True, slots=True, eq=False)
class Planting:
    """What one pathway carries in one batch.

    Args:
        value: Its part of the planted target, of spread 1. Shape (rows,).
        channel: What was dealt out anew among the rows of each group; the value itself, but
            where that is heard from neighbours. Shape (rows,).
        edges: Sources and targets along which the channel is heard, none otherwise.
            Shape (2, edges).
        gain: Factor on what is heard, to a spread of 1.
    """

    value: Floats
    channel: Floats
    edges: Ints
    gain: float = 1.0


def pathways_of(subject: Subject, inputs: Any) -> tuple[Pathway, ...]:  # noqa: ANN401 (the subject's own)
    """What a target can be planted in, of one batch's inputs, but for what may not matter.

    Of every input that holds numbers of the rows: a feature at the newest step, one at an
    earlier step and the level of one over the lookback, or, without a lookback, one of its
    features; and, where there are edges, a feature of the neighbours.
    """
    parts = inputs_of(subject, inputs)
    declared = Declared.of(subject.insensitive_to, parts, columns=subject.columns)
    group = subject.group_of(inputs).cpu().numpy()
    found: list[Pathway] = []
    for part in parts:
        if part.role == Role.ROWS and set(part.axes) <= set(CUBE) and not declared.whole(part):
            found += _of_rows(subject, part, read(inputs, part.path), group, declared)
    edges = [p for p in parts if p.role == Role.EDGES and not declared.whole(p)]
    own = [p for p in found if p.kind == Kind.NEWEST] or [p for p in found if p.kind == Kind.ROW]
    if edges and own:
        name = f"{own[0].name} of the neighbours"
        around = replace(own[0], kind=Kind.NEIGHBOURS, name=name)
        found.append(replace(around, edges=edges[0].path, carrier=own[0]))
    # The graph is one of them however many inputs there are.
    return tuple(found if len(found) <= MOST else [*found[: MOST - 1], found[-1]])


def _of_rows(
    subject: Subject, part: Input, x: Tensor, group: Ints, declared: Declared
) -> Iterator[Pathway]:
    """Pathways of one input."""
    cube = _cube(x, part).double().cpu().numpy()
    newest = cube.shape[1] - 1
    columns = [k for k in _best(cube[:, newest], group) if not declared.feature(part, k)]
    if not columns:
        return

    def chosen(k: int, what: str) -> dict[str, Any]:
        column = columns[k % len(columns)]
        called = column_name(part, column, subject.columns)
        return {"column": column, "name": f"{part.path or ROOT_NAME}:{called}{what}"}

    if "lookback" not in part.axes:
        yield Pathway(Kind.ROW, part, **chosen(0, ""))
        return
    steps = [t for t in range(newest + 1) if not declared.step(part, t)]
    if newest in steps:
        yield Pathway(Kind.NEWEST, part, **chosen(0, f"@{newest}"), step=newest)
    earlier = [t for t in steps if t <= newest - max(1, (newest + 1) // 4)]
    if earlier:
        yield Pathway(Kind.EARLIER, part, **chosen(1, f"@{earlier[-1]}"), step=earlier[-1])
    level = chosen(2, "~level")
    if not declared.aspect(part, "level", level["column"]):
        yield Pathway(Kind.LEVEL, part, **level)


def _best(x: Floats, group: Ints) -> list[int]:
    """Columns that tell rows of a group apart, those nearest to evenly spread first."""
    apart = np.array([normal_scores(column, group).std() for column in x.T])
    distinct = np.array([np.unique(column).size for column in x.T])
    away = x - x.mean(0)
    with np.errstate(divide="ignore", invalid="ignore"):
        peaked = np.nan_to_num((away**4).mean(0) / (away**2).mean(0) ** 2, nan=np.inf)
    order = np.lexsort((peaked, distinct < DISTINCT * len(x)))
    return [int(k) for k in order if apart[k] > 0 and np.isfinite(x[:, k]).all()]


def plant(
    subject: Subject,
    inputs: Any,  # noqa: ANN401
    pathways: Sequence[Pathway],
    draw: np.random.Generator,
) -> tuple[Any, list[Planting]]:
    """Inputs in which what each pathway hangs on is dealt out anew among the rows of a group.

    So it has the same values as before, and nothing else in the inputs tells them: whatever
    scores have to do with it came through this pathway, and in no other way.

    Returns:
        The inputs, and what each pathway carries.
    """
    group = subject.group_of(inputs).cpu().numpy()
    channels: dict[Pathway, Floats] = {}
    # Whole windows first: single steps of them are dealt out on top.
    carriers = dict.fromkeys(pathway.carrier or pathway for pathway in pathways)
    for pathway in sorted(carriers, key=lambda p: p.kind not in {Kind.LEVEL, Kind.ROW}):
        inputs, channels[pathway] = _deal_out(inputs, pathway, group, draw)
    found = []
    for pathway in pathways:
        if pathway.edges is None or pathway.carrier is None:
            found.append(Planting(channels[pathway], channels[pathway], np.zeros((2, 0), int)))
        else:
            edges = read(inputs, pathway.edges).cpu().numpy()
            own = channels[pathway.carrier]
            around = heard(own, edges)
            gain = 1 / around.std() if around.any() else 0.0
            found.append(Planting(gain * around, own, edges, gain))
    return inputs, found


def heard(x: Floats, edges: Ints, *, back: bool = False) -> Floats:
    """Mean over the sources of each row's edges but itself, 0 without; the transpose of it *back*.

    Args:
        x: Shape (rows,).
        edges: Sources and targets. Shape (2, edges).
        back: Give each source its share of the targets' values instead.

    Example:
        >>> edges = np.array([[1, 2, 0], [0, 0, 0]])
        >>> heard(np.array([5.0, 1.0, 3.0]), edges)
        array([2., 0., 0.])
        >>> heard(np.array([5.0, 1.0, 3.0]), edges, back=True)
        array([0. , 2.5, 2.5])
    """
    source, target = edges[:, edges[0] != edges[1]]
    count = np.maximum(np.bincount(target, minlength=len(x)), 1)
    if back:
        return np.bincount(source, (x / count)[target], minlength=len(x)).astype(np.float64)
    return np.asarray(np.bincount(target, x[source], minlength=len(x)) / count)


def _deal_out(
    inputs: Any,  # noqa: ANN401
    pathway: Pathway,
    group: Ints,
    draw: np.random.Generator,
) -> tuple[Any, Floats]:
    part, k, t = pathway.part, pathway.column, pathway.step
    cube = _cube(read(inputs, part.path), part).clone()
    order = torch.from_numpy(shuffle(group, draw)).to(cube.device)
    match pathway.kind:
        case Kind.LEVEL:
            cube[:, :, k] = cube[order][:, :, k]
            value = cube[:, :, k].double().mean(1)
        case Kind.ROW:
            cube = cube[order]
            value = cube[:, 0, k]
        case _:
            cube[:, t, k] = cube[order][:, t, k]
            value = cube[:, t, k]
    channel = _unit(normal_scores(value.double().cpu().numpy(), group))
    return write(inputs, part.path, _uncube(cube, part)), channel


def _unit(x: Floats) -> Floats:
    spread = x.std()
    return x / spread if spread > 0 else x


def _cube(x: Tensor, part: Input) -> Tensor:
    """Rows, steps and features; one step and one feature where there is no such axis."""
    held = [part.axes.index(name) for name in CUBE if name in part.axes]
    shape = [x.shape[part.axes.index(name)] if name in part.axes else 1 for name in CUBE]
    return x.permute(held).reshape(shape)


def _uncube(cube: Tensor, part: Input) -> Tensor:
    held = [part.axes.index(name) for name in CUBE if name in part.axes]
    x = cube.reshape([cube.shape[i] for i, name in enumerate(CUBE) if name in part.axes])
    return x.permute(np.argsort(held).tolist())
