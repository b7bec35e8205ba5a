"""Every architecture by its name: from settings and the sizes of the batches to a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

from torch import nn

from flatline.models.settings import ModelSettings, check_model_settings

__all__ = ["MODELS", "build_model"]

# Name in the settings: module and class.
MODELS: Mapping[str, tuple[str, str]] = {
    "atft_gat_fan": ("flatline.models.atft_gat_fan", "AtftGatFan"),
    "patchtst": ("flatline.models.patchtst", "PatchTST"),
    "apex": ("flatline.models.apex", "Apex"),
}


def build_model(
    settings: ModelSettings | Mapping[str, Any],
    *,
    features: int,
    static: int,
    edge_attributes: int,
    lookback: int,
    horizons: Sequence[int],
    levels: Sequence[float],
) -> nn.Module:
    """A fresh model of the architecture that the settings name.

    Args:
        settings: `Settings.model`: the settings of one architecture, or the plain values
            of them that a checkpoint holds.
        features: Features of a step.
        static: Static features of a row; 0 for none.
        edge_attributes: Attributes of an edge; 0 for none.
        lookback: Steps of a window.
        horizons: In trading days.
        levels: Quantile levels, ascending; empty for none.

    Raises:
        SettingsError: The plain values are not those of an architecture.

    Example:
        >>> from flatline.models import AtftGatFanSettings
        >>> model = build_model(
        ...     AtftGatFanSettings(hidden=8), features=3, static=0, edge_attributes=0,
        ...     lookback=20, horizons=(1, 5), levels=(),
        ... )
        >>> type(model).__name__
        'AtftGatFan'
    """
    checked = check_model_settings(settings)
    module, name = MODELS[checked.name]
    made: nn.Module = getattr(import_module(module), name)(
        checked,
        features=features,
        static=static,
        edge_attributes=edge_attributes,
        lookback=lookback,
        horizons=horizons,
        levels=levels,
    )
    return made
