"""ATFT-GAT-FAN: a temporal fusion transformer over adaptively normalised windows, and a graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from flatline.batch import DayBatch, Forecast
from flatline.layers import (
    AdaptiveNorm,
    GatedFusion,
    GatedResidual,
    GatedSkip,
    GraphAttention,
    InterpretableAttention,
    PredictionHead,
    VariableSelection,
)
from flatline.models.inputs import InputSizes
from flatline.models.settings import AtftGatFanSettings

__all__ = ["AtftGatFan", "TemporalEncoder"]


class TemporalEncoder(nn.Module):
    """A stock's window of features to its state.

    What adaptive normalisation takes out of the windows (levels, spreads, the
    strongest waves) goes around the LSTM and the attention through a gated network
    of its own and joins the state, so that heads and neighbours see it: returns are
    ranked across stocks, and levels are what stocks differ in.

    Args:
        settings: See `AtftGatFanSettings`.
        sizes: What the batches hold.

    References:
        Lim et al., Temporal Fusion Transformers, 2021, section 4.
    """

    def __init__(self, settings: AtftGatFanSettings, sizes: InputSizes) -> None:
        super().__init__()
        hidden, dropout = settings.hidden, settings.dropout
        context = hidden if sizes.static else 0

        def gated(width: int, *, context: int = 0) -> GatedResidual:
            return GatedResidual(width, hidden, out=hidden, context=context, dropout=dropout)

        self.norm: AdaptiveNorm | None = None
        if not settings.bypass_adaptive_norm:
            self.norm = AdaptiveNorm(
                settings.adaptive_norm,
                lookback=sizes.lookback,
                features=sizes.features,
                top_k=settings.fan_top_k,
                slices=settings.san_slices,
            )
            self.taken_out = gated(self.norm.width + sizes.features, context=context)
        self.static: GatedResidual | None = None
        if sizes.static:
            self.static = gated(sizes.static)
            self.first_state = nn.Linear(hidden, hidden)
            self.first_cell = nn.Linear(hidden, hidden)
        self.selection = VariableSelection(
            sizes.features,
            hidden,
            width=settings.variable_width,
            context=context,
            dropout=dropout,
        )
        self.lstm = nn.LSTM(hidden, hidden)
        self.lstm_skip = GatedSkip(hidden)
        self.enrichment = gated(hidden, context=context)
        self.attention = InterpretableAttention(
            hidden, heads=settings.attention_heads, steps=sizes.lookback
        )
        self.attention_skip = GatedSkip(hidden)
        self.feed_forward = gated(hidden)
        self.output_skip = GatedSkip(hidden)

    def forward(
        self, features: Tensor, static: Tensor | None = None, *, adaptive: bool = True
    ) -> Tensor:
        """The state at the newest step.

        Args:
            features: Shape (rows, lookback, features), oldest step first.
            static: Shape (rows, static); None where the model declares none.
            adaptive: False passes adaptive normalisation by: windows stay as they are.

        Returns:
            Shape (rows, hidden).
        """
        context = self.static(static) if self.static is not None else None
        norm = self.norm if adaptive else None
        rest, taken = (features, None) if norm is None else norm(features)

        # Steps first, as the LSTM wants them: (lookback, rows, hidden).
        chosen = self.selection(rest.transpose(0, 1), context)
        local = self.lstm_skip(self._local(chosen, context), chosen)
        enriched = self.enrichment(local, context)

        # Only the newest step is asked for, so only it is worked out from here on.
        found = self.attention(enriched.transpose(0, 1)).squeeze(1)
        newest = self.attention_skip(found, enriched[-1])
        state: Tensor = self.output_skip(self.feed_forward(newest), local[-1])
        if taken is None:
            return state
        # The newest step as it came goes along: of what depends on it in a bent way,
        # neither its rest nor what was taken out of it can tell.
        levels = torch.cat([taken, features[:, -1].to(taken.dtype)], 1)
        around: Tensor = self.taken_out(levels, context)
        return state + around

    def _local(self, chosen: Tensor, context: Tensor | None) -> Tensor:
        """Each step in the light of the steps before it. Shape (lookback, rows, hidden)."""
        if context is None:
            first = cell = chosen.new_zeros(1, *chosen.shape[1:])
        else:
            first, cell = self.first_state(context)[None], self.first_cell(context)[None]
        out: Tensor = self.lstm(chosen, (first, cell))[0]
        return out


class AtftGatFan(nn.Module):
    """Scores every stock of a day from its window, its attributes and its neighbours.

    Its parts can be switched off while it runs, see `parts`: set `off` to their names, or
    use `training.switched_off`, which puts it back.

    Args:
        settings: See `AtftGatFanSettings`.
        features: Features of a step.
        static: Static features of a row; 0 for none.
        edge_attributes: Attributes of an edge; 0 for none.
        lookback: Steps of a window.
        horizons: In trading days.
        levels: Quantile levels, ascending; empty for none.

    Raises:
        ShapeError: Sizes and settings do not fit each other, or the batch does
            not fit the sizes.

    Example:
        >>> model = AtftGatFan(
        ...     AtftGatFanSettings(hidden=16), features=3, static=0, edge_attributes=0,
        ...     lookback=20, horizons=(1, 5), levels=(0.25, 0.5, 0.75),
        ... )
        >>> day = torch.zeros(7, dtype=torch.int64)
        >>> batch = {
        ...     "features": torch.randn(7, 20, 3), "group_day": day, "stock_id": torch.arange(7),
        ... }
        >>> forecast = model(batch)
        >>> forecast.point.shape, forecast.quantiles.shape
        (torch.Size([7, 2]), torch.Size([7, 2, 3]))
    """

    def __init__(
        self,
        settings: AtftGatFanSettings,
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
        self.off: frozenset[str] = frozenset()
        self.sizes = InputSizes(lookback, features, static, edge_attributes)
        self.sizes.check_sizes()
        self.encoder = TemporalEncoder(settings, self.sizes)
        self.gat: GraphAttention | None = None
        if not settings.bypass_gat:
            self.gat = GraphAttention(
                settings.hidden,
                heads=settings.gat_heads,
                edge_attributes=edge_attributes,
                dropout=settings.dropout,
            )
            self.fusion = GatedFusion(
                settings.hidden,
                gate=settings.gat_residual_gate,
                graph_scale=settings.gat_init_scale,
            )
        self.head = PredictionHead(
            settings.hidden,
            horizons=horizons,
            levels=levels,
            variant=settings.head_variant,
            init_std=settings.head_init_std,
            layer_scale=settings.head_layer_scale,
            use_layernorm=settings.head_use_layernorm,
            dropout=settings.dropout,
        )

    @property
    def parts(self) -> Mapping[str, tuple[str, ...]]:
        """What can be switched off, and the modules that then have no effect on the scores."""
        parts: dict[str, tuple[str, ...]] = {}
        if self.gat is not None:
            parts["graph"] = ("gat", "fusion")
        if self.encoder.norm is not None:
            parts["adaptive_norm"] = ("encoder.norm", "encoder.taken_out")
        return parts

    def forward(self, batch: DayBatch, *more: object) -> Forecast:
        """Scores of every row of a batch of whole days.

        Args:
            batch: See `DayBatch`; a batch without `edge_index` has no graph.
            more: Nothing. Tensors given one by one are refused with the right call.

        Returns:
            A Forecast with `point`, (rows, horizons), and `quantiles`, (rows, horizons, levels).
        """
        self.sizes.check(batch, *more, dtype=next(self.parameters()).dtype)
        static = batch.get("static_features") if self.sizes.static else None
        adaptive = "adaptive_norm" not in self.off
        state = self.encoder(batch["features"], static, adaptive=adaptive)
        if self.gat is not None and "graph" not in self.off:
            heard = self.gat(state, batch.get("edge_index"), batch.get("edge_attr"))
            state = self.fusion(state, heard)
        point, quantiles = self.head(state)
        return Forecast(point, quantiles if quantiles.shape[-1] else None)
