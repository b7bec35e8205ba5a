"""PatchTST: a transformer over the patches of each feature's window."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor, nn

from flatline.batch import DayBatch, Forecast
from flatline.layers import (
    PatchEmbedding,
    PatchPooling,
    PredictionHead,
    TokenNormName,
    TransformerEncoder,
)
from flatline.models.inputs import InputSizes
from flatline.models.settings import PatchTSTSettings

__all__ = ["PatchEncoder", "PatchTST"]

# Tokens that share a call of the attention kernel: fewer make the calls outweigh the
# work, more are work on what the mask then hides.
KERNEL_TOKENS = 16

# Spread of a fresh model's scores, as a multiple of the spread of a row's state.
HEAD_GAIN = 0.5


class PatchEncoder(nn.Module):
    """A row's windows to its state, one feature at a time.

    All features go through the same patch map and the same encoder and do not meet
    there; the state holds them side by side, so that the heads tell them apart.

    Args:
        sizes: What the batches hold.
        hidden: Length of a patch's vector.
        patch_length: Steps of a patch.
        stride: Steps from one patch to the next.
        depth: Layers of the encoder.
        heads: Attention heads.
        feed_forward: Length of the inner layers of the feed-forward networks.
        norm: "batch" or "layer", see `EncoderLayer`.
        pre_norm: Where it stands, see `EncoderLayer`.
        pooling: What a feature's state is: its patches side by side ("flatten"), their
            "mean", or their "max".
        dropout: See `EncoderLayer`.

    Raises:
        ShapeError: Lookback, patches, strides and heads do not fit each other.

    References:
        Nie et al., A Time Series is Worth 64 Words, 2023, section 3.1.
    """

    def __init__(
        self,
        sizes: InputSizes,
        *,
        hidden: int,
        patch_length: int,
        stride: int,
        depth: int,
        heads: int,
        feed_forward: int,
        norm: TokenNormName = "layer",
        pre_norm: bool = True,
        pooling: PatchPooling = "flatten",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.patches = PatchEmbedding(
            sizes.lookback, hidden=hidden, patch_length=patch_length, stride=stride
        )
        self.transformer = TransformerEncoder(
            hidden,
            depth=depth,
            heads=heads,
            feed_forward=feed_forward,
            norm=norm,
            pre_norm=pre_norm,
            dropout=dropout,
            tokens=self.patches.count,
            together=_together(sizes.features, self.patches.count),
        )
        self.pooling = pooling
        kept = self.patches.count if pooling == "flatten" else 1
        self.width = sizes.features * kept * hidden

    def forward(self, features: Tensor) -> Tensor:
        """Shape (rows, lookback, features), to (rows, width)."""
        tokens = self.patches(features)
        found: Tensor = self.transformer(tokens.flatten(0, 1)).view_as(tokens)
        if self.pooling == "mean":
            found = found.mean(2)
        elif self.pooling == "max":
            found = found.amax(2)
        return found.flatten(1)


def _together(features: int, tokens: int) -> int:
    """How many features of a row share a call: a divisor, so that no row waits for another."""
    divisors = [n for n in range(1, features + 1) if features % n == 0]
    return min(divisors, key=lambda n: abs(math.log(n * tokens / KERNEL_TOKENS)))


class PatchTST(nn.Module):
    """Scores every row from its own window, feature by feature.

    The tasks share encoder and linear heads and differ in what the heads put out:
    regression has a point and, where levels are given, quantiles; classification has
    one logit per horizon, of the class against the rest, and no quantiles; ranking has
    one score per horizon, no quantiles and no intercept, for an equal shift of all
    scores changes no rank.

    Static features and edges are not read: a batch may hold them, and they change
    nothing. `UNREAD` says so.

    Args:
        settings: See `PatchTSTSettings`.
        features: Features of a step.
        static: Static features of a row in the batches; 0 for none.
        edge_attributes: Attributes of an edge in the batches; 0 for none.
        lookback: Steps of a window.
        horizons: In trading days.
        levels: Quantile levels, ascending; empty for none.

    Raises:
        ShapeError: Sizes and settings do not fit each other, or the batch does
            not fit the sizes.

    References:
        Nie et al., A Time Series is Worth 64 Words, 2023.

    Example:
        >>> import torch
        >>> model = PatchTST(
        ...     PatchTSTSettings(task="classification"), features=3, static=0,
        ...     edge_attributes=0, lookback=20, horizons=(1, 5), levels=(),
        ... )
        >>> day = torch.arange(7)
        >>> batch = {
        ...     "features": torch.randn(7, 20, 3), "group_day": day, "stock_id": 0 * day,
        ... }
        >>> model(batch).point.shape
        torch.Size([7, 2])
    """

    UNREAD = ("static_features", "edge_index", "edge_attr")

    def __init__(
        self,
        settings: PatchTSTSettings,
        *,
        features: int,
        static: int,
        edge_attributes: int,
        lookback: int,
        horizons: Sequence[int],
        levels: Sequence[float],
    ) -> None:
        super().__init__()
        self.settings = settings
        self.sizes = InputSizes(lookback, features, static, edge_attributes)
        self.sizes.check_sizes()
        self.encoder = PatchEncoder(
            self.sizes,
            hidden=settings.hidden,
            patch_length=settings.patch_length,
            stride=settings.stride,
            depth=settings.depth,
            heads=settings.attention_heads,
            feed_forward=settings.feed_forward,
            norm=settings.norm,
            pre_norm=settings.pre_norm,
            pooling=settings.pooling,
            dropout=settings.dropout,
        )
        self.head = PredictionHead(
            self.encoder.width,
            horizons=horizons,
            levels=levels if settings.gives_quantiles else (),
            variant="apex",
            init_std=HEAD_GAIN / math.sqrt(self.encoder.width),
            intercept=settings.task != "ranking",
        )

    def position_ratio(self, batch: DayBatch) -> float:
        """Positional scale over content scale on a batch, see `PatchEmbedding.position_ratio`."""
        return self.encoder.patches.position_ratio(batch["features"])

    def forward(self, batch: DayBatch, *more: object) -> Forecast:
        """Scores of every row of a batch of whole days.

        Args:
            batch: See `DayBatch`.
            more: Nothing. Tensors given one by one are refused with the right call.

        Returns:
            A Forecast with `point`, (rows, horizons), logits where the task is
            classification, and `quantiles`, (rows, horizons, levels), or None.
        """
        self.sizes.check(batch, *more, dtype=next(self.parameters()).dtype)
        point, quantiles = self.head(self.encoder(batch["features"]))
        return Forecast(point, quantiles if quantiles.shape[-1] else None)
