"""How a model and a loss are called, read off their signatures."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from inspect import Parameter
from typing import Any

from torch import Tensor, nn

from flatline.errors import SettingsError

__all__ = ["Way", "call_loss", "call_model", "way_of"]

PLACED = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)


class Way(StrEnum):
    """How a model takes its inputs."""

    WHOLE = "model(inputs)"
    UNPACKED = "model(*inputs)"
    BY_NAME = "model(**inputs)"


def way_of(model: nn.Module, inputs: Any) -> Way:  # noqa: ANN401 (inputs are the subject's own)
    """How *model* takes *inputs*: as one argument, as several, or by name.

    Raises:
        SettingsError: Its forward takes them in none of these ways.

    Example:
        >>> str(way_of(nn.Linear(3, 1), {"input": 0})), str(way_of(nn.Bilinear(1, 1, 1), (0, 0)))
        ('model(**inputs)', 'model(*inputs)')
    """
    signature = inspect.signature(model.forward)
    parameters = list(signature.parameters.values())
    placed = [p for p in parameters if p.kind in PLACED]
    required = [p for p in placed if p.default is Parameter.empty]
    several = any(p.kind is Parameter.VAR_POSITIONAL for p in parameters)
    if isinstance(inputs, Mapping):
        if set(inputs) <= {p.name for p in parameters if p.kind is not Parameter.POSITIONAL_ONLY}:
            return Way.BY_NAME
        if len(required) <= 1 and (placed or several):
            return Way.WHOLE
    elif isinstance(inputs, Sequence) and not isinstance(inputs, Tensor):
        if several or len(required) <= len(inputs) <= len(placed):
            return Way.UNPACKED
        if len(required) <= 1 and placed:
            return Way.WHOLE
    elif len(required) <= 1 and (placed or several):
        return Way.WHOLE
    raise SettingsError(
        f"forward of {type(model).__name__} takes {signature}, and the inputs are "
        f"{_kind(inputs)}, expected one argument, or one for each input. "
        "Add `call=lambda model, inputs: model(...)` to the Subject."
    )


def call_model(model: nn.Module, inputs: Any) -> Any:  # noqa: ANN401
    """The model's outputs, its inputs given the way it takes them."""
    match way_of(model, inputs):
        case Way.BY_NAME:
            return model(**inputs)
        case Way.UNPACKED:
            return model(*inputs)
        case _:
            return model(inputs)


def call_loss(loss: Callable[..., Tensor], outputs: Any, targets: Any, inputs: Any) -> Tensor:  # noqa: ANN401
    """The loss of a batch; the inputs are given to a loss that asks for a third argument."""
    try:
        signature = inspect.signature(loss.forward if isinstance(loss, nn.Module) else loss)
    except ValueError:  # Some built-in functions have none.
        return loss(outputs, targets)
    placed = [p for p in signature.parameters.values() if p.kind in PLACED]
    several = any(p.kind is Parameter.VAR_POSITIONAL for p in signature.parameters.values())
    # A third one with a default, such as `reduction`, is an option and no place for inputs.
    third = len(placed) > 2 and (placed[2].default is Parameter.empty or placed[2].name == "inputs")
    return loss(outputs, targets, inputs) if third or several else loss(outputs, targets)


def _kind(inputs: Any) -> str:  # noqa: ANN401
    if isinstance(inputs, Mapping):
        return f"a mapping with the keys {', '.join(map(str, inputs))}"
    return f"a {type(inputs).__name__} of {len(inputs)}" if hasattr(inputs, "__len__") else "one"
