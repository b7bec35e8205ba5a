"""Losses: one number per day and horizon, and the blend that averages and adds them.

The names below are imported on first use, so that settings can be read without torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flatline.losses.blend import LossReport, MultiHorizonLoss
    from flatline.losses.classification import bce_with_logits_loss
    from flatline.losses.correlation import ic_loss, rank_ic_loss
    from flatline.losses.dispersion import reciprocal_spread_loss, variance_floor_loss
    from flatline.losses.laws import LAWS, Law
    from flatline.losses.per_day import PerDay
    from flatline.losses.portfolio import exposure_loss, portfolio_loss, turnover_loss
    from flatline.losses.quantile import coverage_loss, pinball_loss
    from flatline.losses.ranking import lambdarank_loss, listnet_loss, margin_loss, ranknet_loss
    from flatline.losses.regression import huber_loss, mse_loss
    from flatline.losses.settings import BlendSettings
    from flatline.losses.top_k import top_k_loss

_HOME = {
    "blend": ("LossReport", "MultiHorizonLoss"),
    "classification": ("bce_with_logits_loss",),
    "correlation": ("ic_loss", "rank_ic_loss"),
    "dispersion": ("reciprocal_spread_loss", "variance_floor_loss"),
    "laws": ("LAWS", "Law"),
    "per_day": ("PerDay",),
    "portfolio": ("exposure_loss", "portfolio_loss", "turnover_loss"),
    "quantile": ("coverage_loss", "pinball_loss"),
    "ranking": ("lambdarank_loss", "listnet_loss", "margin_loss", "ranknet_loss"),
    "regression": ("huber_loss", "mse_loss"),
    "settings": ("BlendSettings",),
    "top_k": ("top_k_loss",),
}

__all__ = [
    "LAWS",
    "BlendSettings",
    "Law",
    "LossReport",
    "MultiHorizonLoss",
    "PerDay",
    "bce_with_logits_loss",
    "coverage_loss",
    "exposure_loss",
    "huber_loss",
    "ic_loss",
    "lambdarank_loss",
    "listnet_loss",
    "margin_loss",
    "mse_loss",
    "pinball_loss",
    "portfolio_loss",
    "rank_ic_loss",
    "ranknet_loss",
    "reciprocal_spread_loss",
    "top_k_loss",
    "turnover_loss",
    "variance_floor_loss",
]


def __getattr__(name: str) -> object:
    for module, names in _HOME.items():
        if name in names:
            return getattr(importlib.import_module(f"flatline.losses.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
