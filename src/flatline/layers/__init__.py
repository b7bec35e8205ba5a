"""Layers: tensors in, tensors out.

The names below are imported on first use, so that settings can be read without torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flatline.layers.attention import InterpretableAttention
    from flatline.layers.gating import GatedResidual, GatedSkip
    from flatline.layers.graph import GatedFusion, GraphAttention
    from flatline.layers.heads import HorizonHead, LayerScale, PredictionHead
    from flatline.layers.names import AdaptiveNormName, HeadVariant
    from flatline.layers.normalisation import AdaptiveNorm, FrequencyNorm, SliceNorm, WindowNorm
    from flatline.layers.selection import VariableNetworks, VariableSelection

_HOME = {
    "AdaptiveNorm": "normalisation",
    "AdaptiveNormName": "names",
    "FrequencyNorm": "normalisation",
    "GatedFusion": "graph",
    "GatedResidual": "gating",
    "GatedSkip": "gating",
    "GraphAttention": "graph",
    "HeadVariant": "names",
    "HorizonHead": "heads",
    "InterpretableAttention": "attention",
    "LayerScale": "heads",
    "PredictionHead": "heads",
    "SliceNorm": "normalisation",
    "VariableNetworks": "selection",
    "VariableSelection": "selection",
    "WindowNorm": "normalisation",
}

__all__ = [
    "AdaptiveNorm",
    "AdaptiveNormName",
    "FrequencyNorm",
    "GatedFusion",
    "GatedResidual",
    "GatedSkip",
    "GraphAttention",
    "HeadVariant",
    "HorizonHead",
    "InterpretableAttention",
    "LayerScale",
    "PredictionHead",
    "SliceNorm",
    "VariableNetworks",
    "VariableSelection",
    "WindowNorm",
]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"flatline.layers.{_HOME[name]}"), name)
