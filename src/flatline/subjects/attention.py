"""Where a model of ours looks: the weights of all its attention layers, without a change to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from flatline.batch import DayBatch
from flatline.layers import InterpretableAttention, SelfAttention

__all__ = ["attends", "attention_weights"]


def attends(model: nn.Module) -> bool:
    """Whether a model has attention over steps or patches."""
    return any(isinstance(part, InterpretableAttention | SelfAttention) for part in model.modules())


@torch.no_grad()
def attention_weights(model: nn.Module, batch: DayBatch) -> Tensor:
    """What every layer looks at, in the mode that the model is in.

    Args:
        model: A model with attention over steps or patches.
        batch: See `DayBatch`.

    Returns:
        Adding up to 1 along the last axis. Shape (rows, everything that asks, keys).
    """
    rows = batch["features"].shape[0]
    found: list[Tensor] = []

    def look(layer: nn.Module, inputs: tuple[Tensor], options: Mapping[str, Any]) -> None:
        weights: Tensor = layer.weights(*inputs, **options)  # type: ignore[operator]
        # A sequence is a row, or one of a row's features.
        found.append(weights.reshape(rows, -1, weights.shape[-1]))

    layers = [m for m in model.modules() if isinstance(m, InterpretableAttention | SelfAttention)]
    hooks = [layer.register_forward_pre_hook(look, with_kwargs=True) for layer in layers]
    try:
        model(batch)
    finally:
        for hook in hooks:
            hook.remove()
    return torch.cat(found, 1)
