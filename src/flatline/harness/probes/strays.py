"""Tensors that a module keeps as plain attributes: do they stay behind when it moves?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from flatline.harness.case import Case
from flatline.harness.probes.passes import start
from flatline.harness.probes.scoring import forward

__all__ = ["Stray", "Strays", "strays"]

# What brings a tensor to another device, or may take one from each.
MOVES = frozenset({"to", "type_as", "cuda", "cpu", "xpu", "mps"})
MIXES = frozenset(
    {"copy_", "__getitem__", "__setitem__", "_pack_padded_sequence", "lstm", "gru", "rnn_tanh",
     "rnn_relu", "_pad_packed_sequence"}
)  # fmt: skip
OWN = ("_parameters", "_buffers", "_modules")


@dataclass(frozen=True, slots=True)
class Stray:
    """A tensor that no device change reaches, met by one that it does.

    Args:
        path: Of the module that keeps it.
        attribute: Where it keeps it.
        operation: In which it met an input or a weight.
    """

    path: str
    attribute: str
    operation: str


@dataclass(frozen=True, slots=True, eq=False)
class Strays:
    """All tensors of a fresh model that are neither parameters nor buffers.

    Args:
        model: For the culprit.
        kept: How many there are.
        met: Those that a forward pass uses where they are.
    """

    model: nn.Module
    kept: int
    met: tuple[Stray, ...]


@torch.no_grad()
def strays(case: Case) -> Strays:
    """What of a model would stay on the CPU when it is moved, and be missed elsewhere.

    The device is played: what follows from a stray tensor alone counts as being where it
    is, until it is moved; every other tensor counts as being on the device. A tensor
    without axes may be anywhere.
    """
    inputs, model = case.of(start).inputs, case.model().eval()
    registered = {x.data_ptr() for x in (*model.parameters(), *model.buffers())}
    found = {
        id(x): (x, path, name)
        for path, module in model.named_modules()
        for name, x in _plain(vars(module))
        if x.ndim and x.data_ptr() not in registered
    }
    if not found:
        return Strays(model, 0, ())
    with _Device(found) as device:
        forward(case.subject, model, inputs, case.place)
    return Strays(model, len(found), tuple(dict.fromkeys(device.met)))


class _Device(TorchFunctionMode):
    def __init__(self, found: Mapping[int, tuple[Tensor, str, str]]) -> None:
        super().__init__()
        # The tensors are kept, so that none of their ids is given to another.
        self._left = dict(found)
        self.met: list[Stray] = []

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        del types
        given = dict(kwargs or {})
        tensors = list(_tensors((*args, *given.values())))
        left = [x for x in tensors if id(x) in self._left]
        outputs, name = func(*args, **given), getattr(func, "__name__", "")
        if not left:
            return outputs
        if name in MOVES:
            # Where it is there already, the very same tensor comes back.
            return outputs.clone() if isinstance(outputs, Tensor) else outputs
        _, path, attribute = self._left[id(left[0])]
        if len(left) == len(tensors):
            for x in _tensors([outputs]):
                self._left[id(x)] = (x, path, attribute)
        elif any(x.ndim for x in left) and name not in MIXES:
            self.met.append(Stray(path, attribute, name))
        return outputs


def _plain(attributes: Mapping[str, object]) -> Iterator[tuple[str, Tensor]]:
    for name, value in attributes.items():
        if name not in OWN:
            yield from ((name, x) for x in _tensors([value]))


def _tensors(values: object) -> Iterator[Tensor]:
    if isinstance(values, Tensor):
        yield values
    elif isinstance(values, Mapping):
        yield from _tensors(list(values.values()))
    elif isinstance(values, list | tuple):
        for value in values:
            yield from _tensors(value)
