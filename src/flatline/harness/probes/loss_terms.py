"""What each declared term of a subject's loss does: numbers by term."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch

from flatline.harness.case import Case
from flatline.harness.probes.loss import NEARLY, scene

__all__ = ["budget", "moved_by", "reach", "weighted_sum"]


def weighted_sum(case: Case) -> tuple[float, float]:
    """The total, and the sum of the declared terms times their weights."""
    one = case.of(scene)
    score = one.informed()
    total = float(one.value(one.total, score).detach())
    parts = [part.weight * float(one.value(part, score).detach()) for part in one.terms]
    return total, sum(parts)


def reach(case: Case) -> Mapping[str, float]:
    """The least of each term's gradient at the outputs, over ordinary and nearly constant scores.

    NaN where one is.
    """
    one, found = case.of(scene), {}
    for part in one.terms:
        sizes = [
            math.hypot(*(float(x.double().norm()) for x in one.at_outputs(part, score)))
            for score in (one.informed(), *(near * one.informed() for near in NEARLY))
        ]
        found[part.name] = float(torch.tensor(sizes).min())
    return found


def budget(case: Case) -> Mapping[str, tuple[float, float]]:
    """Each term's share of the gradient at the outputs, and the share it was to have.

    Shares are taken among the terms that read the same outputs: gradients at quantiles and at
    points have no common measure.
    """
    one = case.of(scene)
    norms, reads = {}, {}
    for part in one.terms:
        sizes = [float(x.double().norm()) for x in one.at_outputs(part, one.informed())]
        norms[part.name] = part.weight * math.hypot(*sizes)
        reads[part.name] = tuple(size > 0 for size in sizes)
    found = {}
    for part in one.terms:
        beside = [other for other in one.terms if reads[other.name] == reads[part.name]]
        total = sum(norms[other.name] for other in beside)
        meant = part.weight / sum(other.weight for other in beside)
        if part.term is not None and part.term.share is not None:
            meant = part.term.share
        found[part.name] = norms[part.name] / total if total > 0 else math.nan, meant
    return found


def moved_by(case: Case) -> Mapping[str, tuple[float, bool]]:
    """Relative change of each term by another level, or scale, of each day, and if it may.

    Named `term under a shift` and `term under a scale`.
    """
    one, found = case.of(scene), {}
    score = one.informed()
    by = 2 + (one.group % 3)[:, None].to(score.dtype)
    for part in one.terms:
        if part.term is None:
            continue
        plain = float(one.value(part, score).detach())
        for name, promised, moved in (
            ("shift", part.term.shift, score + by * one.unit),
            ("scale", part.term.scale, score * by),
        ):
            if promised is not None:
                change = abs(float(one.value(part, moved).detach()) - plain)
                found[f"{part.name} under a {name}"] = change / max(abs(plain), 1e-3), promised
    return found
