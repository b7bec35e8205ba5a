"""From prices to batches, as the harness changes the prices: on a small market of the same kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import polars as pl

from flatline.data.market import Signals, make_market
from flatline.data.prices import prices_from_frame
from flatline.data.series_market import make_series_market
from flatline.data.settings import SourceSettings, SplitSettings
from flatline.evaluation.experiment import Raw, Split, cut, panel_of
from flatline.harness.pipeline import Pipeline
from flatline.settings import Settings

__all__ = ["pipeline_of"]


def pipeline_of(settings: Settings) -> Pipeline:
    """The line of data of these settings, on the smallest embedded market.

    What a pipeline may not do does not depend on how many stocks it does it with.
    """
    settings = _small(settings)
    data = settings.data
    sectors = index = None
    if data.series is not None:
        bars = make_series_market("tiny", seed=data.source.market_seed).prices
    else:
        signals = Signals.only(*data.source.signals)
        market = make_market("tiny", seed=data.source.market_seed, signals=signals)
        bars, sectors, index = market.prices, market.sectors, market.index

    def batches(frame: pl.DataFrame) -> Callable[[str], Any]:
        prices = prices_from_frame(frame, sectors=sectors, index=index)
        experiment = cut(settings, Raw(panel_of(prices, data), prices.quarantine))
        return lambda split: experiment.batches(_split(split))

    return Pipeline(prices=bars, batches=batches)


def _small(settings: Settings) -> Settings:
    """The same on the embedded market, whose dates and codes are others than those of files."""
    data = settings.data
    source = SourceSettings(
        market="tiny",
        market_seed=data.source.market_seed,
        signals=data.source.signals,
        universe=data.source.universe,
    )
    series = None if data.series is None else data.series.model_copy(update={"code": None})
    changed = {"source": source, "split": SplitSettings(), "series": series}
    return settings.model_copy(update={"data": data.model_copy(update=changed)})


def _split(name: str) -> Split:
    return "train" if name == "train" else "valid" if name == "valid" else "test"
