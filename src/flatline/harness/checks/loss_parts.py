"""Verdicts on the parts of a loss: every one must be sound, and the worst is the culprit."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from flatline.harness.verdicts import Culprit, Stage, Status, Verdict

__all__ = ["bad_first", "least_is_best", "of_parts"]


def least_is_best(
    found: Mapping[str, float],
    *,
    check: str,
    bound: float,
    unit: str,
    sentence: str,
    remedy: str,
) -> Verdict:
    """Every number must be at most the bound; what is not a number is above it.

    Args:
        found: By part of the loss.
        check: Id of the check.
        bound: Largest that is sound.
        unit: Of the numbers.
        sentence: What was measured, with a place for the number.
        remedy: What to do.
    """
    order = sorted(found, key=lambda name: bad_first(-found[name]))
    worst = found[order[0]] if order else 0.0
    return of_parts(
        check=check,
        broken=[name for name in order if not found[name] <= bound],
        value=worst,
        bound=bound,
        unit=unit,
        measured=f"{order[0] if order else 'none'}: {sentence.format(worst)}, expected at most "
        f"{bound:.2g}",
        evidence=lambda name: sentence.format(found[name]),
        remedy=remedy,
    )


def of_parts(
    *,
    check: str,
    broken: Sequence[str],
    value: float,
    bound: float,
    unit: str,
    measured: str,
    evidence: Callable[[str], str],
    remedy: str,
) -> Verdict:
    """A verdict on the parts of a loss; the first that is broken is the culprit.

    Args:
        check: Id of the check.
        broken: Names of the parts that fail, worst first.
        value: The number measured.
        bound: The number it is held against.
        unit: Of both.
        measured: The outcome as a sentence.
        evidence: What points at a part.
        remedy: What to do.
    """
    return Verdict(
        check=check,
        stage=Stage.START,
        status=Status.FAIL if broken else Status.PASS,
        value=value,
        bound=bound,
        unit=unit,
        measured=measured,
        false_alarm_rate=0.0,
        hint=f"Look at {', '.join(broken)}: {remedy}" if broken else "",
        culprit=Culprit(kind="term", path=broken[0], evidence=evidence(broken[0]), remedy=remedy)
        if broken
        else None,
    )


def bad_first(x: float) -> float:
    """A key to sort by, ascending: what is not a number comes first."""
    return -math.inf if math.isnan(x) else x
