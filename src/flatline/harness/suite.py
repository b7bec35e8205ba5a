"""The gate: one smoke training of a subject, shared by every check, one verdict per check."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from flatline.harness.checks import classes, contract, degeneracy, later, learning, liveness
from flatline.harness.checks.stretches import Period
from flatline.harness.isolation import isolated
from flatline.harness.probes.scoring import Place, score_split
from flatline.harness.probes.smoke import Smoke, smoke
from flatline.harness.probes.trace import point_of_death, trace
from flatline.harness.statistics import concordance
from flatline.harness.subject import Scored, Subject
from flatline.harness.verdicts import Culprit, Stage, Status, Verdict, module_culprit
from flatline.metrics.daily import daily_rank_ic
from flatline.metrics.variance import rounding_floor

__all__ = ["Examination", "check", "examine"]

# Fresh models whose luck is the null distribution of skill, and the validation
# batches it is measured on: their spread is that of weights, not of days.
UNTRAINED = 24
UNTRAINED_BATCHES = 4


@dataclass(frozen=True, slots=True)
class Examination:
    """The verdicts on a subject, and what the smoke training cost.

    Args:
        verdicts: One per check, in the order in which they can speak.
        rows_per_second: Training throughput; None where the subject's code raised.
        peak_bytes: Peak memory of a CUDA device; None elsewhere.
    """

    verdicts: list[Verdict]
    rows_per_second: float | None = None
    peak_bytes: int | None = None


def check(
    subject: Subject,
    *,
    steps: int = 300,
    seed: int = 0,
    place: Place | None = None,
    on_step: Callable[[int], None] = lambda _: None,
) -> list[Verdict]:
    """Judge a subject: the verdicts of `examine`.

    Returns:
        One verdict per check, in the order in which they can speak.
    """
    return examine(subject, steps=steps, seed=seed, place=place, on_step=on_step).verdicts


def examine(
    subject: Subject,
    *,
    steps: int = 300,
    seed: int = 0,
    place: Place | None = None,
    on_step: Callable[[int], None] = lambda _: None,
) -> Examination:
    """Train a subject briefly, measure it, and say what was found.

    All global state (generators, threads, torch's flags) is left as it was.
    An exception of the subject's own code becomes a verdict of status error.

    Args:
        subject: What to judge.
        steps: Optimizer steps of the smoke training.
        seed: Seed of everything random.
        place: Device and precision; the CPU in fp32 by default.
        on_step: Called with the number of steps done, for progress.
    """
    place = place or Place(torch.device("cpu"))
    with isolated(seed):
        try:
            run = smoke(subject, steps=steps, place=place, on_step=on_step)
        except Exception as error:  # noqa: BLE001 (a subject may raise anything)
            return Examination([_broken("smoke training", error)])
        verdicts = list(_verdicts(subject, run, place))
    return Examination(verdicts, run.rows_per_second, run.peak_bytes)


def _verdicts(subject: Subject, run: Smoke, place: Place) -> Iterator[Verdict]:
    exact = place.device.type == "cpu"
    judges: tuple[Callable[[], Verdict], ...] = (
        lambda: liveness.blocks_get_gradient(run.model, run.gradients),
        lambda: liveness.blocks_move(run.model, run.movement, steps=run.steps),
        lambda: learning.loss_falls(run.loss_before.numpy(), run.loss_after.numpy()),
        lambda: _vary(subject, run, place),
        lambda: _scale(subject, run.scored),
        lambda: _skill(subject, run.scored, place),
        *_class_judges(subject, run, place),
        *_later_judges(subject, run, place),
        lambda: contract.evaluations_agree(run.scored.score, run.again, exact=exact),
    )
    for judge in judges:
        started = time.perf_counter()
        try:
            verdict = judge()
        except Exception as error:  # noqa: BLE001 (a subject may raise anything)
            verdict = _broken("evaluation", error)
        yield replace(verdict, seconds=time.perf_counter() - started)


def _vary(subject: Subject, run: Smoke, place: Place) -> Verdict:
    scored = run.scored
    verdict = degeneracy.scores_vary(
        _array(scored.score),
        _array(run.again),
        scored.day.numpy(),
        axis=subject.axis,
        eps=place.eps,
        probability=_some(scored.probability),
        label=_some(scored.label),
    )
    if verdict.status == Status.PASS:
        return verdict
    # Only a flat model is traced: that takes another forward pass.
    return replace(verdict, culprit=_suspect(subject, run, place))


def _scale(subject: Subject, scored: Scored) -> Verdict:
    day = scored.day.numpy()
    if scored.probability is None or scored.label is None:
        score, target = _array(scored.score), _array(scored.target)
        return degeneracy.scale_in_range(score, target, day, axis=subject.axis)
    # A logit has no unit of its own; its probability has that of the class.
    probability, label = _array(scored.probability), _array(scored.label)
    return degeneracy.scale_in_range(probability, label, day, axis=subject.axis, high=1.0)


def _skill(subject: Subject, scored: Scored, place: Place) -> Verdict:
    if scored.oracle is None:
        return learning.no_oracle()
    fresh = np.stack([_agreement(_fresh(subject, place), subject) for _ in range(UNTRAINED)])
    level = subject.axis == "time" and scored.probability is not None
    return learning.skill_beats_untrained(
        _agreement(scored, subject), fresh, measure="concordance" if level else "rank correlation"
    )


def _class_judges(subject: Subject, run: Smoke, place: Place) -> list[Callable[[], Verdict]]:
    if run.train is None or run.train.probability is None or run.train.label is None:
        return [partial(replace, verdict) for verdict in classes.no_classes()]
    p, y, day = _array(run.train.probability), _array(run.train.label), run.train.day.numpy()
    floor, suspect = _floor(run.train, place), _last_sigmoid(run.model)
    return [
        lambda: classes.beyond_the_prior(p, y, day, axis=subject.axis),
        lambda: classes.one_sigmoid(p, y, day, floor=floor, suspect=suspect),
    ]


def _later_judges(subject: Subject, run: Smoke, place: Place) -> list[Callable[[], Verdict]]:
    if run.train is None or run.later is None:
        return [partial(replace, verdict) for verdict in later.no_later()]
    before, after = _period(run.train, place), _period(run.later, place)
    return [
        lambda: later.scores_last(before, after, axis=subject.axis),
        lambda: later.follows_base_rate(before, after),
        lambda: later.attention_lasts(before, after),
    ]


def _period(scored: Scored, place: Place) -> Period:
    order = np.argsort(scored.day.numpy(), kind="stable")
    score = scored.score if scored.probability is None else scored.probability
    label, focus = _some(scored.label), _some(scored.focus)
    return Period(
        score=_array(score)[order],
        day=scored.day.numpy()[order],
        label=None if label is None else label[order],
        focus=None if focus is None else focus[order],
        floor=_floor(scored, place),
    )


def _floor(scored: Scored, place: Place) -> NDArray[np.float64]:
    """What rounding may make scores vary by, or the probabilities made of them: (horizons,)."""
    score = _array(scored.score)
    if scored.probability is None:
        return rounding_floor(score, eps=place.eps)
    return degeneracy.probability_floor(_array(scored.probability), score, eps=place.eps)


def _fresh(subject: Subject, place: Place) -> Scored:
    model = subject.model().to(place.device)
    # A series has one row a day: all of its days, or the ranks of a few would be luck.
    limit = UNTRAINED_BATCHES if subject.axis == "stocks" else None
    return score_split(subject, model, "valid", place, limit=limit)


def _agreement(scored: Scored, subject: Subject) -> NDArray[np.float64]:
    """With the oracle, over days or along time, for each horizon: (horizons,)."""
    if scored.oracle is None:
        raise ValueError("skill needs an oracle")
    if subject.axis == "time" and scored.probability is not None:
        # Along time any slow feature goes up and down with any other: ranks of a random
        # network agree with the truth by far. Its level and its spread do not.
        return concordance(_array(scored.probability), _array(scored.oracle))
    day = scored.day.numpy()
    groups = day if subject.axis == "stocks" else np.zeros_like(day)
    return daily_rank_ic(_array(scored.score), _array(scored.oracle), groups).mean()


def _last_sigmoid(model: nn.Module) -> Culprit | None:
    paths = [path for path, module in model.named_modules() if isinstance(module, nn.Sigmoid)]
    if not paths:
        return None
    return module_culprit(
        paths[-1],
        model.get_submodule(paths[-1]),
        evidence="the model's last sigmoid; its output is put through another",
        remedy="Return logits from the model, or drop the sigmoid behind it.",
    )


def _suspect(subject: Subject, run: Smoke, place: Place) -> Culprit | None:
    spreads = trace(subject, run.model, place)
    floor = 10 * torch.finfo(torch.float32).eps
    found = point_of_death(spreads, floor)
    if found is None:
        return None
    where = degeneracy.WHERE[subject.axis]
    return module_culprit(
        found.path,
        run.model.get_submodule(found.path),
        evidence=f"spread {where} of its output is {found.relative:.2g} of its size",
        remedy="Look at its weights and its input: every module behind it is flat.",
    )


def _broken(doing: str, error: Exception) -> Verdict:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return Verdict(
        check=f"{doing} runs",
        stage=Stage.TRAINED,
        status=Status.ERROR,
        measured=f"{type(error).__name__}: {error}",
        hint=f"Raised at {frame.filename}:{frame.lineno} in {frame.name}.",
    )


def _array(x: Tensor) -> NDArray[np.float64]:
    return x.double().numpy()


def _some(x: Tensor | None) -> NDArray[np.float64] | None:
    return None if x is None else _array(x)
