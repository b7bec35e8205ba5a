"""Whether a subject's loss holds the spread of the scores to that of the labels."""

from __future__ import annotations

import math

from flatline.harness.case import Case
from flatline.harness.probes.loss import refused, scene

__all__ = ["cost_of_spread"]

# So many times the spread of the labels is another unit.
OTHER_UNIT = 10.0


def cost_of_spread(case: Case) -> float:
    """What ten times the spread costs, over what the same forecast upside down does.

    0 for a loss of ranks or correlations, and where the declared terms all say that scale is
    nothing to them; below 0 where the loss wants a larger spread than the labels have, as one of
    pairwise logits may; NaN where it cannot be known, as no scores of ours can be put in.
    """
    one = case.of(scene)
    if one.terms and all(part.term is not None and part.term.scale for part in one.terms):
        return 0.0
    if not one.swap.finite() or not one.swap.straight():
        return math.nan
    score = one.informed()
    if refused(lambda: one.value(one.total, score)):
        return math.nan
    plain, wide, turned = (
        float(one.value(one.total, k * score).detach()) for k in (1.0, OTHER_UNIT, -1.0)
    )
    return (wide - plain) / abs(turned - plain) if turned != plain else math.nan
