"""The data room: from price files, or the embedded market, to batches of whole days."""

from flatline.data.batches import DayBatches, EdgeSource, static_names
from flatline.data.build import build_panel
from flatline.data.edges import EDGE_ATTRIBUTES, EdgeBuilder
from flatline.data.features import FEATURES, build_features, describe_features
from flatline.data.fitted_normaliser import FittedNormaliser
from flatline.data.market import Market, Signals, make_market
from flatline.data.normalise import NORMALISERS, Normaliser, make_normaliser
from flatline.data.panel import Attribute, Panel
from flatline.data.prices import Prices, prices_from_frame, read_prices
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
    "Signals",
    "build_features",
    "build_panel",
    "describe_features",
    "holdout",
    "make_market",
    "make_normaliser",
    "prices_from_frame",
    "read_prices",
    "static_names",
    "walk_forward",
]
