"""flatline: a regression gate for return-prediction models, and the stack it guards.

Names are imported when first used, so that `import flatline` is quick and
threads can be chosen before torch starts.

Example:
    >>> import flatline as fl
    >>> fl.reference("atft_gat_fan").name
    'atft_gat_fan'
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flatline import losses, metrics, models
    from flatline.harness import Subject, Variants, check, signature_card
    from flatline.harness.audit import audit
    from flatline.harness.drift.frames import drift
    from flatline.harness.laws import laws_for
    from flatline.harness.pipeline import Pipeline
    from flatline.subjects import reference
    from flatline.training import DegeneracyGuard
    from flatline_pytest import checks_for, parametrize_with_checks

_HOME = {
    "DegeneracyGuard": "flatline.training",
    "Pipeline": "flatline.harness.pipeline",
    "Subject": "flatline.harness",
    "Variants": "flatline.harness",
    "audit": "flatline.harness.audit",
    "check": "flatline.harness",
    "checks_for": "flatline_pytest",
    "drift": "flatline.harness.drift.frames",
    "laws_for": "flatline.harness.laws",
    "parametrize_with_checks": "flatline_pytest",
    "reference": "flatline.subjects",
    "signature_card": "flatline.harness",
}
_ROOMS = frozenset({"losses", "metrics", "models"})

__all__ = [
    "DegeneracyGuard",
    "Pipeline",
    "Subject",
    "Variants",
    "audit",
    "check",
    "checks_for",
    "drift",
    "laws_for",
    "losses",
    "metrics",
    "models",
    "parametrize_with_checks",
    "reference",
    "signature_card",
]


def __getattr__(name: str) -> object:
    if name in _ROOMS:
        return import_module(f"flatline.{name}")
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
