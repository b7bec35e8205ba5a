"""Adaptive normalisation: take the moving level out of a window, and hand out what was taken.

Each norm returns the rest of the window and, flat, what it took out. Where the
target is the series itself what was taken is added back to the forecast. Here
the target is another series, so the model maps it to its state instead.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from flatline.errors import ShapeError
from flatline.layers.names import AdaptiveNormName

__all__ = ["AdaptiveNorm", "FrequencyNorm", "SliceNorm", "WindowNorm"]

# Under the variance: a window that stands still is divided by 0.003, not by 0.
EPSILON = 1e-5
# By how much each frequency has to be stronger than the one below it: above rounding.
TILT = 1e-5


class FrequencyNorm(nn.Module):
    """FAN: takes the strongest frequencies out of each feature's window; the lower of equal ones.

    Args:
        lookback: Steps of a window; even or odd.
        features: Features of a step.
        top_k: How many frequencies are taken out, the constant one among them.

    Raises:
        ShapeError: *top_k* frequencies leave nothing of *lookback* steps.

    References:
        Ye et al., Frequency Adaptive Normalization, 2024, equations 1 to 4.

    Example:
        >>> rest, taken = FrequencyNorm(5, 1, top_k=1)(torch.full((1, 5, 1), 3.0))
        >>> rest.flatten(), taken
        (tensor([0., 0., 0., 0., 0.]), tensor([[3., 3., 3., 3., 3.]]))
    """

    def __init__(self, lookback: int, features: int, *, top_k: int) -> None:
        super().__init__()
        if not 1 <= top_k < lookback / 2:
            raise ShapeError(
                f"top_k is {top_k} with lookback {lookback}, expected 1 or more frequencies and "
                "fewer than half the steps: each takes two degrees of freedom of the window. "
                f"Use at most {(lookback - 1) // 2}, or a longer lookback."
            )
        self.top_k = top_k
        self.width = lookback * features

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Shape (rows, lookback, features), to the rest, the same, and (rows, width)."""
        # Real and imaginary parts side by side: other runtimes have no complex numbers.
        spectrum = torch.view_as_real(torch.fft.rfft(x, dim=1))
        # A single spike is as strong at every frequency: the lower one is taken then, on
        # every device, and not the one that rounding favours.
        steps = torch.arange(spectrum.shape[1], device=x.device)[:, None]
        strength = spectrum.square().sum(-1) * (1.0 - TILT * steps)
        strongest = strength.topk(self.top_k, dim=1).indices
        kept = spectrum * torch.zeros_like(strength).scatter(1, strongest, 1.0).unsqueeze(-1)
        taken = torch.fft.irfft(torch.view_as_complex(kept), n=x.shape[1], dim=1)
        return x - taken, taken.flatten(1)


