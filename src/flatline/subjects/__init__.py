"""Our own stack presented to the harness: the only place where stack and harness meet.

Names are imported when first used, so that settings can be read before torch starts.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from flatline.errors import SettingsError
from flatline.section import nearest

if TYPE_CHECKING:
    from flatline.subjects.references import REFERENCES, find_reference, reference, subject_of

__all__ = [
    "GATE_SETTINGS", "REFERENCES", "find_reference", "gate_settings", "reference", "subject_of",
]  # fmt: skip

# What each reference subject is made of unless other settings are given.
GATE_SETTINGS: Mapping[str, Path] = {
    file.stem: file for file in sorted(Path(__file__).parent.glob("*.toml"))
}


def gate_settings(name: str) -> Path:
    """The settings that a reference subject is judged with unless others are given.

    Raises:
        SettingsError: There is no such subject.
    """
    if name not in GATE_SETTINGS:
        raise SettingsError(
            f"subject is {name!r}, expected one of {sorted(GATE_SETTINGS)}. "
            f"{nearest(name, GATE_SETTINGS)}"
        )
    return GATE_SETTINGS[name]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("flatline.subjects.references"), name)
