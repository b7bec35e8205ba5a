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
    from flatline.layers.names import (
        AdaptiveNormName,
        HeadVariant,
        PatchPooling,
        TokenNormName,
    )
    from flatline.layers.normalisation import AdaptiveNorm, FrequencyNorm, SliceNorm, WindowNorm
    from flatline.layers.patches import PatchEmbedding
    from flatline.layers.selection import VariableNetworks, VariableSelection
    from flatline.layers.transformer import (
        EncoderLayer,
        SelfAttention,
        TokenBatchNorm,
        TransformerEncoder,
    )

_HOME = {
    "AdaptiveNorm": "normalisation",
    "AdaptiveNormName": "names",
    "EncoderLayer": "transformer",
    "FrequencyNorm": "normalisation",
    "GatedFusion": "graph",
    "GatedResidual": "gating",
    "GatedSkip": "gating",
    "GraphAttention": "graph",
    "HeadVariant": "names",
    "HorizonHead": "heads",
    "InterpretableAttention": "attention",
    "LayerScale": "heads",
    "PatchEmbedding": "patches",
    "PatchPooling": "names",
    "PredictionHead": "heads",
    "SelfAttention": "transformer",
    "SliceNorm": "normalisation",
    "TokenBatchNorm": "transformer",
    "TokenNormName": "names",
    "TransformerEncoder": "transformer",
    "VariableNetworks": "selection",
    "VariableSelection": "selection",
    "WindowNorm": "normalisation",
}

__all__ = [
    "AdaptiveNorm",
    "AdaptiveNormName",
    "EncoderLayer",
    "FrequencyNorm",
    "GatedFusion",
    "GatedResidual",
    "GatedSkip",
    "GraphAttention",
    "HeadVariant",
    "HorizonHead",
    "InterpretableAttention",
    "LayerScale",
    "PatchEmbedding",
    "PatchPooling",
    "PredictionHead",
    "SelfAttention",
    "SliceNorm",
    "TokenBatchNorm",
    "TokenNormName",
    "TransformerEncoder",
    "VariableNetworks",
    "VariableSelection",
    "WindowNorm",
]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"flatline.layers.{_HOME[name]}"), name)
