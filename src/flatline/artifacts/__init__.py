"""Checkpoints that hold all a model needs, and whose reading never runs code."""

from __future__ import annotations

from flatline.artifacts.checkpoint import (
    Loaded,
    load_checkpoint,
    read_manifest,
    save_checkpoint,
)
from flatline.artifacts.manifest import FORMAT, Manifest, Signature, signature_of

__all__ = [
    "FORMAT",
    "Loaded",
    "Manifest",
    "Signature",
    "load_checkpoint",
    "read_manifest",
    "save_checkpoint",
    "signature_of",
]
