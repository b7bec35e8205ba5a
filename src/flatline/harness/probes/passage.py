"""How far a change of the inputs comes: the modules whose output it moves, in order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from flatline.harness.probes.bench import Bench
from flatline.harness.probes.edits import Rows
from flatline.harness.trees import leaves

__all__ = ["first_moved", "last_moved"]


@dataclass(frozen=True, slots=True)
class _Call:
    """One call of one module: what went in, and what came out."""

    path: str
    inputs: list[Tensor]
    outputs: list[Tensor]


# Of a module's output, relative to its size: what is below is rounding of float32.
FLOOR = 1e-6


def last_moved(bench: Bench, before: Rows, after: Rows) -> tuple[str | None, str | None]:
    """The last module in order of execution that a change reaches, and the first behind it.

    Of modules without parts of their own; paths of both, None where there is none.
    """
    first, second = _calls(bench, before), _calls(bench, after)
    pairs = [
        (a, b)
        for a, b in zip(first, second, strict=False)
        if a.path == b.path and not list(bench.model.get_submodule(a.path).children())
    ]
    moved = [i for i, (a, b) in enumerate(pairs) if _differ(a.outputs, b.outputs, None)]
    if not moved:
        return None, None
    behind = moved[-1] + 1
    return pairs[moved[-1]][0].path, pairs[behind][0].path if behind < len(pairs) else None


def first_moved(bench: Bench, before: Rows, after: Rows, kept: Tensor) -> str:
    """The first module whose output moves for rows that were left as they are.

    Where what goes into it moves already, rows met in the code of the module around it.

    Args:
        bench: The model.
        before: Some rows.
        after: The same, other rows than those of *kept* changed.
        kept: Which rows were left as they are, bool. Shape (rows,).

    Returns:
        Its path; empty for the model itself.
    """
    for a, b in zip(_calls(bench, before), _calls(bench, after), strict=False):
        if a.path != b.path:
            break
        if _differ(a.inputs, b.inputs, kept):
            return a.path.rpartition(".")[0]
        if _differ(a.outputs, b.outputs, kept):
            return a.path
    return ""


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
def _calls(bench: Bench, rows: Rows) -> list[_Call]:
    """Every call of every module but the model itself, in the order in which they end."""
    found: list[_Call] = []

    def record(
        _module: nn.Module,
        args: tuple[Any, ...],
        options: dict[str, Any],
        outputs: Any,  # noqa: ANN401 (a module may put out anything)
        path: str,
    ) -> None:
        given = [x.detach() for _, x in leaves((args, options))]
        found.append(_Call(path, given, [x.detach() for _, x in leaves(outputs)]))

    modules = [(path, m) for path, m in bench.model.named_modules() if path]
    hooks = [
        m.register_forward_hook(partial(record, path=path), with_kwargs=True) for path, m in modules
    ]
    try:
        bench.score(rows)
    finally:
        for hook in hooks:
            hook.remove()
    return found
