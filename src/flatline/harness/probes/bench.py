"""Where a subject's dependence is measured: its model in eval mode and rows to try it on."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from flatline.harness.case import Case
from flatline.harness.inputs import Input, Role, inputs_of
from flatline.harness.probes.edits import Rows
from flatline.harness.subject import Subject
from flatline.harness.trees import leaves, map_tensors

__all__ = ["Bench", "bench_of", "rows_from", "wake"]

FLOAT32 = torch.finfo(torch.float32).eps
# Roundings that a deep model may do to each number on its way to the scores.
ROUNDINGS = 64
# Rows that are tried: enough that no unit is silent on all of them.
FEWEST, MOST = 64, 256
# Batches among which one with two days is looked for.
LOOKED_THROUGH = 4


@dataclass(frozen=True, slots=True, eq=False)
class Bench:
    """A model in eval mode, and how its scores are read.

    Args:
        subject: Whose model.
        model: In float64 where its code allows it, so that rounding hides nothing.
        dtype: Of its weights and inputs.
    """

    subject: Subject
    model: nn.Module
    dtype: torch.dtype

    def score(self, rows: Rows) -> Tensor:
        """Scores in float64: (rows, horizons)."""
        return self.subject.score_of(self.outputs(rows.inputs)).double()

    def outputs(self, inputs: Any) -> Any:  # noqa: ANN401 (inputs are the subject's own)
        """What the model makes of inputs, floats given in its own type."""
        return self.subject.run(self.model, _as(inputs, self.dtype))

    @torch.no_grad()
    def read(self, rows: Rows) -> Tensor:
        """Scores without a gradient: (rows, horizons)."""
        return self.score(rows)

    def noise(self, rows: Rows, score: Tensor) -> Tensor:
        """How far rounding in float32 may move the scores: (horizons,).

        Measured: by how much the scores move where every input is off by one rounding,
        and one rounding of the scores themselves; times the roundings of a deep model.
        """
        nudged = {p.path for p in rows.parts if p.role in (Role.ROWS, Role.EDGE_ATTRIBUTES)}

        def nudge(path: str, x: Tensor) -> Tensor:
            return (
                x.double() * (1 + FLOAT32 * torch.randn_like(x.double())) if path in nudged else x
            )

        moved = self.read(replace(rows, inputs=map_tensors(nudge, rows.inputs))) - score
        once = torch.nan_to_num(moved).square().mean(0).sqrt()
        found: Tensor = ROUNDINGS * (once + FLOAT32 * score.square().mean(0).sqrt())
        return found

    def across(self, rows: Rows, kept: Tensor) -> float | None:
        """Largest gradient of kept rows' scores with respect to other rows' inputs.

        Args:
            rows: Some rows.
            kept: Those whose scores are looked at, bool. Shape (rows,).

        Returns:
            In units of that with respect to their own; None where there is none at all.
        """
        given: list[tuple[int, Tensor]] = []
        by_path = {part.path: part for part in rows.parts}

        def leaf(path: str, x: Tensor) -> Tensor:
            part = by_path[path]
            if part.role is not Role.ROWS:
                return x
            one = x.detach().to(self.dtype).clone().requires_grad_()
            given.append((part.axes.index("rows"), one))
            return one

        # In eval mode cuDNN's recurrent layers have no gradient.
        with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
            score = self.score(replace(rows, inputs=map_tensors(leaf, rows.inputs)))[kept]
            if not score.requires_grad:
                return None
            total = (score * torch.randn_like(score)).sum()
            slopes = torch.autograd.grad(total, [x for _, x in given], allow_unused=True)
        own = other = 0.0
        for (axis, _), slope in zip(given, slopes, strict=True):
            if slope is not None and slope.numel():
                size = slope.abs().movedim(axis, 0)
                own = max(own, float(size[kept].max()))
                other = max(other, float(size[~kept].max()))
        return other / own if own else None


def bench_of(case: Case, model: nn.Module, rows: Rows) -> Bench:
    """The model in eval mode, in float64 unless its own code insists on another type."""
    subject = case.subject
    narrow = Bench(subject, model.eval(), torch.float32)
    try:
        wide = Bench(subject, copy.deepcopy(model).double().eval(), torch.float64)
        found = wide.read(rows)
    except Exception:  # noqa: BLE001 (code that was written for float32 may raise anything)
        return narrow
    return wide if bool(torch.isfinite(found).all()) else narrow


def wake(model: nn.Module) -> nn.Module:
    """A copy of a model in which no branch sleeps: what is 0 at the start is moved off it.

    Which rows a model mixes is a matter of its structure. A gate that starts at 0 hides it.
    """
    awake = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in awake.parameters():
            if parameter.is_floating_point() and not bool(parameter.any()):
                parameter.normal_(std=0.1)
    return awake


def rows_from(case: Case, split: str, *, most: int = MOST) -> Rows:
    """The first days of a batch of a split: two at least where one has them, whole if short.

    Args:
        case: Whose batches.
        split: Which of them.
        most: Rows at most.
    """
    rows = _batch(case, split)
    ids, lengths = torch.unique(rows.day, return_counts=True)
    days = max(int((lengths.cumsum(0) < FEWEST).sum()) + 1, 2)
    first = ids[:days]
    # Of days with very many rows the first rows: a graph of some of a day's stocks is one too.
    room = most // first.numel() if int(lengths[:days].sum()) > most else rows.count
    picked = [(rows.day == day).nonzero().flatten()[:room] for day in first]
    index = torch.cat(picked).sort().values
    return rows if index.numel() == rows.count else rows.take(index)


def _batch(case: Case, split: str) -> Rows:
    subject, first = case.subject, None
    for inputs, targets in case.batches(split, LOOKED_THROUGH):
        day = subject.day_of(inputs)
        rows = Rows(inputs, _parts(subject, inputs), day, _answers(inputs, targets))
        if bool((day != day[0]).any()):
            return rows
        first = rows if first is None else first
    if first is None:
        raise ValueError("a split has a batch at least")
    return first


def _parts(subject: Subject, inputs: Any) -> tuple[Input, ...]:  # noqa: ANN401
    day = subject.day_of(inputs)
    tensors = dict(leaves(inputs))

    def holds_day(part: Input) -> bool:
        x = tensors[part.path]
        return part.role is Role.CATEGORY and x.shape == day.shape and bool((x == day.to(x)).all())

    parts = inputs_of(subject, inputs)
    return tuple(replace(part, role=Role.DAY) if holds_day(part) else part for part in parts)


def _answers(inputs: Any, targets: Any) -> frozenset[str]:  # noqa: ANN401
    """Inputs that hold the same numbers as a target."""
    known = [torch.nan_to_num(y.double().flatten()) for _, y in leaves(targets) if y.numel()]
    # One number over and over is no answer: masks and labels of a class often are.
    known = [y for y in known if bool((y != y[0]).any())]
    return frozenset(
        path
        for path, x in leaves(inputs)
        if any(
            x.numel() == y.numel() and torch.equal(torch.nan_to_num(x.double().flatten()), y)
            for y in known
        )
    )


def _as(inputs: Any, dtype: torch.dtype) -> Any:  # noqa: ANN401
    return map_tensors(lambda _, x: x.to(dtype) if x.is_floating_point() else x, inputs)
