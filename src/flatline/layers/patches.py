"""Patches: a window cut into pieces that share one map, whatever the feature."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from flatline.errors import ShapeError

__all__ = ["PatchEmbedding"]


class PatchEmbedding(nn.Module):
    """Each feature's window to a sequence of patches, by one map that all features share.

    Every feature is a channel of its own: its patches are mapped by the same weights
    as those of the others and meet them only after the encoder. A learned table says
    where in the window a patch lies; it starts so small that content outweighs place.

    Where the patches do not end at the oldest step, that step is repeated before
    itself, so that every step of the window is read.

    Args:
        lookback: Steps of a window.
        hidden: Length of a patch's vector.
        patch_length: Steps of a patch.
        stride: Steps from one patch to the next.
        position_std: Standard deviation of the positional table at the start.

    Raises:
        ShapeError: A patch is as long as the window, so that there is but one, or
            *stride* leaves steps between patches out.

    References:
        Nie et al., A Time Series is Worth 64 Words, 2023, section 3.1.

    Example:
        >>> patches = PatchEmbedding(20, hidden=16, patch_length=8, stride=4)
        >>> patches(torch.ones(3, 20, 5)).shape
        torch.Size([3, 5, 4, 16])
    """

    def __init__(
        self,
        lookback: int,
        *,
        hidden: int,
        patch_length: int,
        stride: int,
        position_std: float = 0.02,
    ) -> None:
        super().__init__()
        if not 1 <= patch_length < lookback:
            raise ShapeError(
                f"patch_length is {patch_length} with lookback {lookback}, expected 1 or more "
                "steps and fewer than the lookback: attention needs two patches or more. "
                f"Use at most {lookback - 1}, or a longer lookback."
            )
        if not 1 <= stride <= patch_length:
            raise ShapeError(
                f"stride is {stride} with patch_length {patch_length}, expected 1 or more steps "
                "and no more than a patch has: those between patches would never be read. "
                f"Use at most {patch_length}."
            )
        self.patch_length, self.stride = patch_length, stride
        self.count = -(-(lookback - patch_length) // stride) + 1
        self.missing = patch_length + stride * (self.count - 1) - lookback
        self.content = nn.Linear(patch_length, hidden)
        self.position = nn.Parameter(position_std * torch.randn(self.count, hidden))

    def cut(self, features: Tensor) -> Tensor:
        """Shape (rows, lookback, features), to (rows, features, patches, steps of a patch)."""
        windows = features.transpose(1, 2)
        if self.missing:
            windows = functional.pad(windows, (self.missing, 0), mode="replicate")
        return windows.unfold(-1, self.patch_length, self.stride)

    def position_ratio(self, features: Tensor) -> float:
        """The spread of the positional table as a fraction of the spread of the content.

        Near 0 the order of the patches counts for little; above 1 it drowns what they hold.

        Args:
            features: Shape (rows, lookback, features), oldest step first.

        Returns:
            0 or more; infinite where the content is the same everywhere.
        """
        with torch.no_grad():
            return float(self.position.std() / self.content(self.cut(features)).std())

    def forward(self, features: Tensor) -> Tensor:
        """Shape (rows, lookback, features), to (rows, features, patches, hidden)."""
        out: Tensor = self.content(self.cut(features)) + self.position
        return out
