"""One experiment: what the settings say, put together from prices to batches, model and loss."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray
from torch import nn

from flatline.data.batches import DayBatches, static_names
from flatline.data.build import build_panel
from flatline.data.edges import EDGE_ATTRIBUTES, EdgeBuilder
from flatline.data.fitted_normaliser import FittedNormaliser
from flatline.data.market import Market, Signals, make_market
from flatline.data.normalise import make_normaliser
from flatline.data.panel import Panel
from flatline.data.prices import Prices, prices_from_frame, read_prices
from flatline.data.series import series_panel
from flatline.data.series_market import SeriesMarket, make_series_market
from flatline.data.settings import DataSettings, SourceSettings
from flatline.data.splits import Fold, holdout
from flatline.losses.blend import MultiHorizonLoss
from flatline.models.registry import build_model
from flatline.settings import Settings

__all__ = ["Experiment", "Raw", "Split", "assemble", "cut", "panel_of", "prepare"]

Split = Literal["train", "valid", "test"]


@dataclass(frozen=True, slots=True, eq=False)
class Experiment:
    """What one run is made of. Build it with `assemble`.

    Args:
        settings: The tree that everything below was made from.
        panel: Normalised features, raw targets.
        fold: Days to learn from, to choose by, to judge on.
        normaliser: Fitted on the train days of the fold.
        quarantine: What was wrong with the prices, counted by reason.
        market: The embedded market or series, None for prices from files.
    """

    settings: Settings
    panel: Panel
    fold: Fold
    normaliser: FittedNormaliser
    quarantine: pl.DataFrame
    market: Market | SeriesMarket | None

    def batches(self, split: Split, *, most_days: int | None = None) -> DayBatches:
        """Batches of one part of the fold; only the train days are shuffled and sampled.

        Args:
            split: Which part.
            most_days: Take that many of its days, evenly spaced; None for all.
        """
        data, training = self.settings.data, split == "train"
        days: NDArray[np.int64] = getattr(self.fold, split)
        if most_days is not None and most_days < len(days):
            days = days[np.linspace(0, len(days) - 1, most_days).astype(np.int64)]
        rows = np.count_nonzero(self.panel.present[self.fold.train], axis=1)
        return DayBatches(
            self.panel,
            days,
            lookback=data.lookback,
            days_per_batch=data.days_per_batch(float(np.median(rows))),
            edges=self.edges(),
            target=data.target,
            shuffle=data.shuffle and training,
            seed=data.seed,
            max_stocks=data.max_stocks if training else None,
            min_present=data.min_present,
        )

    def edges(self) -> EdgeBuilder | None:
        """Joins the stocks of a day; None where the settings want no graph."""
        graph = self.settings.data.graph
        if not graph.enabled:
            return None
        return EdgeBuilder(
            self.panel,
            neighbours=graph.neighbours,
            window=graph.window,
            rebuild_every=graph.rebuild_every,
            same_sector=graph.same_sector,
        )

    def sizes(self) -> dict[str, Any]:
        """What the model's constructor is given beside its settings, by name."""
        data = self.settings.data
        return {
            "features": len(self.panel.feature_names),
            "static": len(static_names(self.panel)),
            "edge_attributes": len(EDGE_ATTRIBUTES) if data.graph.enabled else 0,
            "lookback": data.lookback,
            "horizons": data.horizons,
            "levels": data.levels,
        }

    def model(self) -> nn.Module:
        """A fresh model that fits the batches."""
        return build_model(self.settings.model, **self.sizes())

    def loss(self) -> MultiHorizonLoss:
        """A fresh loss over the model's horizons and levels."""
        data = self.settings.data
        return MultiHorizonLoss(self.settings.loss, horizons=data.horizons, levels=data.levels)

    def oracle(self) -> NDArray[np.float64] | None:
        """Expected log return of every date and stock of the panel, where the truth is known.

        Returns:
            As a fraction, NaN where the stock has no row. Shape (dates, stocks, horizons).
        """
        if not isinstance(self.market, Market):
            return None
        date = np.searchsorted(self.market.dates, self.panel.dates)
        stock = np.searchsorted(self.market.codes, self.panel.codes)
        return self.market.expected_return(self.settings.data.horizons)[date[:, None], stock]


