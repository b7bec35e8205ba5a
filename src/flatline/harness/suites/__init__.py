"""The catalogue: every check, layer by layer, in the order in which they can speak."""

from __future__ import annotations

from flatline.harness.registry import Check
from flatline.harness.suites import (
    baseline,
    contract,
    degeneracy,
    dependence,
    drift,
    files,
    loss_math,
    metrics,
    settings,
)

__all__ = ["CHECKS"]

CHECKS: tuple[Check, ...] = (
    *contract.CHECKS,
    *files.CHECKS,
    *dependence.CHECKS,
    *loss_math.CHECKS,
    *degeneracy.CHECKS,
    *metrics.CHECKS,
    *drift.CHECKS,
    *settings.CHECKS,
    *baseline.CHECKS,
)
