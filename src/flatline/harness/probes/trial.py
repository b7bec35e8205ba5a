"""By how much every input, feature, step and edge moves the scores: by gradient, and by trying."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
from torch import Tensor

from flatline.harness.case import Case
from flatline.harness.declared import column_name, token_of
from flatline.harness.inputs import Input, Role
from flatline.harness.probes.bench import Bench, bench_of, rows_from
from flatline.harness.probes.edits import (
    Rows,
    another_graph,
    half_of,
    half_the_edges,
    traded,
    without_edges,
)
from flatline.harness.probes.influence import Influence, Influences, Part
from flatline.harness.probes.smoke import smoke
from flatline.harness.trees import map_tensors, read, write

__all__ = ["at_start", "changed", "influences", "once_trained"]

# Features and steps of one input that are tried one by one; of more, those whose gradient
# is the smallest.
TRIED = 64
# Rows that every trial takes: each is a pass of its own.
ROWS = 96


def at_start(case: Case) -> Influences:
    """The influence of all inputs on the scores of a fresh model."""
    rows = rows_from(case, "train", most=ROWS)
    return influences(bench_of(case, case.model(), rows), rows)


def once_trained(case: Case) -> Influences:
    """The same on the briefly trained model, on days that it was not trained on."""
    rows = rows_from(case, "valid", most=ROWS)
    return influences(bench_of(case, case.of(smoke).model, rows), rows)


def changed(rows: Rows, one: Influence) -> Rows:
    """The rows where that part of the inputs is another."""
    part = one.source
    if one.part is Part.EDGES:
        return another_graph(rows)
    if one.part is Part.NEIGHBOURS:
        return rows.change(half_of(rows.count, rows.day.device))
    x = read(rows.inputs, part.path)
    other = traded(x, part)
    if one.part in (Part.LEVEL, Part.SCALE):
        other = dict(_levels(x, part, part.axes.index("lookback")))[one.part]
    elif one.index is not None:
        axis = part.axes.index("features" if one.part is Part.FEATURE else "lookback")
        other = _one_of(x, other, axis, one.index)
    return replace(rows, inputs=write(rows.inputs, part.path, other))


def influences(bench: Bench, rows: Rows) -> Influences:
    """The influence of all inputs on a model's scores."""
    score = bench.read(rows)
    everything = _replaced(rows, lambda part, x: traded(x, part))
    whole = _size(bench.read(everything) - score)
    unit = torch.where(whole > 0, whole, torch.inf)

    def moved(changed: Rows) -> float:
        return float((_size(bench.read(changed) - score) / unit).max())

    gradients = _gradients(bench, rows)
    found: list[Influence] = []
    untried: list[tuple[str, str]] = []
    for part in rows.parts:
        reason = _untried(part, rows)
        if reason:
            untried.append((token_of(part), reason))
        elif part.role is Role.EDGES:
            graphs = (without_edges(rows), half_the_edges(rows), another_graph(rows))
            # A mean over no neighbours is no number: that has a verdict of its own.
            most = max((m for m in map(moved, graphs) if math.isfinite(m)), default=math.inf)
            found.append(Influence(token_of(part), Part.EDGES, part, None, most))
            found += _neighbours(bench, rows, part, score, unit)
        else:
            found += _of_input(bench, rows, part, moved, gradients.get(part.path))
    return Influences(tuple(found), tuple(untried), bool(torch.isfinite(score).all()))


def _of_input(
    bench: Bench,
    rows: Rows,
    part: Input,
    moved: Callable[[Rows], float],
    gradient: Tensor | None,
) -> Iterator[Influence]:
    x = read(rows.inputs, part.path)
    other = traded(x, part)

    def tried(value: Tensor) -> float:
        return moved(replace(rows, inputs=write(rows.inputs, part.path, value)))

    top = None if gradient is None else float(gradient.max())
    yield Influence(token_of(part), Part.INPUT, part, None, tried(other), top, _is_whole(x))
    for axis, kind in (("features", Part.FEATURE), ("lookback", Part.STEP)):
        at = part.axis(axis)
        if at is None or (kind is Part.STEP and _is_repeated(x, at)):
            continue
        steep = None if gradient is None else _along(gradient, at)
        for i in _weakest(steep, x.shape[at]):
            mixed = _one_of(x, other, at, i)
            token = _token(bench, part, kind, i)
            slope = None if steep is None else float(steep[i])
            whole = _is_whole(x.select(at, i))
            yield Influence(token, kind, part, i, tried(mixed), slope, whole)
    steps = part.axis("lookback")
    if steps is None or x.shape[steps] < 3 or _is_repeated(x, steps):
        return
    if x.is_floating_point():
        for kind, value in _levels(x, part, steps):
            token = f"{token_of(part)}~{kind}"
            yield Influence(token, kind, part, None, tried(value))