@dataclass(frozen=True, slots=True, eq=False)
class Raw:
    """What experiments are cut from. Build it with `prepare`.

    Args:
        panel: Raw features and targets.
        quarantine: What was wrong with the prices, counted by reason.
        market: The embedded market or series, None for prices from files.
    """

    panel: Panel
    quarantine: pl.DataFrame
    market: Market | SeriesMarket | None = None


def assemble(
    settings: Settings,
    *,
    normaliser: FittedNormaliser | None = None,
    on_stage: Callable[[str], None] = lambda _: None,
) -> Experiment:
    """Read prices, build and normalise the panel, and cut the fold.

    Args:
        settings: What to make.
        normaliser: One that was fitted and saved with a model; None fits on the train days.
        on_stage: Called with the name of each stage as it begins, for progress.

    Raises:
        DataError: The prices cannot be used.
        SettingsError: No day is left for a part of the fold, or a setting does not fit the data.
    """
    raw = prepare(settings, on_stage=on_stage)
    on_stage("normalising")
    mapped = settings.data.source.memory_map
    if mapped is None:
        return cut(settings, raw, normaliser=normaliser, overwrite=True)
    return cut(settings, raw, normaliser=normaliser, memory_map=mapped / "normalised.npy")


def prepare(settings: Settings, *, on_stage: Callable[[str], None] = lambda _: None) -> Raw:
    """Read prices and build the raw panel: what all folds have in common.

    Args:
        settings: What to make; only `data.source`, `data.series` and `data.horizons` count.
        on_stage: Called with the name of each stage as it begins, for progress.

    Raises:
        DataError: The prices cannot be used.
    """
    data, market = settings.data, None
    if data.source.prices:
        on_stage("reading prices")
        prices = _read(data.source)
    else:
        on_stage(f"drawing the embedded market ({data.source.market})")
        market, prices = _embedded(data)
    on_stage("building features and targets")
    return Raw(panel_of(prices, data), prices.quarantine, market)


def cut(
    settings: Settings,
    raw: Raw,
    *,
    normaliser: FittedNormaliser | None = None,
    overwrite: bool = False,
    memory_map: Path | None = None,
) -> Experiment:
    """The experiment on one fold of a raw panel: days, and features normalised for them.

    Args:
        settings: Its `data.split` is the fold.
        raw: Left alone, unless *overwrite*.
        normaliser: One that was fitted and saved with a model; None fits on the train days.
        overwrite: Reuse the memory of the raw panel, which is normalised with it.
        memory_map: New file to hold the normalised features instead of memory.

    Raises:
        SettingsError: No day is left for a part of the fold.
    """
    data = settings.data
    fold = _fold(raw.panel, data)
    if normaliser is None:
        normaliser = make_normaliser(data.normaliser).fit(raw.panel, fold.train)
    panel = normaliser.apply(raw.panel, overwrite=overwrite, memory_map=memory_map)
    return Experiment(settings, panel, fold, normaliser, raw.quarantine, raw.market)


def _embedded(data: DataSettings) -> tuple[Market | SeriesMarket, Prices]:
    source = data.source
    if data.series is not None:
        series = make_series_market(source.market, seed=source.market_seed)
        return series, prices_from_frame(series.prices)
    market = make_market(
        source.market, seed=source.market_seed, signals=Signals.only(*source.signals)
    )
    return market, prices_from_frame(market.prices, sectors=market.sectors, index=market.index)


def _read(source: SourceSettings) -> Prices:
    return read_prices(
        list(source.prices),
        sectors=source.sectors,
        index=source.index,
        index_code=source.index_code,
        index_source=source.index_source,
    )


def panel_of(prices: Prices, data: DataSettings) -> Panel:
    """The raw panel of these prices: features and targets, as the settings want them."""
    series = data.series
    if series is not None:
        return series_panel(
            prices, horizons=data.horizons, code=series.code, features=series.features
        )
    return build_panel(
        prices,
        horizons=data.horizons,
        universe=data.source.universe,
        memory_map=data.source.memory_map,
    )


def _fold(panel: Panel, data: DataSettings) -> Fold:
    split = data.split
    return holdout(
        panel,
        valid=split.valid,
        test=split.test,
        train_from=split.train_from,
        valid_from=split.valid_from,
        test_from=split.test_from,
        test_until=split.test_until,
        embargo=split.embargo,
    )
