"""Gates that let a network skip what it does not need: GLU skip and gated residual network."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

__all__ = ["GatedResidual", "GatedSkip"]


class GatedSkip(nn.Module):
    """What a block adds to its input, through a gate: norm(skip + GLU(x)).

    Args:
        width: Length of the last axis of both inputs.

    References:
        Lim et al., Temporal Fusion Transformers, 2021, equations 5 and 17.

    Example:
        >>> import torch
        >>> GatedSkip(8)(torch.ones(3, 8), torch.zeros(3, 8)).shape
        torch.Size([3, 8])
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gate = nn.Linear(width, 2 * width)
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """The gated sum. Shapes (..., width) each, to (..., width)."""
        out: Tensor = self.norm(skip + functional.glu(self.gate(x), -1))
        return out


class GatedResidual(nn.Module):
    """Gated residual network: a two-layer map beside a skip, and a gate between them.

    In the paper two linear maps follow the inner activation, one and then the
    gate's pair, with nothing between them; here they are the one map they amount to.

    Args:
        width: Length of the last axis of the input.
        hidden: Length of the inner layer.
        out: Length of the last axis of the output; *width* by default.
        context: Length of a context vector that shifts the inner layer; 0 for none.
        dropout: Share of the inner layer set to 0 in training.
        normalise: Whether a layer norm ends it. Leave it out where the size of
            the output is the message, or where few numbers are put out: of two
            numbers a norm leaves only which is larger.

    References:
        Lim et al., Temporal Fusion Transformers, 2021, equations 2 to 5.

    Example:
        >>> import torch
        >>> GatedResidual(4, 16, out=8)(torch.ones(5, 4)).shape
        torch.Size([5, 8])
    """

    def __init__(
        self,
        width: int,
        hidden: int,
        *,
        out: int | None = None,
        context: int = 0,
        dropout: float = 0.0,
        normalise: bool = True,
    ) -> None:
        super().__init__()
        out = out or width
        self.inner = nn.Linear(width, hidden)
        self.context = nn.Linear(context, hidden, bias=False) if context else None
        self.dropout = nn.Dropout(dropout)
        self.gate = nn.Linear(hidden, 2 * out)
        self.skip = nn.Identity() if out == width else nn.Linear(width, out, bias=False)
        self.norm = nn.LayerNorm(out) if normalise else nn.Identity()

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Shapes (..., width) and, broadcast against it, (..., context), to (..., out)."""
        inner = self.inner(x)
        if self.context is not None and context is not None:
            inner = inner + self.context(context)
        inner = self.dropout(functional.elu(inner))
        out: Tensor = self.norm(self.skip(x) + functional.glu(self.gate(inner), -1))
        return out