def _neighbours(
    bench: Bench, rows: Rows, part: Input, score: Tensor, unit: Tensor
) -> Iterator[Influence]:
    """The rows at the other end of an edge, where half of the rows are others."""
    edges, kept = rows.edges(), half_of(rows.count, rows.day.device)
    if edges is None:
        return
    joins = kept[edges[0]] != kept[edges[1]]
    hears = torch.zeros_like(kept)
    hears[edges[:, joins].flatten()] = True
    if not bool((hears & kept).any()):
        return
    change = (bench.read(rows.change(~kept)) - score)[hears & kept]
    moved = float((_size(change) / unit).max())
    yield Influence("neighbours", Part.NEIGHBOURS, part, None, moved, bench.across(rows, kept))


def _levels(x: Tensor, part: Input, steps: int) -> Iterator[tuple[Part, Tensor]]:
    """Every window on another level, and every window's spread around it another one."""
    level = x.mean(steps, keepdim=True)
    size = x.std(steps, keepdim=True, correction=0).mean(
        [i for i in range(x.ndim) if part.axes[i] != "features"], keepdim=True
    )
    shape = [n if part.axes[i] in ("rows", "features") else 1 for i, n in enumerate(x.shape)]
    yield Part.LEVEL, x + size * torch.randn(shape, dtype=x.dtype, device=x.device)
    factor = torch.rand(shape, dtype=x.dtype, device=x.device) + 0.5
    yield Part.SCALE, level + factor * (x - level)


def _gradients(bench: Bench, rows: Rows) -> dict[str, Tensor]:
    """Size of the scores' gradient with respect to every float input, spread by spread.

    Horizons and rows are added up with random signs, so that none cancels another.
    Where the graph does not reach an input, its gradient is 0.
    """
    wanted = {p.path for p in rows.parts if p.role in (Role.ROWS, Role.EDGE_ATTRIBUTES)}
    given: dict[str, Tensor] = {}

    def leaf(path: str, x: Tensor) -> Tensor:
        if path not in wanted or not x.is_floating_point():
            return x
        given[path] = x.detach().to(bench.dtype).clone().requires_grad_()
        return given[path]

    # In eval mode cuDNN's recurrent layers have no gradient.
    with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
        score = bench.score(replace(rows, inputs=map_tensors(leaf, rows.inputs)))
        if not score.requires_grad:
            return {path: torch.zeros_like(x) for path, x in given.items()}
        total = (score * torch.randn_like(score)).sum()
        found = torch.autograd.grad(total, list(given.values()), allow_unused=True)
    return {
        path: torch.zeros_like(x) if slope is None else slope.abs()
        for (path, x), slope in zip(given.items(), found, strict=True)
    }


def _untried(part: Input, rows: Rows) -> str:
    x = read(rows.inputs, part.path)
    if part.path in rows.answers:
        return "it holds the targets"
    if part.role in (Role.DAY, Role.OTHER):
        return f"it is the {part.role}" if part.role is Role.DAY else "it has no axis of rows"
    if x.numel() == 0:
        return "it is empty"
    if part.role in (Role.CATEGORY, Role.MASK) and bool((x == x.flatten()[0]).all()):
        return "it has one value only"
    return ""


def _replaced(rows: Rows, change: Callable[[Input, Tensor], Tensor]) -> Rows:
    by_path = {part.path: part for part in rows.parts}

    def changed(path: str, x: Tensor) -> Tensor:
        part = by_path[path]
        tried = part.role in (Role.ROWS, Role.CATEGORY, Role.MASK)
        return change(part, x) if tried else x

    return replace(rows, inputs=map_tensors(changed, rows.inputs))


def _one_of(x: Tensor, other: Tensor, axis: int, index: int) -> Tensor:
    mixed = x.clone()
    mixed.select(axis, index).copy_(other.select(axis, index))
    return mixed


def _along(gradient: Tensor, axis: int) -> Tensor:
    found: Tensor = gradient.movedim(axis, 0).flatten(1).amax(1)
    return found


def _weakest(steep: Tensor | None, count: int) -> list[int]:
    if count <= TRIED:
        return list(range(count))
    if steep is None:
        return list(range(TRIED))
    return sorted(steep.argsort()[:TRIED].tolist())


def _token(bench: Bench, part: Input, kind: Part, index: int) -> str:
    if kind is Part.STEP:
        return token_of(part, step=index)
    return token_of(part, column=column_name(part, index, bench.subject.columns))


def _is_repeated(x: Tensor, steps: int) -> bool:
    """Whether any one step tells all that the others do."""
    return bool((x == x.narrow(steps, 0, 1)).all())


def _is_whole(x: Tensor) -> bool:
    return not x.is_floating_point() or bool((x == x.round()).all())


def _size(change: Tensor) -> Tensor:
    # A score that is no number any more has moved as far as can be.
    return torch.nan_to_num(change, nan=torch.inf).square().mean(0).sqrt()
