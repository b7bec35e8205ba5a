"""Where the signal dies: the spread within the day of every module's output, in order."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from flatline.days import Days
from flatline.harness.case import Case
from flatline.harness.probes.scoring import forward
from flatline.harness.trees import leaves

__all__ = ["Spread", "point_of_death", "trace"]


@dataclass(frozen=True, slots=True)
class Spread:
    """How far one module's output differs between rows that are compared.

    Args:
        path: The module's name within the model.
        relative: Spread within the day, or along time for a single series, over root
            mean square, largest over the columns. 0 says that all rows got the same.
    """

    path: str
    relative: float


@torch.no_grad()
def trace(case: Case, model: nn.Module) -> list[Spread]:
    """One eval-mode forward of a validation batch; leaf modules in order of execution.

    Outputs without one entry per row, such as weights or attention over
    steps, are passed over: nothing can be said of the rows in them.
    """
    inputs, _ = case.batch("valid")
    groups = Days.from_ids(case.subject.group_of(inputs))
    spreads: list[Spread] = []

    def record(_module: nn.Module, _inputs: object, outputs: Any, path: str) -> None:  # noqa: ANN401
        tensors = [x for _, x in leaves(outputs)]
        by_row = [x for x in tensors if x.ndim and x.shape[0] == groups.rows and x.numel()]
        found = [_relative_spread(x, groups) for x in by_row if x.is_floating_point()]
        if found:
            spreads.append(Spread(path, max(found)))

    lowest = [(name, m) for name, m in model.named_modules() if not list(m.children())]
    hooks = [m.register_forward_hook(partial(record, path=name)) for name, m in lowest]
    try:
        forward(case.subject, model.eval(), inputs, case.place)
    finally:
        for hook in hooks:
            hook.remove()
    return spreads


def point_of_death(spreads: list[Spread], floor: float) -> Spread | None:
    """The first module behind the last one whose output still tells rows apart.

    From it on, everything up to the scores is the same for all stocks of
    a day, or all days of a series. None when the last module is alive, or when none ever was.
    """
    alive = [i for i, spread in enumerate(spreads) if spread.relative > floor]
    if not alive or alive[-1] == len(spreads) - 1:
        return None
    return spreads[alive[-1] + 1]


def _relative_spread(x: Tensor, groups: Days) -> float:
    flat = x.reshape(groups.rows, -1).double()
    within = groups.centre(flat).square().mean(0).sqrt()
    size = flat.square().mean(0).sqrt()
    return float((within / size.clamp(min=torch.finfo(torch.float64).tiny)).max())
