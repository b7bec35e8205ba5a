"""Training: the loop, schedules, seeds, resumable runs and the degeneracy guard.

Names are imported when first used, so that settings and safe mode can be read
before torch and Lightning start.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flatline.training.ema import MovingAverage, WeightAverage
    from flatline.training.fitting import FitResult, fit
    from flatline.training.guard import Guard, reinitialise
    from flatline.training.guard_callback import DegeneracyGuard
    from flatline.training.monitors import GraphGradientMonitor, ModuleDiagnostics, make_monitors
    from flatline.training.optimizer import check_optimizer, make_optimizer
    from flatline.training.phase_settings import PhaseSettings
    from flatline.training.phases import switched_off
    from flatline.training.safe_mode import enter_safe_mode, safe_mode_wanted
    from flatline.training.schedule import Schedule, make_schedule
    from flatline.training.seeds import seed_all
    from flatline.training.settings import (
        DiagnosticsSettings,
        GuardSettings,
        RunSettings,
        TrainingSettings,
    )

_HOME = {
    "DegeneracyGuard": "guard_callback",
    "DiagnosticsSettings": "settings",
    "FitResult": "fitting",
    "GraphGradientMonitor": "monitors",
    "Guard": "guard",
    "GuardSettings": "settings",
    "ModuleDiagnostics": "monitors",
    "MovingAverage": "ema",
    "PhaseSettings": "phase_settings",
    "RunSettings": "settings",
    "Schedule": "schedule",
    "TrainingSettings": "settings",
    "WeightAverage": "ema",
    "check_optimizer": "optimizer",
    "enter_safe_mode": "safe_mode",
    "fit": "fitting",
    "make_monitors": "monitors",
    "make_optimizer": "optimizer",
    "make_schedule": "schedule",
    "reinitialise": "guard",
    "safe_mode_wanted": "safe_mode",
    "seed_all": "seeds",
    "switched_off": "phases",
}

__all__ = [
    "DegeneracyGuard",
    "DiagnosticsSettings",
    "FitResult",
    "GraphGradientMonitor",
    "Guard",
    "GuardSettings",
    "ModuleDiagnostics",
    "MovingAverage",
    "PhaseSettings",
    "RunSettings",
    "Schedule",
    "TrainingSettings",
    "WeightAverage",
    "check_optimizer",
    "enter_safe_mode",
    "fit",
    "make_monitors",
    "make_optimizer",
    "make_schedule",
    "reinitialise",
    "safe_mode_wanted",
    "seed_all",
    "switched_off",
]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"flatline.training.{_HOME[name]}"), name)
