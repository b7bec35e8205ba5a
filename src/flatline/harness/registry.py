"""What a check is: an id, what it says, when it can speak, and how often it cries wolf."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from flatline.harness.case import Case
from flatline.harness.verdicts import Stage, Verdict

__all__ = ["Check", "Cost", "Layer"]


class Layer(StrEnum):
    """What a check is about; pytest's markers have the same names."""

    CONTRACT = "contract"
    DEPENDENCE = "dependence"
    DEGENERACY = "degeneracy"
    LOSS_MATH = "loss_math"
    METRICS = "metrics"
    DRIFT = "drift"
    SETTINGS = "settings"
    BASELINE = "baseline"


class Cost(StrEnum):
    """The dearest thing that a check does."""

    FREE = "free"
    PASSES = "passes"
    TRAINING = "training"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that may be wrong with a subject, and how it is found out.

    Args:
        id: Its name, as in `subject-scores_vary`.
        says: What holds of a healthy subject, in one sentence.
        layer: What it is about.
        stage: The earliest moment at which it can speak.
        false_alarm_rate: Probability that a healthy subject fails it, stated by design; None
            where none can be, for what is held against chance is a model that learned nothing,
            and how far a healthy one gets beyond that is up to it.
        cost: The dearest thing that it does.
        judge: From a case to the verdict.
        dead_passes: Probability that a model that learned nothing passes it; None where that
            is not what it tells.
        needs: Optional parts of the subject without which it says nothing.
        ordered: Whether it says nothing where days do not follow each other as they did in time:
            those that do are alike, and of shuffled ones what persists would be taken for a drift.
        shares: Name of the costly probe it shares with others, empty if none: these are
            judged together where several processes divide the checks among them.
    """

    id: str
    says: str
    layer: Layer
    stage: Stage
    false_alarm_rate: float | None
    cost: Cost
    judge: Callable[[Case], Verdict]
    dead_passes: float | None = None
    needs: tuple[str, ...] = ()
    ordered: bool = False
    shares: str = ""
