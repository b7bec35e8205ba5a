"""Layers: tensors in, tensors out."""

from flatline.layers.attention import InterpretableAttention
from flatline.layers.gating import GatedResidual, GatedSkip
from flatline.layers.graph import GatedFusion, GraphAttention
from flatline.layers.heads import HeadVariant, HorizonHead, LayerScale, PredictionHead
from flatline.layers.normalisation import (
    AdaptiveNorm,
    AdaptiveNormName,
    FrequencyNorm,
    SliceNorm,
    WindowNorm,
)
from flatline.layers.selection import VariableNetworks, VariableSelection

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
