"""The numbers of a subject that a baseline keeps: sizes, norms, loss, dispersion, skill."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import torch
from torch import Tensor, nn

from flatline.harness.case import Case
from flatline.harness.checks.degeneracy import spread
from flatline.harness.probes.loss import scene
from flatline.harness.probes.scoring import Scored
from flatline.harness.probes.smoke import smoke
from flatline.metrics.daily import daily_rank_ic

__all__ = ["Figure", "Kind", "figures"]


class Kind(StrEnum):
    """How a number differs from seed to seed, and so how far it may lie from its baseline."""

    EXACT = "exact"
    RATIO = "ratio"
    CORRELATION = "correlation"
    PLAIN = "plain"


@dataclass(frozen=True, slots=True)
class Figure:
    """One number of a subject.

    Args:
        value: NaN where it is undefined.
        kind: How it differs from seed to seed.
        unit: Of the value.
    """

    value: float
    kind: Kind
    unit: str = ""


def figures(case: Case) -> Mapping[str, Figure]:
    """The numbers of one training of the subject, by their name."""
    run = case.of(smoke)
    found = dict(_model(case, run.model))
    found["loss@start"] = Figure(float(run.loss_before.mean()), Kind.PLAIN, "loss")
    found["loss"] = Figure(float(run.loss_after.mean()), Kind.PLAIN, "loss")
    largest = max(run.gradients.values(), default=math.nan)
    found["gradient@start"] = Figure(largest, Kind.RATIO, "largest gradient of a parameter")
    if case.subject.terms:
        found |= dict(_shares(case))
    found |= dict(_scores(case, run.scored))
    return found


def _shares(case: Case) -> Iterator[tuple[str, Figure]]:
    """Each term's share of the gradient norms at a fresh model's outputs."""
    seen = case.of(scene)
    norms = {
        part.name: part.weight
        * float(torch.cat([x.flatten() for x in seen.at_outputs(part)]).norm())
        for part in seen.terms
    }
    total = sum(norms.values())
    for name, norm in norms.items():
        share = norm / total if total > 0 else math.nan
        yield f"gradient_share.{name}@start", Figure(share, Kind.RATIO, "of the gradient norms")


def _model(case: Case, trained: nn.Module) -> Iterator[tuple[str, Figure]]:
    fresh = case.model()
    yield (
        "parameters",
        Figure(sum(p.numel() for p in fresh.parameters()), Kind.EXACT, "numbers"),
    )
    trainable = sum(p.numel() for p in fresh.parameters() if p.requires_grad)
    yield "trainable", Figure(trainable, Kind.EXACT, "numbers")
    yield "weight_norm@start", Figure(_norm(fresh), Kind.RATIO, "root of the sum of squares")
    yield "weight_norm", Figure(_norm(trained), Kind.RATIO, "root of the sum of squares")


@torch.no_grad()
def _norm(model: nn.Module) -> float:
    total: list[Tensor] = [p.double().square().sum().cpu() for p in model.parameters()]
    return float(torch.stack(total).sum().sqrt()) if total else 0.0


def _scores(case: Case, scored: Scored) -> Iterator[tuple[str, Figure]]:
    """Dispersion and skill of every score column, within the day or along time."""
    subject = case.subject
    day = scored.day.numpy()
    score, target = scored.score.double().numpy(), scored.target.double().numpy()
    names = subject.horizons or range(score.shape[1])
    groups = day if subject.axis == "stocks" else np.zeros_like(day)
    known = daily_rank_ic(score, target, groups).mean()
    truth = None
    if scored.oracle is not None:
        truth = daily_rank_ic(score, scored.oracle.double().numpy(), groups).mean()
    for k, (name, apart) in enumerate(
        zip(names, spread(score, day, axis=subject.axis), strict=True)
    ):
        labelled = np.isfinite(target[:, k])
        (happened,) = spread(target[labelled, k : k + 1], day[labelled], axis=subject.axis)
        yield f"yhat_std@{name}", Figure(float(apart), Kind.RATIO, "units of the score")
        scale = float(apart / happened) if happened > 0 else math.nan
        yield f"scale@{name}", Figure(scale, Kind.RATIO, "spread of scores / of targets")
        yield f"rank_ic@{name}", Figure(float(known[k]), Kind.CORRELATION, "with the target")
        if truth is not None:
            value = float(truth[k])
            yield f"oracle_rank_ic@{name}", Figure(value, Kind.CORRELATION, "with the truth")
