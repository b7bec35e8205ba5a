"""The gate: every check on one subject, the costly work shared, one verdict per check."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from flatline.errors import FlatlineError
from flatline.harness.case import Case
from flatline.harness.isolation import isolated
from flatline.harness.probes.order import days_are_known
from flatline.harness.probes.scoring import Place
from flatline.harness.probes.smoke import smoke
from flatline.harness.registry import Check
from flatline.harness.subject import Subject
from flatline.harness.suites import CHECKS
from flatline.harness.verdicts import Culprit, Status, Verdict, not_judged

__all__ = ["Examination", "check", "examine", "judge"]

SHUFFLED = (
    "the train batches are shuffled and say no days; give the Subject "
    "`days=lambda inputs: ...`, or batches in the order of time"
)
# Code of these is not the subject's: an error is blamed on what called it.
NOT_THE_SUBJECTS = (str(Path(torch.__file__).parent), str(Path(__file__).parent))


@dataclass(frozen=True, slots=True)
class Examination:
    """The verdicts on a subject, and what the smoke training cost.

    Args:
        verdicts: One per check, in the order in which they can speak.
        rows_per_second: Training throughput; None where nothing was trained.
        peak_bytes: Peak memory of a CUDA device; None elsewhere.
    """

    verdicts: list[Verdict]
    rows_per_second: float | None = None
    peak_bytes: int | None = None


def check(
    subject: Subject,
    *,
    steps: int = 200,
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
    checks: Sequence[Check] = CHECKS,
    steps: int = 200,
    seed: int = 0,
    place: Place | None = None,
    on_step: Callable[[int], None] = lambda _: None,
) -> Examination:
    """Train a subject briefly, measure it, and say what was found.

    All global state (generators, threads, torch's flags) is left as it was.
    An exception of the subject's own code becomes a verdict of status error.

    Args:
        subject: What to judge.
        checks: What to judge it by.
        steps: Optimizer steps of the smoke training.
        seed: Seed of everything random.
        place: Device and precision; the CPU in fp32 by default.
        on_step: Called with the number of steps done, for progress.
    """
    place = place or Place(torch.device("cpu"))
    case = Case(subject, steps=steps, seed=seed, place=place, on_step=on_step)
    verdicts = [judge(one, case) for one in checks]
    try:
        run = case.of(smoke) if any(one.shares == "smoke" for one in checks) else None
    except Exception:  # noqa: BLE001 (the verdicts tell)
        run = None
    if run is None:
        return Examination(verdicts)
    return Examination(verdicts, run.rows_per_second, run.peak_bytes)


def judge(check: Check, case: Case) -> Verdict:
    """The verdict of one check on one case.

    A check that needs a part which the subject does not have is skipped, and an exception of the
    subject's own code becomes an error that says where it was raised.
    """
    absent = [part for part in check.needs if not _has(case.subject, part)]
    if absent:
        parts = " and ".join(f"`{part}`" for part in absent)
        return not_judged(check.id, check.stage, f"the subject has no {parts}")
    started = time.perf_counter()
    try:
        with isolated(case.seed_of(check.id)):
            if check.ordered and not case.of(days_are_known):
                return not_judged(check.id, check.stage, SHUFFLED)
            verdict = check.judge(case)
    except Exception as error:  # noqa: BLE001 (a subject may raise anything)
        verdict = _broken(check, error)
    return replace(verdict, seconds=time.perf_counter() - started)


def _has(subject: Subject, part: str) -> bool:
    value = getattr(subject, part)
    return value is not None and value is not False


def _broken(check: Check, error: Exception) -> Verdict:
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not frame.filename.startswith(NOT_THE_SUBJECTS)]
    told = Verdict(
        check=check.id,
        stage=check.stage,
        status=Status.ERROR,
        measured=f"{type(error).__name__}: {error}",
    )
    if not own and isinstance(error, FlatlineError):
        return told  # It says what is amiss and the remedy; the line that noticed is not to blame.
    frame = (own or frames)[-1]
    return replace(
        told,
        hint=f"Raised at {frame.filename}:{frame.lineno} in {frame.name}.",
        culprit=Culprit(
            kind="code",
            path=frame.name,
            evidence=frame.line or "",
            remedy="Correct what it was given, or what it does with it.",
            file=frame.filename,
            line=frame.lineno,
        ),
    )
