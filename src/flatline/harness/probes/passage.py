"""How far a change of the inputs comes: the modules whose output it moves, in order."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from flatline.harness.probes.bench import Bench
from flatline.harness.probes.edits import Rows
from flatline.harness.trees import leaves

__all__ = ["first_moved", "last_moved"]

Outputs = list[tuple[str, list[Tensor]]]

# Of a module's output, relative to its size: what is below is rounding of float32.
FLOOR = 1e-6


def last_moved(bench: Bench, before: Rows, after: Rows) -> tuple[str | None, str | None]:
    """The last module in order of execution that a change reaches, and the first behind it.

    Returns:
        Paths of both; None where no module is reached, or none is behind.
    """
    first, second = _outputs(bench, before), _outputs(bench, after)
    if [path for path, _ in first] != [path for path, _ in second]:
        return None, None
    moved = [
        i
        for i, ((_, a), (_, b)) in enumerate(zip(first, second, strict=True))
        if _differ(a, b, None)
    ]
    if not moved:
        return None, None
    behind = moved[-1] + 1
    return first[moved[-1]][0], first[behind][0] if behind < len(first) else None


def first_moved(bench: Bench, before: Rows, after: Rows, kept: Tensor) -> str | None:
    """The first module whose output moves for rows that were left as they are.

    Args:
        bench: The model.
        before: Some rows.
        after: The same, other rows than those of *kept* changed.
        kept: Which rows were left as they are, bool. Shape (rows,).

    Returns:
        Its path; None where rows meet outside of any module that has no parts of its own.
    """
    first, second = _outputs(bench, before), _outputs(bench, after)
    for (path, a), (other, b) in zip(first, second, strict=False):
        if path != other:
            return None
        if _differ(a, b, kept):
            return path
    return None


def _differ(first: list[Tensor], second: list[Tensor], kept: Tensor | None) -> bool:
    for a, b in zip(first, second, strict=False):
        if a.shape != b.shape or not a.is_floating_point() or a.numel() == 0:
            continue
        change = (a - b).abs()
        if kept is not None:
            views = list(_by_row(change, kept))
            # Whatever way the rows are laid out in it: in one of them the kept ones stand still.
            change = min(
                (view[kept] for view in views), key=lambda x: float(x.max()), default=a * 0
            )
        if float(change.max()) > FLOOR * float(a.abs().amax()):
            return True
    return False


def _by_row(x: Tensor, kept: Tensor) -> Iterator[Tensor]:
    rows = kept.numel()
    for axis in range(x.ndim):
        if x.shape[axis] == rows:
            yield x.movedim(axis, 0)
        elif axis == 0 and x.shape[0] % rows == 0:
            # Steps or features of a row were folded into the first axis, before or behind it.
            yield x.reshape(rows, -1)
            yield x.reshape(-1, rows, *x.shape[1:]).movedim(1, 0)


@torch.no_grad()
def _outputs(bench: Bench, rows: Rows) -> Outputs:
    found: Outputs = []

    def record(_module: nn.Module, _inputs: object, outputs: Any, path: str) -> None:  # noqa: ANN401
        found.append((path, [x.detach() for _, x in leaves(outputs)]))

    lowest = [(path, m) for path, m in bench.model.named_modules() if not list(m.children())]
    with _hooked(lowest, record):
        bench.score(rows)
    return found


@contextmanager
def _hooked(modules: list[tuple[str, nn.Module]], record: Any) -> Iterator[None]:  # noqa: ANN401
    hooks = [m.register_forward_hook(partial(record, path=path)) for path, m in modules]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
