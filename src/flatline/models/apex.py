"""APEX: a light ranker of all stocks of a day, from patches of their windows."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import nn

from flatline.batch import DayBatch, Forecast
from flatline.layers import PredictionHead
from flatline.models.inputs import InputSizes
from flatline.models.patchtst import HEAD_GAIN, PatchEncoder
from flatline.models.settings import ApexSettings

__all__ = ["Apex"]

DEPTH = 3


class Apex(nn.Module):
    """Scores every stock of a day by one linear map per horizon on a small patch encoder.

    A score is for ranking within its day; there are no quantiles. Static features and
    edges are not read: a batch may hold them, and they change nothing. `UNREAD` says so.

    Args:
        settings: See `ApexSettings`.
        features: Features of a step.
        static: Static features of a row in the batches; 0 for none.
        edge_attributes: Attributes of an edge in the batches; 0 for none.
        lookback: Steps of a window.
        horizons: In trading days.
        levels: Quantile levels of the batches' other models; none are put out.

    Raises:
        ShapeError: Sizes and settings do not fit each other, or the batch does
            not fit the sizes.

    Example:
        >>> import torch
        >>> model = Apex(
        ...     ApexSettings(), features=3, static=0, edge_attributes=0,
        ...     lookback=20, horizons=(1, 5), levels=(),
        ... )
        >>> day = torch.zeros(7, dtype=torch.int64)
        >>> batch = {
        ...     "features": torch.randn(7, 20, 3), "group_day": day, "stock_id": torch.arange(7),
        ... }
        >>> model(batch).point.shape
        torch.Size([7, 2])
    """

    UNREAD = ("static_features", "edge_index", "edge_attr")

    def __init__(
        self,
        settings: ApexSettings,
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
            depth=DEPTH,
            heads=settings.attention_heads,
            feed_forward=2 * settings.hidden,
            dropout=settings.dropout,
        )
        self.head = PredictionHead(
            self.encoder.width,
            horizons=horizons,
            levels=levels if settings.gives_quantiles else (),
            variant="apex",
            init_std=HEAD_GAIN / math.sqrt(self.encoder.width),
        )

    def forward(self, batch: DayBatch, *more: object) -> Forecast:
        """Scores of every row of a batch of whole days.

        Args:
            batch: See `DayBatch`.
            more: Nothing. Tensors given one by one are refused with the right call.

        Returns:
            A Forecast with `point`, (rows, horizons).
        """
        self.sizes.check(batch, *more, dtype=next(self.parameters()).dtype)
        point, _ = self.head(self.encoder(batch["features"]))
        return Forecast(point)
