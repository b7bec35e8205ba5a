"""What an evaluation says of skill: none of constants, most of perfect scores, nothing of noise."""

from __future__ import annotations

import math

import numpy as np

from flatline.harness.checks.metrics_numbers import (
    ABOUT_SCORES,
    CORRELATION,
    SKILL,
    Breach,
    close,
    unit_of,
)
from flatline.harness.measures import Measure
from flatline.harness.probes.audit import Audited
from flatline.harness.statistics import CHANCE, HALF_THE_DIGITS, reach

__all__ = [
    "deaf",
    "listening",
    "not_mirrored",
    "null_at_zero",
    "off_definition",
    "on_constants",
    "ordered",
    "out_of_order",
    "skill_from_nothing",
]

PERFECT = {**dict.fromkeys(CORRELATION, 1.0), Measure.AUC: 1.0, Measure.R2: 1.0,
           Measure.ERROR: 0.0, Measure.SLOPE: 1.0, Measure.INTERCEPT: 0.0}  # fmt: skip


def on_constants(a: Audited) -> list[Breach]:
    """Skill that is a number for scores that have none."""
    found = []
    for name in a.judged(*SKILL, Measure.SLOPE, Measure.INTERCEPT):
        for situation in ("constant", "day constant"):
            # Pooled over the days, a line through their levels is well defined.
            pooled = a.measures[name] in (Measure.SLOPE, Measure.INTERCEPT)
            if situation == "day constant" and (a.one_a_day or pooled):
                continue
            said = a.number(situation, name)
            if not math.isnan(said):
                scores = "constant scores" if situation == "constant" else "one score a day"
                found.append(Breach(name, f"is {said:.3g} for {scores}"))
    return found


def out_of_order(a: Audited) -> list[Breach]:
    """Numbers that are not in order for perfect, good and unrelated scores."""
    found = []
    for name in ordered(a):
        perfect, good, noise = (a.number(s, name) for s in ("perfect", "good", "noise"))
        if all(map(math.isnan, (perfect, good, noise))):
            continue  # Undefined of all scores: it claims nothing.
        sign = -1.0 if a.measures[name] == Measure.ERROR else 1.0
        # Perfect days do not differ: their mean over their spread is undefined, or huge.
        best = math.isnan(perfect) and a.measures[name] == Measure.RATIO
        if not (sign * good > sign * noise and (best or sign * perfect >= sign * good)):
            says = f"is {perfect:.3g} for perfect, {good:.3g} for good and {noise:.3g} for no skill"
            found.append(Breach(name, says))
    for name in a.judged(*PERFECT):
        wanted, said = PERFECT[a.measures[name]], a.number("perfect", name)
        exact = a.measures[name] not in (Measure.ERROR, Measure.R2, Measure.SLOPE,
                                         Measure.INTERCEPT)  # fmt: skip
        # A logit is no forecast in units of the target, and binary labels tie.
        if (a.logits and (not exact or a.measures[name] != Measure.AUC)) or math.isnan(said):
            continue
        if not abs(said - wanted) <= HALF_THE_DIGITS * max(1.0, abs(wanted)):
            found.append(Breach(name, f"is {said:.6g} for perfect scores, not {wanted:g}"))
    return found


def ordered(a: Audited) -> list[str]:
    """Numbers that grow, or errors that fall, with skill."""
    return a.judged(*SKILL, Measure.HIT_RATE, Measure.AUC, Measure.PROFIT, Measure.ERROR)


def not_mirrored(a: Audited) -> list[Breach]:
    """Numbers that take scores upside down for something else than their opposite."""
    found = []
    for name in a.judged(*SKILL, Measure.HIT_RATE, Measure.AUC, Measure.PROFIT):
        good, upside_down = a.number("good", name), a.number("inverted", name)
        says = f"is {good:.3g} for good scores and {upside_down:.3g} for the same upside down"
        if a.measures[name] in (Measure.SHARPE, Measure.PROFIT):
            # Costs are paid either way: only the sign is known.
            kept = (good > 0) != (upside_down > 0)
        else:
            total = 1.0 if a.measures[name] in (Measure.HIT_RATE, Measure.AUC) else 0.0
            kept = close(total - good, upside_down, 1.0)
        if not kept:
            found.append(Breach(name, says))
    return found


def skill_from_nothing(a: Audited) -> list[Breach]:
    """Numbers that see skill in scores shuffled within the day."""
    found: list[Breach] = []
    names = null_at_zero(a)
    for name in names:
        null = 0.5 if a.measures[name] == Measure.AUC else 0.0
        values = np.array([numbers.get(name, math.nan) - null for numbers in a.shuffled])
        # Over infinitely many more shuffles: the mean that there is, within its own error.
        chance = reach(len(values), CHANCE / len(names), draws=math.inf)
        mean, bound = float(values.mean()), chance * float(values.std(ddof=1))
        if mean > max(bound, HALF_THE_DIGITS * unit_of(a, name)):
            says = f"is {null + mean:.3g} on average for scores shuffled within the day"
            found.append(Breach(name, f"{says}, chance reaches {null + bound:.2g}"))
    return found


def null_at_zero(a: Audited) -> list[str]:
    """Numbers that are 0 where there is no skill within the day."""
    return a.judged(*SKILL, *((Measure.AUC,) if a.one_a_day else ()))


def listening(a: Audited) -> list[str]:
    """Numbers that are about the scores."""
    return a.judged(*ABOUT_SCORES)


def deaf(a: Audited) -> list[Breach]:
    """Numbers that stay the same whatever the scores are."""
    found = []
    for name in listening(a):
        said = [a.number(s, name) for s in ("good", "noise", "perfect", "stretched", "inverted")]
        if len({f"{x:.12g}" for x in said}) == 1 and not math.isnan(said[0]):
            found.append(Breach(name, f"is {said[0]:.3g} whatever the scores are"))
    return found


def off_definition(a: Audited) -> list[Breach]:
    """Numbers that are not what their name says."""
    found = []
    for name, wanted in a.definition.items():
        said = a.number("tied", name)
        if not close(said, wanted, 1.0):
            what = "correlation" if a.measures[name] == Measure.IC else "rank correlation"
            over = "over all rows" if a.one_a_day else "of a day, averaged over the days"
            found.append(Breach(name, f"is {said:.4f}, and the {what} {over}, {wanted:.4f}"))
    return found
