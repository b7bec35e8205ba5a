"""Models: one architecture per file, its settings on top.

The names below are imported on first use, so that settings can be read without torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flatline.models.apex import Apex
    from flatline.models.atft_gat_fan import AtftGatFan, TemporalEncoder
    from flatline.models.attention import attention_entropy
    from flatline.models.inputs import InputSizes
    from flatline.models.patchtst import PatchEncoder, PatchTST
    from flatline.models.registry import build_model
    from flatline.models.settings import ApexSettings, AtftGatFanSettings, PatchTSTSettings

_HOME = {
    "Apex": "apex",
    "ApexSettings": "settings",
    "AtftGatFan": "atft_gat_fan",
    "AtftGatFanSettings": "settings",
    "InputSizes": "inputs",
    "PatchEncoder": "patchtst",
    "PatchTST": "patchtst",
    "PatchTSTSettings": "settings",
    "TemporalEncoder": "atft_gat_fan",
    "attention_entropy": "attention",
    "build_model": "registry",
}

__all__ = [
    "Apex",
    "ApexSettings",
    "AtftGatFan",
    "AtftGatFanSettings",
    "InputSizes",
    "PatchEncoder",
    "PatchTST",
    "PatchTSTSettings",
    "TemporalEncoder",
    "attention_entropy",
    "build_model",
]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"flatline.models.{_HOME[name]}"), name)
