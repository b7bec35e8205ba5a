"""The gate: one smoke training of a subject, shared by every check, one verdict per check."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from flatline.harness.checks import contract, degeneracy, learning, liveness
from flatline.harness.isolation import isolated
from flatline.harness.probes.smoke import Place, Smoke, score_split, smoke
from flatline.harness.probes.trace import point_of_death, trace
from flatline.harness.subject import Scored, Subject
from flatline.harness.verdicts import Culprit, Stage, Status, Verdict, module_culprit
from flatline.metrics.daily import daily_rank_ic

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
    scored = run.scored
    score, again, target = _array(scored.score), _array(run.again), _array(scored.target)
    day = scored.day.numpy()

    def skill() -> Verdict:
        if scored.oracle is None:
            return learning.no_oracle()
        fresh = np.stack([_skill(_fresh(subject, place)) for _ in range(UNTRAINED)])
        return learning.skill_beats_untrained(_skill(scored), fresh)

    def vary() -> Verdict:
        verdict = degeneracy.scores_vary(score, again, day, eps=place.eps)
        if verdict.status == Status.PASS:
            return verdict
        # Only a flat model is traced: that takes another forward pass.
        return replace(verdict, culprit=_suspect(subject, run, place))

    exact = place.device.type == "cpu"
    judges: tuple[Callable[[], Verdict], ...] = (
        lambda: liveness.blocks_get_gradient(run.model, run.gradients),
        lambda: liveness.blocks_move(run.model, run.movement, steps=run.steps),
        lambda: learning.loss_falls(run.loss_before.numpy(), run.loss_after.numpy()),
        vary,
        lambda: degeneracy.scale_in_range(score, target, day),
        skill,
        lambda: contract.evaluations_agree(scored.score, run.again, exact=exact),
    )
    for judge in judges:
        started = time.perf_counter()
        try:
            verdict = judge()
        except Exception as error:  # noqa: BLE001 (a subject may raise anything)
            verdict = _broken("evaluation", error)
        yield replace(verdict, seconds=time.perf_counter() - started)


def _fresh(subject: Subject, place: Place) -> Scored:
    model = subject.model().to(place.device)
    return score_split(subject, model, "valid", place, limit=UNTRAINED_BATCHES)


def _skill(scored: Scored) -> NDArray[np.float64]:
    if scored.oracle is None:
        raise ValueError("skill needs an oracle")
    daily = daily_rank_ic(_array(scored.score), _array(scored.oracle), scored.day.numpy())
    return daily.mean()


def _suspect(subject: Subject, run: Smoke, place: Place) -> Culprit | None:
    spreads = trace(subject, run.model, place)
    floor = 10 * torch.finfo(torch.float32).eps
    found = point_of_death(spreads, floor)
    if found is None:
        return None
    return module_culprit(
        found.path,
        run.model.get_submodule(found.path),
        evidence=f"spread within the day of its output is {found.relative:.2g} of its size",
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
