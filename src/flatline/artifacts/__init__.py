"""Checkpoints that hold all a model needs, and whose reading never runs code."""

from __future__ import annotations

from flatline.artifacts.checkpoint import (
    Loaded,
    load_checkpoint,
    read_manifest,
    save_checkpoint,
)
from flatline.artifacts.legacy import Legacy, load_legacy
from flatline.artifacts.manifest import FORMAT, Manifest, Signature, signature_of

__all__ = [
    "FORMAT",
    "Legacy",
    "Loaded",
    "Manifest",
    "Signature",
    "load_checkpoint",
    "load_legacy",
    "read_manifest",
    "save_checkpoint",
    "signature_of",
]
