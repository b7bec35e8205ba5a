"""Where a model looks: the entropy of its attention, without a change to the model."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from flatline.batch import DayBatch
from flatline.errors import ShapeError
from flatline.layers import SelfAttention

__all__ = ["attention_entropy"]


@torch.no_grad()
def attention_entropy(model: nn.Module, batch: DayBatch) -> Tensor:
    """How evenly each layer and head spreads its attention over the patches.

    The entropy of what a patch looks at, over that of looking at all alike, averaged
    over rows, features and patches: 1 when attention has gone uniform and tells
    nothing apart, 0 when every patch looks at a single one.

    Args:
        model: A model with `SelfAttention` layers, such as `PatchTST` or `Apex`, called
            once on the batch in the mode it is in.
        batch: See `DayBatch`.

    Returns:
        Between 0 and 1. Shape (layers, heads).

    Raises:
        ShapeError: The model has no `SelfAttention` layer.
    """
    found: list[Tensor] = []

    def look(layer: nn.Module, inputs: tuple[Tensor]) -> None:
        weights = layer.weights(inputs[0])  # type: ignore[operator]
        entropy = torch.special.entr(weights).sum(-1).mean((0, 2))
        found.append(entropy / math.log(weights.shape[-1]))

    layers = [part for part in model.modules() if isinstance(part, SelfAttention)]
    if not layers:
        raise ShapeError(
            f"model is a {type(model).__name__} without self-attention, expected layers whose "
            "weights can be read. Use a PatchTST or an Apex."
        )
    hooks = [layer.register_forward_pre_hook(look) for layer in layers]
    try:
        model(batch)
    finally:
        for hook in hooks:
            hook.remove()
    return torch.stack(found)
