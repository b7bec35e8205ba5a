"""What the laws of an evaluation are made of: kinds of numbers, and when two are equal."""

from __future__ import annotations

import math
from typing import NamedTuple

from flatline.harness.measures import Measure
from flatline.harness.probes.audit import Audited
from flatline.harness.statistics import HALF_THE_DIGITS

__all__ = ["ABOUT_SCORES", "CORRELATION", "SKILL", "Breach", "close", "unit_of"]

# Numbers that say how well scores tell rows apart: of a constant there is nothing to say.
SKILL = (
    Measure.IC, Measure.RANK_IC, Measure.CORRELATION, Measure.RATIO, Measure.SHARPE,
)  # fmt: skip
CORRELATION = (Measure.IC, Measure.RANK_IC, Measure.CORRELATION)
BOUNDED = (*CORRELATION, Measure.HIT_RATE, Measure.AUC, Measure.R2, Measure.SLOPE)
# Numbers that are about the scores.
ABOUT_SCORES = tuple(m for m in Measure if m not in (Measure.COUNT, Measure.TARGET, Measure.OTHER))


class Breach(NamedTuple):
    """A number that does not keep a law, and what it said."""

    name: str
    evidence: str


def close(a: float, b: float, unit: float) -> bool:
    """Whether two numbers are equal but for rounding; undefined ones are."""
    if math.isnan(a) or math.isnan(b):
        return math.isnan(a) and math.isnan(b)
    return a == b or abs(a - b) <= HALF_THE_DIGITS * max(abs(a), abs(b), unit)


def unit_of(audited: Audited, name: str) -> float:
    """What rounding of a number is measured against at least."""
    return 1.0 if audited.measures[name] in BOUNDED else audited.unit * HALF_THE_DIGITS
