"""By how much scores move with what they must not depend on: other rows, their order, targets."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from flatline.harness.case import Case
from flatline.harness.declared import Hears, hears_of
from flatline.harness.probes.bench import Bench, bench_of, rows_from, wake
from flatline.harness.probes.edits import Rows, half_of, without_edges
from flatline.harness.probes.passage import first_moved
from flatline.harness.trees import leaves, map_tensors

__all__ = [
    "Change", "composition", "later_days", "memory", "other_days", "other_rows", "row_order",
    "targets",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Change:
    """How far scores moved that must not move.

    Args:
        moved: Largest change of a score, of all horizons, in units of *noise*.
        size: The same in units of the scores' size.
        noise: How far rounding in float32 moves them, in units of their size.
        gradient: Gradient of the scores with respect to what they must not depend on, in
            units of that with respect to their own inputs; None where it was not asked for.
        module: Path of the first module whose output moves, where one was found.
        untried: Why nothing could be said, empty if something was.
    """

    moved: float = 0.0
    size: float = 0.0
    noise: float = 0.0
    gradient: float | None = None
    module: str | None = None
    untried: str = ""


class _Ground(NamedTuple):
    bench: Bench
    rows: Rows
    score: Tensor
    noise: Tensor
    hears: Hears

    def change(self, moved: Tensor, **more: object) -> Change:
        if not bool(torch.isfinite(self.score).all()):
            return Change(untried="the scores are no numbers")
        size = self.score.square().mean(0).sqrt().clamp(min=torch.finfo(torch.float64).tiny)
        largest = moved.abs().amax(0)
        return Change(
            moved=_most(largest / self.noise.clamp(min=torch.finfo(torch.float64).tiny)),
            size=_most(largest / size),
            noise=_most(self.noise / size),
            **more,  # type: ignore[arg-type]
        )


def ground(case: Case) -> _Ground:
    """A fresh model with every branch awake, and the scores of some rows."""
    rows = rows_from(case, "train")
    bench = bench_of(case, wake(case.model()), rows)
    score = bench.read(rows)
    if not bool(torch.isfinite(score).all()):
        # Some weight was 0 for a reason, such as a variance that must not be negative.
        bench = bench_of(case, case.model(), rows)
        score = bench.read(rows)
    # Twice after the same batch: what a model keeps from batch to batch is no noise.
    score = bench.read(rows)
    again = (bench.read(rows) - score).abs().amax(0)
    noise = torch.maximum(bench.noise(rows, score), again)
    return _Ground(bench, rows, score, noise, hears_of(case.subject, rows.parts))


def other_days(case: Case) -> Change:
    """Scores of some days, where the rows of the others have other values."""
    found = case.of(ground)
    if found.hears == "past":
        return Change(untried="each row hears those of the past")
    kept = _some_days(found.rows.day)
    if kept is None:
        return memory(case)
    return _where_others_change(found, kept)


def later_days(case: Case) -> Change:
    """Scores of the earlier days, where the rows of later ones have other values."""
    found = case.of(ground)
    day = found.rows.day
    kept = day <= day.sort().values[(day.numel() - 1) // 2]
    if bool(kept.all()):
        kept = day < day.max()
    if not bool(kept.any()):
        return Change(untried="each batch holds one day")
    return _where_others_change(found, kept)


def memory(case: Case) -> Change:
    """Scores of a batch, before and after another batch went through the model."""
    found = case.of(ground)
    other = rows_from(case, "valid")
    found.bench.read(other)
    return found.change(found.bench.read(found.rows) - found.score)


def composition(case: Case) -> Change:
    """Scores of some rows, where all others are taken out of the batch."""
    found = case.of(ground)
    day = found.rows.day
    kept = _some_days(day)
    if found.hears == "past":
        kept = day <= day.sort().values[(day.numel() - 1) // 2]
    elif found.hears == "none":
        kept = half_of(day.numel(), day.device)
    elif kept is None and found.hears == "edges":
        # Within a day, whoever is joined by no edge is a stranger.
        bare = without_edges(found.rows)
        found = found._replace(rows=bare, score=found.bench.read(bare))
        kept = half_of(day.numel(), day.device)
    if kept is None:
        return Change(untried="each batch holds one day, whose rows may hear each other")
    index = kept.nonzero().flatten()
    if index.numel() == day.numel():
        return Change(untried="there is one row only")
    change = found.change(found.bench.read(found.rows.take(index)) - found.score[index])
    if change.untried or change.moved <= 1.0:
        return change
    # Rows that are gone cannot be looked for in a module; those that are others can.
    others = found.rows.change(~kept)
    return replace(change, module=first_moved(found.bench, found.rows, others, kept))


def row_order(case: Case) -> Change:
    """Scores where rows come in another order within their day, and days in another order."""
    found = case.of(ground)
    if found.hears == "past":
        return Change(untried="each row hears those of the past, so their order matters")
    day = found.rows.day
    if day.numel() == 1:
        return Change(untried="there is one row only")
    index = torch.randperm(day.numel(), device=day.device)
    ids = torch.unique(day)
    turned = ids[torch.randperm(ids.numel(), device=day.device)]
    place = torch.argsort(turned)[torch.searchsorted(ids, day)]
    index = index[torch.argsort(place[index], stable=True)]
    return found.change(found.bench.read(found.rows.take(index)) - found.score[index])


def other_rows(case: Case) -> Change:
    """Scores of some rows, where those they are not to hear have other values.

    Along edges only: in a graph without edges, and across parts of the graph that no edge
    joins.
    """
    found = case.of(ground)
    rows = found.rows
    if found.hears in ("day", "past"):
        return Change(untried=f"rows may hear those of their {found.hears}")
    if rows.count == 1:
        return Change(untried="there is one row only")
    kept = half_of(rows.count, rows.day.device)
    if found.hears == "none":
        return _where_others_change(found, kept)
    bare = without_edges(rows)
    alone = found._replace(rows=bare, score=found.bench.read(bare))
    apart = _where_others_change(alone, kept)
    part = _component(rows)
    if part is None:
        return apart
    linked = _where_others_change(found, part)
    return max(apart, linked, key=lambda one: one.moved)


def targets(case: Case) -> Change:
    """Scores where the targets are others: those in memory, and any copy among the inputs."""
    subject = case.subject
    # One copy of both: memory that inputs and targets share is shared by the copies.
    inputs, held = copy.deepcopy(case.batch("train"))
    rows = rows_from(case, "train")
    whole = replace(rows, inputs=inputs, day=subject.day_of(inputs))
    found = case.of(ground)
    before = found.bench.read(whole)
    noise = found.bench.noise(whole, before)
    for _, x in leaves(held):
        # An expanded tensor has one number in many places, and cannot be written to.
        if x.is_floating_point() and 0 not in x.stride():
            x.copy_(_other(x))
    moved = found.bench.read(whole) - before

    def other(path: str, x: Tensor) -> Tensor:
        return _other(x) if path in rows.answers else x

    changed = replace(whole, inputs=map_tensors(other, whole.inputs))
    again = found.bench.read(changed) - before
    most = torch.maximum(moved.abs(), again.abs())
    return found._replace(score=before, noise=noise).change(most)


def _where_others_change(found: _Ground, kept: Tensor) -> Change:
    changed = found.rows.change(~kept)
    moved = (found.bench.read(changed) - found.score)[kept]
    change = found.change(moved, gradient=found.bench.across(found.rows, kept))
    if change.untried or change.moved <= 1.0:
        return change
    return replace(change, module=first_moved(found.bench, found.rows, changed, kept))


def _some_days(day: Tensor) -> Tensor | None:
    """Every second day, as a mask over rows; None where there is one day only."""
    ids, index = torch.unique(day, return_inverse=True)
    return None if ids.numel() < 2 else index % 2 == 0


def _component(rows: Rows) -> Tensor | None:
    """The rows that edges join to the first row, whatever way they point; None if that is all."""
    edges = rows.edges()
    if edges is None:
        return None
    reached = torch.zeros_like(rows.day, dtype=torch.bool)
    reached[0] = True
    for _ in range(rows.count):
        more = reached.clone()
        more[edges[1][reached[edges[0]]]] = True
        more[edges[0][reached[edges[1]]]] = True
        if torch.equal(more, reached):
            break
        reached = more
    return None if bool(reached.all()) else reached


def _other(x: Tensor) -> Tensor:
    """Those of one another, and noise; a single number for all rows has no other."""
    return (x.roll(1, 0) if x.ndim else x) + torch.randn_like(x)


def _most(x: Tensor) -> float:
    return float(torch.nan_to_num(x, nan=math.inf).max())
