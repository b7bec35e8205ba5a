"""Variable selection: how much each feature counts, and what each feature says."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from flatline.layers.gating import GatedResidual

__all__ = ["VariableNetworks", "VariableSelection"]

# Positions worked on at a time on a CPU. A tile of 32 variables of width 16 is
# 1 MB, which stays in the cache and in the allocator's pool; whole batches are
# fresh memory pages at every step, and cost twice the time.
TILE = 512


class VariableNetworks(nn.Module):
    """One gated residual network per variable, summed by weight, all in one batched product.

    A variable is one number, so its embedding and the first layer of its network
    are one map, and so are the last layer and its gate. No norm ends a network: a
    norm over the images of a single number would remove the number's size.

    Args:
        variables: Number of variables.
        width: Length of each variable's vector.

    References:
        Lim et al., Temporal Fusion Transformers, 2021, equations 7 and 8.

    Example:
        >>> VariableNetworks(3, 16)(torch.ones(5, 3), torch.ones(5, 3) / 3).shape
        torch.Size([5, 16])
    """

    def __init__(self, variables: int, width: int) -> None:
        super().__init__()
        self.embed = nn.Parameter(torch.randn(variables, width))
        self.embed_bias = nn.Parameter(torch.zeros(variables, width))
        self.inner = nn.Parameter(torch.randn(variables, width, 1))
        # Spread out, so that the kinks of one variable's units lie at different values.
        self.inner_bias = nn.Parameter(torch.randn(variables, width, 1))
        bound = 1 / math.sqrt(width)
        self.gate = nn.Parameter(torch.empty(variables, 2 * width, width).uniform_(-bound, bound))
        self.gate_bias = nn.Parameter(torch.zeros(variables, 2 * width, 1))

    def forward(self, x: Tensor, weight: Tensor) -> Tensor:
        """Weighted sum of what the variables' networks say.

        Args:
            x: Shape (..., variables).
            weight: Weight of each variable. Shape (..., variables).

        Returns:
            Shape (..., width).
        """
        by_variable = x.reshape(-1, x.shape[-1]).T.contiguous()
        weights = weight.reshape(-1, x.shape[-1]).T.contiguous()
        if x.device.type == "cpu" and not torch.compiler.is_compiling():
            tiles = zip(
                torch.split(by_variable, TILE, 1), torch.split(weights, TILE, 1), strict=True
            )
            nonlinear = torch.cat([self._gated(*tile) for tile in tiles], 1)
        else:
            nonlinear = self._gated(by_variable, weights)
        linear = (weight * x) @ self.embed + weight @ self.embed_bias
        return linear + nonlinear.T.reshape(linear.shape)

    def _gated(self, x: Tensor, weight: Tensor) -> Tensor:
        """The networks beside their skips: (variables, tile) each, to (width, tile)."""
        # The bias rides along as a second input that is always 1: its gradient
        # then comes out of the same product.
        maps = torch.cat([self.inner, self.inner_bias], 2)
        inner = functional.elu(
            torch.bmm(maps, torch.stack([x, torch.ones_like(x)], 1)), inplace=True
        )
        gated = functional.glu(torch.baddbmm(self.gate_bias, self.gate, inner), 1)
        return (weight.unsqueeze(1) * gated).sum(0)


class VariableSelection(nn.Module):
    """Weights over the variables from all of them together, and their weighted sum.

    Args:
        variables: Number of variables.
        hidden: Length of the output.
        width: Length of each variable's own vector.
        context: Length of the static context; 0 for none.
        dropout: Share of the weighing network's inner layer set to 0 in training.

    References:
        Lim et al., Temporal Fusion Transformers, 2021, equations 6 to 8.

    Example:
        >>> VariableSelection(3, 32, width=16)(torch.ones(20, 5, 3)).shape
        torch.Size([20, 5, 32])
    """

    def __init__(
        self, variables: int, hidden: int, *, width: int, context: int = 0, dropout: float = 0.0
    ) -> None:
        super().__init__()
        # A single variable always has weight 1: a network for it would never learn.
        self.weighing = (
            GatedResidual(
                variables,
                hidden,
                out=variables,
                context=context,
                dropout=dropout,
                normalise=False,
            )
            if variables > 1
            else None
        )
        self.networks = VariableNetworks(variables, width)
        self.project = nn.Linear(width, hidden)
        with torch.no_grad():
            # The mean of many unrelated variables is small: start at their size.
            self.project.weight *= math.sqrt(variables)

    def weights(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Weight of each variable, adding up to 1. Shape (..., variables), to the same."""
        if self.weighing is None:
            return torch.ones_like(x)
        return torch.softmax(self.weighing(x, context), -1)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Shapes (..., variables) and, broadcast against it, (..., context), to (..., hidden)."""
        out: Tensor = self.project(self.networks(x, self.weights(x, context)))
        return out
