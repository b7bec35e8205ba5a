"""Our own stack presented to the harness: the only place where stack and harness meet.

Names are imported when first used, so that settings can be read before torch starts.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flatline.subjects.references import REFERENCES, find_reference, reference, subject_of

__all__ = ["GATE_SETTINGS", "REFERENCES", "find_reference", "reference", "subject_of"]

# What a reference subject is made of unless other settings are given.
GATE_SETTINGS = Path(__file__).with_name("gate.toml")


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("flatline.subjects.references"), name)
