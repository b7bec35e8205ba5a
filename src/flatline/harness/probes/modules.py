"""Two runs of a model side by side: the first module at which they part."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from flatline.harness.trees import leaves

__all__ = ["Parting", "apart", "first_parting", "recorded"]

# What each module without children put out, in order of execution.
Outputs = dict[str, list[Tensor]]


@dataclass(frozen=True, slots=True)
class Parting:
    """The first module whose outputs differ between two runs.

    Args:
        path: The module's name within the model.
        apart: How far, in units of the outputs' size.
    """

    path: str
    apart: float


@contextmanager
def recorded(model: nn.Module) -> Iterator[Outputs]:
    """Collects the float outputs of all modules without children while it is open."""
    found: Outputs = {}

    def record(_module: nn.Module, _inputs: object, outputs: Any, path: str) -> None:  # noqa: ANN401
        tensors = [x.detach().clone() for _, x in leaves(outputs) if x.is_floating_point()]
        found.setdefault(path, []).extend(tensors)

    paths = [(path, m) for path, m in model.named_modules() if not list(m.children())]
    hooks = [m.register_forward_hook(partial(record, path=path)) for path, m in paths]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


def first_parting(one: Outputs, other: Mapping[str, list[Tensor]], bound: float) -> Parting | None:
    """The first module of *one*, in order, that *other* is further from than *bound*."""
    for path, tensors in one.items():
        pairs = [(a, b) for a, b in zip(tensors, other.get(path, []), strict=False)]
        furthest = max((apart(a, b) for a, b in pairs if a.shape == b.shape), default=0.0)
        if not furthest <= bound:
            return Parting(path, furthest)
    return None


def apart(one: Tensor, other: Tensor) -> float:
    """Root mean square of the difference, in units of that of *one*; NaN where either has one."""
    a, b = one.double(), other.double()
    tiny = torch.finfo(torch.float64).tiny
    return float((a - b).square().mean().sqrt() / a.square().mean().sqrt().clamp(min=tiny))
