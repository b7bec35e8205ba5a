"""The data room: from price files, or the embedded market, to batches of whole days.

Names are imported when first used: settings of this room are read before torch
may start, and a command line prints its help without it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flatline.data.batches import DayBatches, EdgeSource, static_names
    from flatline.data.build import build_panel
    from flatline.data.edges import EDGE_ATTRIBUTES, EdgeBuilder
    from flatline.data.features import FEATURES, build_features, describe_features
    from flatline.data.fitted_normaliser import FittedNormaliser
    from flatline.data.market import Market, Signals, make_market
    from flatline.data.normalise import NORMALISERS, Normaliser, make_normaliser
    from flatline.data.panel import Attribute, Panel
    from flatline.data.prices import Prices, prices_from_frame, read_prices
    from flatline.data.series import series_panel
    from flatline.data.series_market import SeriesMarket, make_series_market
    from flatline.data.splits import Fold, holdout, walk_forward
    from flatline.data.targets import HORIZONS

__all__ = [
    "EDGE_ATTRIBUTES",
    "FEATURES",
    "HORIZONS",
    "NORMALISERS",
    "Attribute",
    "DayBatches",
    "EdgeBuilder",
    "EdgeSource",
    "FittedNormaliser",
    "Fold",
    "Market",
    "Normaliser",
    "Panel",
    "Prices",
    "SeriesMarket",
    "Signals",
    "build_features",
    "build_panel",
    "describe_features",
    "holdout",
    "make_market",
    "make_normaliser",
    "make_series_market",
    "prices_from_frame",
    "read_prices",
    "series_panel",
    "static_names",
    "walk_forward",
]

_HOMES = {
    "batches": ("DayBatches", "EdgeSource", "static_names"),
    "build": ("build_panel",),
    "edges": ("EDGE_ATTRIBUTES", "EdgeBuilder"),
    "features": ("FEATURES", "build_features", "describe_features"),
    "fitted_normaliser": ("FittedNormaliser",),
    "market": ("Market", "Signals", "make_market"),
    "normalise": ("NORMALISERS", "Normaliser", "make_normaliser"),
    "panel": ("Attribute", "Panel"),
    "prices": ("Prices", "prices_from_frame", "read_prices"),
    "series": ("series_panel",),
    "series_market": ("SeriesMarket", "make_series_market"),
    "splits": ("Fold", "holdout", "walk_forward"),
    "targets": ("HORIZONS",),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__
