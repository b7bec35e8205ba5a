"""What must not enter an evaluation: row order, scale, gaps, flat days, the past, overlap."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from flatline.harness.checks.metrics_numbers import CORRELATION, Breach, close, unit_of
from flatline.harness.measures import Measure, column_of, stem_of
from flatline.harness.probes.audit import STRETCH, Audited

__all__ = [
    "annualised",
    "annualised_twice",
    "gaps_counted",
    "not_repeated",
    "off_scale",
    "order_matters",
    "undefined_unsaid",
]

# What is this much larger than the Sharpe ratio of a day is one of a year.
ANNUAL = 3.0


def order_matters(a: Audited) -> list[Breach]:
    """Numbers that depend on the order of the rows."""
    found = []
    for name in a.measures:
        first, second = a.number("tied", name), a.number("tied, other order", name)
        if not close(first, second, unit_of(a, name)):
            says = f"goes from {first:.6g} to {second:.6g} when the rows come in another order"
            found.append(Breach(name, says))
    return found


def off_scale(a: Audited) -> list[Breach]:
    """Numbers that change in another way than they should with the scores' scale."""
    found = []
    for name in a.judged(*CORRELATION, Measure.RATIO, Measure.AUC):
        changes = {"stretched": "multiplied by 4"}
        if a.measures[name] != Measure.AUC and not a.one_a_day:
            changes["day shifted"] = "moved by a number a day"
        for situation, done in changes.items():
            before, after = a.number("good", name), a.number(situation, name)
            if not close(before, after, 1.0):
                says = f"goes from {before:.3g} to {after:.3g} when scores are {done}"
                found.append(Breach(name, says))
    if a.logits:
        return found
    for name in a.judged(Measure.SPREAD):
        before, after = a.number("good", name), a.number("stretched", name)
        if not close(STRETCH * before, after, unit_of(a, name)):
            says = f"goes from {before:.3g} to {after:.3g} when scores are multiplied by 4"
            found.append(Breach(name, says))
    for name in a.judged(Measure.ERROR):
        before, after = a.number("good", name), a.number("both stretched", name)
        if not any(close(STRETCH**p * before, after, unit_of(a, name)) for p in (0, 1, 2)):
            says = f"goes from {before:.3g} to {after:.3g} when scores and targets are times 4"
            found.append(Breach(name, says))
    return found


def undefined_unsaid(a: Audited) -> list[Breach]:
    """Means that undefined days enter, or are left out of without a word."""
    if a.one_a_day:
        return []
    counted = any(
        not close(a.number("good", name), a.number("some flat", name), 0.0)
        and abs(abs(a.number("good", name) - a.number("some flat", name)) - a.flattened) < 0.5
        for name in a.judged(Measure.COUNT)
    )
    found = []
    for name in a.judged(*CORRELATION):
        said, others = a.number("some flat", name), a.number("only others", name)
        if math.isnan(said):
            continue
        if not close(said, others, 1.0):
            says = f"is {said:.3g} with {a.flattened} constant days and {others:.3g} without them"
            found.append(Breach(name, f"{says}: they count as a number"))
        elif not counted:
            says = f"is a mean that leaves out {a.flattened} constant days"
            found.append(Breach(name, f"{says}, and no number says so"))
    return found


def gaps_counted(a: Audited) -> list[Breach]:
    """Numbers that rows without a label enter."""
    found = []
    for name in a.measures:
        said, without = a.number("gaps", name), a.number("without gaps", name)
        if a.measures[name] in (Measure.COUNT, Measure.OTHER) or math.isnan(said):
            continue
        if not close(said, without, unit_of(a, name)):
            says = f"is {said:.3g} with NaN labels and {without:.3g} without their rows"
            found.append(Breach(name, says))
    return found


def not_repeated(a: Audited) -> list[Breach]:
    """Numbers that depend on what was evaluated before."""
    return [
        Breach(name, f"was {a.number('good', name):.6g}, and {again:.6g} after other scores")
        for name in a.measures
        if not close(a.number("good", name), again := a.number("good again", name), 0.0)
    ]


def annualised(a: Audited) -> list[str]:
    """Annualised Sharpe ratios of the longest horizon."""
    if a.overlapping is None or min(a.horizons) > ANNUAL:
        return []
    short, long = _ends(a)
    return [
        name
        for name, k in _columns(a).items()
        if k == long and _other(a, name, short) > ANNUAL * a.daily
    ]


def annualised_twice(a: Audited) -> list[Breach]:
    """Sharpe ratios that take overlapping returns for independent ones."""
    found, (short, long) = [], _ends(a)
    growth = math.sqrt(a.horizons[long] / a.horizons[short])
    for name in annualised(a):
        said, first = (a.overlapping or {}).get(name, math.nan), _other(a, name, short)
        # Half way, on a log scale, between what is right and what overlap makes of it.
        if not said / first < math.sqrt(growth):
            says = f"is {said / first:.1f} times that of horizon {a.horizons[short]} for one edge"
            found.append(Breach(name, f"{says}, as if its returns did not overlap"))
    return found


def _ends(a: Audited) -> tuple[int, int]:
    return int(np.argmin(a.horizons)), int(np.argmax(a.horizons))


def _columns(a: Audited) -> Mapping[str, int | None]:
    return {name: column_of(name, a.horizons) for name in a.judged(Measure.SHARPE)}


def _other(a: Audited, name: str, column: int) -> float:
    same = [n for n, k in _columns(a).items() if k == column and stem_of(n) == stem_of(name)]
    return (a.overlapping or {}).get(same[0], math.nan) if same else math.nan
