"""Attention over the steps of a lookback, whose weights can be read."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from flatline.errors import ShapeError

__all__ = ["InterpretableAttention"]


class InterpretableAttention(nn.Module):
    """Causal attention whose heads share one value projection and are averaged.

    Because the values are shared, averaging the heads' outputs is attending with
    the averaged weights: one readable weight per step. For the same reason no
    key or value is ever laid out per step: queries are mapped to the steps'
    space instead, and the values after the weighted sum. A learned bias per head
    and lag says where in the lookback to look whatever it holds.

    Args:
        hidden: Length of a step's vector.
        heads: Number of heads; divides *hidden*.
        steps: Longest lookback, in steps.

    Raises:
        ShapeError: *heads* does not divide *hidden*.

    References:
        Lim et al., Temporal Fusion Transformers, 2021, equations 11 to 16.

    Example:
        >>> InterpretableAttention(16, heads=4, steps=20)(torch.ones(3, 20, 16)).shape
        torch.Size([3, 1, 16])
    """

    def __init__(self, hidden: int, *, heads: int, steps: int) -> None:
        super().__init__()
        if hidden % heads:
            raise ShapeError(
                f"hidden is {hidden}, expected a multiple of the {heads} attention heads. "
                "Change hidden or the number of heads."
            )
        self.heads, self.depth = heads, hidden // heads
        self.query = nn.Linear(hidden, hidden)
        # No bias: the same number added to every step changes no softmax.
        self.key = nn.Linear(hidden, hidden, bias=False)
        self.lag_bias = nn.Parameter(torch.zeros(heads, steps))
        self.value = nn.Linear(hidden, self.depth, bias=False)
        self.out = nn.Linear(self.depth, hidden)

    def weights(self, x: Tensor, *, queries: int = 1) -> Tensor:
        """How much each of the newest steps looks at each step, adding up to 1.

        Args:
            x: Shape (rows, steps, hidden), oldest step first.
            queries: How many of the newest steps ask.

        Returns:
            Averaged over the heads; 0 for steps after the asking one.
            Shape (rows, queries, steps).
        """
        rows, steps, hidden = x.shape
        query = self.query(x[:, steps - queries :]).reshape(rows, queries, self.heads, self.depth)
        key = self.key.weight.reshape(self.heads, self.depth, hidden) / math.sqrt(self.depth)
        asked = torch.einsum("rqhd,hdk->rqhk", query, key).reshape(rows, -1, hidden)
        score = (asked @ x.transpose(1, 2)).reshape(rows, queries, self.heads, steps)
        place = torch.arange(steps, device=x.device)
        lag = place[steps - queries :, None] - place
        score = score + self.lag_bias[:, lag.clamp(min=0)].movedim(0, 1)
        score = score.masked_fill((lag < 0)[:, None], -torch.inf)
        return torch.softmax(score, -1).mean(2)

    def forward(self, x: Tensor, *, queries: int = 1) -> Tensor:
        """What the newest steps find. Shape (rows, steps, hidden), to (rows, queries, hidden)."""
        out: Tensor = self.out(self.value(self.weights(x, queries=queries) @ x))
        return out
