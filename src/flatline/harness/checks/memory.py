"""The model can learn a few rows by heart, and nothing of the labels of others."""

from __future__ import annotations

import numpy as np

from flatline.harness.probes.memory import FEWEST, Memory
from flatline.harness.statistics import CHANCE
from flatline.harness.verdicts import Culprit, Stage, Status, Verdict, not_judged

__all__ = ["learned_by_heart", "nothing_of_others"]

HEART, OTHERS = "overfits_one_batch", "shuffled_targets_show_nothing"
NO_LABELS = "no labels that differ among the rows of a day"
UNIT = "correlation of the scores with labels dealt out at random"


def learned_by_heart(found: Memory, *, chance: float = 1e-3) -> Verdict:
    """Scores must follow the labels of the few rows that the model was trained on.

    The labels were dealt out at random: who follows them has learned them by heart. Whoever can
    be trained at all can do that, as long as there are more weights than rows.

    Args:
        found: What was learned.
        chance: Probability that a model which learned nothing passes.
    """
    if min(found.weights, found.rows) < FEWEST:
        few = f"{found.weights} weights and {found.rows} rows, {FEWEST} of both at least"
        return _not_judged(HEART, few)
    if found.learned is None:
        return _not_judged(HEART, NO_LABELS)
    value, bound = found.learned.value, found.learned.bound(chance)
    passed = value > bound
    return Verdict(
        check=HEART,
        stage=Stage.TRAINED,
        status=Status.PASS if passed else Status.FAIL,
        value=value,
        bound=bound,
        unit=UNIT,
        measured=(
            f"scores of the {found.rows} rows that were learned for {found.steps} steps correlate "
            f"by {value:.3f} with labels dealt out to them at random, expected more than "
            f"{bound:.3f}"
        ),
        hint=""
        if passed
        else (
            "It cannot even learn a few rows by heart: look at the learning rate, at what the loss "
            "masks, at dropout, and at modules that get no gradient."
        ),
    )


def nothing_of_others(found: Memory, *, chance: float = CHANCE) -> Verdict:
    """Scores must not follow labels that were dealt out at random to rows never learned.

    If they do, the labels reach the scores by another way than through training.

    Args:
        found: What was learned.
        chance: Probability that a healthy model fails: the bound is its quantile over all orders
            in which the labels might have been dealt.
    """
    if found.others is None:
        return _not_judged(OTHERS, NO_LABELS)
    if np.isnan(found.others.value):
        return _not_judged(OTHERS, "no scores that differ among the rows of a day")
    value, bound = found.others.value, found.others.bound(chance)
    passed = value <= bound
    leak = found.leaks[0] if found.leaks else "the targets"
    return Verdict(
        check=OTHERS,
        stage=Stage.TRAINED,
        status=Status.PASS if passed else Status.FAIL,
        value=value,
        bound=bound,
        unit=UNIT,
        measured=(
            f"scores of rows that were not learned correlate by {value:.3f} with labels dealt out "
            f"to them at random, expected at most {bound:.3f}"
        ),
        false_alarm_rate=chance,
        hint="" if passed else f"The model sees the labels: {leak} tells them.",
        culprit=None
        if passed
        else Culprit(
            kind="column",
            path=leak,
            evidence=f"scores follow labels that nothing but {leak} holds, by {value:.3f}",
            remedy="Take the labels out of what the model is given.",
        ),
    )


def _not_judged(check: str, reason: str) -> Verdict:
    return not_judged(check, Stage.TRAINED, f"the subject has {reason}")
