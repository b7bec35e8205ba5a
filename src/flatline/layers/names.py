"""The names by which layers are chosen; settings read them without torch."""

from __future__ import annotations

from typing import Literal

__all__ = ["AdaptiveNormName", "HeadVariant", "PatchPooling", "TokenNormName"]

AdaptiveNormName = Literal["fan", "san", "fan_san", "revin"]
HeadVariant = Literal["gated", "apex"]
PatchPooling = Literal["flatten", "mean", "max"]
TokenNormName = Literal["batch", "layer"]
