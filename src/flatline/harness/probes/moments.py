"""Level and spread of what is finite in a tensor."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["level_and_spread"]

# Below this share of its size a spread is rounding.
ROUNDING = 8 * torch.finfo(torch.float32).eps


def level_and_spread(x: Tensor, axes: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation over some axes, of what is finite; of a shape to broadcast.

    A spread that rounding alone explains is 0.

    Args:
        x: Of any shape.
        axes: To be taken together; over none, nothing has a spread.

    Example:
        >>> level, spread = level_and_spread(torch.tensor([[1.0, 3.0, torch.nan]]), [1])
        >>> level.tolist(), spread.tolist()
        ([[2.0]], [[1.0]])
    """
    if not axes:
        return x, torch.zeros_like(x)
    known = torch.isfinite(x)
    values, over = torch.where(known, x, 0.0), tuple(axes)
    count = known.sum(over, keepdim=True).clamp(min=1)
    level = values.sum(over, keepdim=True) / count
    apart = torch.where(known, x - level, 0.0)
    spread = (apart.square().sum(over, keepdim=True) / count).sqrt()
    size = values.abs().amax(over, keepdim=True)
    return level, torch.where(spread > ROUNDING * size, spread, 0.0)