class SliceNorm(nn.Module):
    """SAN: takes mean and spread out of each slice of each feature's window.

    Args:
        lookback: Steps of a window.
        features: Features of a step.
        slices: Equal parts that a window is cut into.

    Raises:
        ShapeError: *slices* does not divide *lookback*, or leaves nothing of it.

    References:
        Liu et al., Adaptive Normalization for Non-stationary Time Series
        Forecasting: A Temporal Slice Perspective, 2023, equations 1 and 2.

    Example:
        >>> rest, taken = SliceNorm(6, 1, slices=2)(torch.arange(6.0).reshape(1, 6, 1))
        >>> taken.round(decimals=2)
        tensor([[1.0000, 4.0000, 0.8200, 0.8200]])
    """

    def __init__(self, lookback: int, features: int, *, slices: int) -> None:
        super().__init__()
        # A slice of two steps less its mean and over its spread is -1 and 1.
        fitting = [n for n in range(1, lookback // 3 + 1) if lookback % n == 0]
        if slices not in fitting:
            raise ShapeError(
                f"slices is {slices} with lookback {lookback}, expected a number that cuts the "
                f"lookback into equal slices of 3 steps or more. Use one of {fitting}, or "
                "another lookback."
            )
        self.slices = slices
        self.width = 2 * slices * features

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Shape (rows, lookback, features), to the rest, the same, and (rows, width)."""
        rows, lookback, features = x.shape
        sliced = x.reshape(rows, self.slices, lookback // self.slices, features)
        mean = sliced.mean(2, keepdim=True)
        centred = sliced - mean
        spread = (centred.square().mean(2, keepdim=True) + EPSILON).sqrt()
        rest = (centred / spread).reshape(x.shape)
        return rest, torch.cat([mean.flatten(1), spread.flatten(1)], 1)


class WindowNorm(nn.Module):
    """RevIN: takes mean and spread out of each feature's window, then scales by feature.

    Args:
        lookback: Steps of a window; 3 or more.
        features: Features of a step.

    Raises:
        ShapeError: *lookback* is too short to have a mean, a spread and a rest.

    References:
        Kim et al., Reversible Instance Normalization, 2022, equations 1 and 2.

    Example:
        >>> rest, taken = WindowNorm(3, 1)(torch.tensor([[[1.0], [2.0], [3.0]]]))
        >>> taken.detach().round(decimals=2)
        tensor([[2.0000, 0.8200]])
    """

    def __init__(self, lookback: int, features: int) -> None:
        super().__init__()
        self.whole = SliceNorm(lookback, features, slices=1)
        self.width = self.whole.width
        self.scale = nn.Parameter(torch.ones(features))
        self.shift = nn.Parameter(torch.zeros(features))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Shape (rows, lookback, features), to the rest, the same, and (rows, width)."""
        rest, taken = self.whole(x)
        return rest * self.scale + self.shift, taken


class AdaptiveNorm(nn.Module):
    """The norms of a name, one after the other, and all that they took out.

    Args:
        name: "fan", "san", "fan_san" (frequencies first, slices of the rest) or "revin".
        lookback: Steps of a window.
        features: Features of a step.
        top_k: Frequencies that FAN takes out.
        slices: Slices of SAN.

    Raises:
        ShapeError: *top_k*, *slices* and *lookback* do not fit each other.

    Example:
        >>> norm = AdaptiveNorm("fan_san", lookback=20, features=3, top_k=2, slices=4)
        >>> rest, taken = norm(torch.randn(7, 20, 3))
        >>> rest.shape, taken.shape == (7, norm.width)
        (torch.Size([7, 20, 3]), True)
    """

    def __init__(
        self, name: AdaptiveNormName, *, lookback: int, features: int, top_k: int, slices: int
    ) -> None:
        super().__init__()
        norms: list[FrequencyNorm | SliceNorm | WindowNorm] = []
        if name in {"fan", "fan_san"}:
            norms.append(FrequencyNorm(lookback, features, top_k=top_k))
        if name in {"san", "fan_san"}:
            norms.append(SliceNorm(lookback, features, slices=slices))
        if name == "revin":
            norms.append(WindowNorm(lookback, features))
        if name == "fan_san" and 2 * (top_k + slices) >= lookback:
            raise ShapeError(
                f"top_k is {top_k} and slices is {slices} with lookback {lookback}, expected "
                "twice their sum below the lookback: each frequency and each slice takes two "
                "degrees of freedom of the window. Use fewer, or a longer lookback."
            )
        self.norms = nn.ModuleList(norms)
        self.width = sum(norm.width for norm in norms)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Shape (rows, lookback, features), to the rest, the same, and (rows, width)."""
        # A spectrum needs full precision; bfloat16 has no Fourier transform at all.
        with torch.autocast(x.device.type, enabled=False):
            rest = x if x.dtype == torch.float64 else x.float()
            taken = []
            for norm in self.norms:
                rest, part = norm(rest)
                taken.append(part)
            return rest, torch.cat(taken, 1)
