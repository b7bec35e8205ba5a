"""Prediction heads: a point and quantiles that never cross, one head per horizon."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist

import torch
from torch import Tensor, nn
from torch.nn import functional

from flatline.errors import ShapeError
from flatline.layers.gating import GatedResidual
from flatline.layers.names import HeadVariant

__all__ = ["HorizonHead", "LayerScale", "PredictionHead"]


class LayerScale(nn.Module):
    """A learned factor on its input; a module, so that a hook sees before and after.

    Args:
        start: The factor at the start.

    Example:
        >>> LayerScale(2.0)(torch.ones(1)).item()
        2.0
    """

    def __init__(self, start: float) -> None:
        super().__init__()
        self.start = start
        self.factor = nn.Parameter(torch.tensor(start))

    def reset_parameters(self) -> None:
        """Put the factor back to where it started."""
        nn.init.constant_(self.factor, self.start)

    def forward(self, x: Tensor) -> Tensor:
        """Any shape, to the same."""
        return x * self.factor


class HorizonHead(nn.Module):
    """The point and the quantiles of one horizon.

    The quantile nearest the median is put out as it is, the others as positive
    steps away from it, so they cannot cross. They start as the quantiles of a
    standard normal around it.

    Args:
        hidden: Length of a row's state.
        levels: Quantile levels, ascending, between 0 and 1; may be empty.
        variant: "gated" for a gated residual network and a linear map, "apex" for
            the linear map alone.
        init_std: Standard deviation of the linear map's weights at the start.
        layer_scale: Factor on its output at the start.
        use_layernorm: Whether the state is normalised first.
        dropout: Share of the gated network's inner layer set to 0 in training.
        intercept: Whether a learned number is added to the output. A loss on ranks
            alone gives it no gradient.

    Example:
        >>> point, quantiles = HorizonHead(8, levels=(0.25, 0.5, 0.75))(torch.ones(3, 8))
        >>> point.shape, quantiles.shape, bool((quantiles.diff(dim=-1) >= 0).all())
        (torch.Size([3]), torch.Size([3, 3]), True)
    """

    def __init__(
        self,
        hidden: int,
        *,
        levels: Sequence[float],
        variant: HeadVariant = "gated",
        init_std: float = 0.05,
        layer_scale: float = 1.0,
        use_layernorm: bool = False,
        dropout: float = 0.0,
        intercept: bool = True,
    ) -> None:
        super().__init__()
        self.levels, self.init_std = tuple(levels), init_std
        self.middle = min(range(len(levels)), key=lambda i: abs(levels[i] - 0.5), default=0)
        self.norm = nn.LayerNorm(hidden) if use_layernorm else nn.Identity()
        gated = variant == "gated"
        self.trunk = GatedResidual(hidden, hidden, dropout=dropout) if gated else nn.Identity()
        self.linear = nn.Linear(hidden, 1 + len(levels), bias=False)
        nn.init.normal_(self.linear.weight, std=init_std)
        self.scale = LayerScale(layer_scale)
        start = _normal_start(levels, self.middle)
        self.bias = nn.Parameter(start) if intercept else None

    def reset_parameters(self) -> None:
        """Draw every parameter afresh, as at the start."""
        for part in (*self.norm.modules(), *self.trunk.modules()):
            if isinstance(part, (nn.Linear, nn.LayerNorm)):
                part.reset_parameters()
        nn.init.normal_(self.linear.weight, std=self.init_std)
        self.scale.reset_parameters()
        if self.bias is not None:
            with torch.no_grad():
                self.bias.copy_(_normal_start(self.levels, self.middle))

    def forward(self, state: Tensor) -> tuple[Tensor, Tensor]:
        """Shape (rows, hidden), to the point, (rows,), and quantiles, (rows, levels)."""
        out = self.scale(self.linear(self.trunk(self.norm(state))))
        if self.bias is not None:
            out = out + self.bias
        point, below, middle, above = out.split(
            [1, self.middle, min(1, out.shape[-1] - 1), max(0, out.shape[-1] - 2 - self.middle)], -1
        )
        up = middle + functional.softplus(above).cumsum(-1)
        down = middle - functional.softplus(below.flip(-1)).cumsum(-1)
        return point.squeeze(-1), torch.cat([down.flip(-1), middle, up], -1)


def _normal_start(levels: Sequence[float], middle: int) -> Tensor:
    """Biases whose softplus steps are those between quantiles of a standard normal."""
    place = torch.tensor([NormalDist().inv_cdf(level) for level in levels])
    steps = torch.expm1(place.diff()).log()
    return torch.cat([torch.zeros(1), steps[:middle], place[middle : middle + 1], steps[middle:]])


class PredictionHead(nn.Module):
    """One head per horizon, in full precision.

    Args:
        hidden: Length of a row's state.
        horizons: In trading days.
        levels: Quantile levels, ascending, between 0 and 1; empty for none.
        variant: "gated" or "apex", see `HorizonHead`.
        init_std: Standard deviation of the last maps' weights at the start.
        layer_scale: Factor on their outputs at the start.
        use_layernorm: Whether the state is normalised first.
        dropout: Share of the gated networks' inner layers set to 0 in training.
        intercept: Whether a learned number is added to the outputs; quantiles need it.

    Raises:
        ShapeError: *horizons* or *levels* repeat, are out of order or out of range, or
            there are levels without an intercept.

    Example:
        >>> head = PredictionHead(8, horizons=(1, 5), levels=(0.25, 0.5, 0.75))
        >>> point, quantiles = head(torch.ones(3, 8))
        >>> point.shape, quantiles.shape
        (torch.Size([3, 2]), torch.Size([3, 2, 3]))
    """

    def __init__(
        self,
        hidden: int,
        *,
        horizons: Sequence[int],
        levels: Sequence[float] = (0.05, 0.25, 0.5, 0.75, 0.95),
        variant: HeadVariant = "gated",
        init_std: float = 0.05,
        layer_scale: float = 1.0,
        use_layernorm: bool = False,
        dropout: float = 0.0,
        intercept: bool = True,
    ) -> None:
        super().__init__()
        if not horizons or min(horizons) < 1 or len(set(horizons)) < len(horizons):
            raise ShapeError(
                f"horizons is {tuple(horizons)}, expected one or more different numbers of "
                "trading days, each 1 or more. For example (1, 5, 10, 20)."
            )
        if list(levels) != sorted(set(levels)) or any(not 0 < level < 1 for level in levels):
            raise ShapeError(
                f"levels is {tuple(levels)}, expected different numbers between 0 and 1, "
                "ascending. For example (0.05, 0.25, 0.5, 0.75, 0.95)."
            )
        if levels and not intercept:
            raise ShapeError(
                f"levels is {tuple(levels)} without an intercept, expected none: the intercept "
                "is what keeps the quantiles apart at the start. Leave out the one or the other."
            )
        self.horizons = nn.ModuleDict(
            {
                str(horizon): HorizonHead(
                    hidden,
                    levels=levels,
                    variant=variant,
                    init_std=init_std,
                    layer_scale=layer_scale,
                    use_layernorm=use_layernorm,
                    dropout=dropout,
                    intercept=intercept,
                )
                for horizon in horizons
            }
        )

    def forward(self, state: Tensor) -> tuple[Tensor, Tensor]:
        """Shape (rows, hidden), to (rows, horizons) and (rows, horizons, levels)."""
        # In bfloat16 the scores of a day share a handful of values, and ranks with them.
        with torch.autocast(state.device.type, enabled=False):
            full = state if state.dtype == torch.float64 else state.float()
            each = [head(full) for head in self.horizons.values()]
        return torch.stack([point for point, _ in each], 1), torch.stack([q for _, q in each], 1)
