"""Models: one architecture per file, its settings on top.

The names below are imported on first use, so that settings can be read without torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flatline.models.atft_gat_fan import AtftGatFan, TemporalEncoder
    from flatline.models.inputs import InputSizes
    from flatline.models.registry import build_model
    from flatline.models.settings import AtftGatFanSettings

_HOME = {
    "AtftGatFan": "atft_gat_fan",
    "AtftGatFanSettings": "settings",
    "InputSizes": "inputs",
    "TemporalEncoder": "atft_gat_fan",
    "build_model": "registry",
}

__all__ = ["AtftGatFan", "AtftGatFanSettings", "InputSizes", "TemporalEncoder", "build_model"]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"flatline.models.{_HOME[name]}"), name)
