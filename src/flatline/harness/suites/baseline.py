"""The baseline layer: a subject's numbers against those under version control."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from flatline.errors import SettingsError
from flatline.harness.baselines import SEEDS, read_baseline, record, write_baseline
from flatline.harness.case import Case
from flatline.harness.checks import baseline as checks
from flatline.harness.probes.figures import figures
from flatline.harness.registry import Check, Cost, Layer
from flatline.harness.statistics import CHANCE
from flatline.harness.verdicts import Stage, Status, Verdict

__all__ = ["CHECKS", "update", "updated"]


def _path(case: Case) -> Path:
    if case.subject.baseline is None:
        raise SettingsError(
            f"baseline of subject {case.subject.name!r} is not declared, expected the path of its "
            "file. Add `baseline='baselines/my-model.json'` to the Subject."
        )
    return Path(case.subject.baseline)


def _command(case: Case) -> str:
    # Its name is what a reference is called; one's own is given as package.module:subject.
    return f"pytest -k {case.subject.name}-{checks.CHECK} --flatline-baseline-update"


def _judge(case: Case) -> Verdict:
    path, command = _path(case), _command(case)
    kept = read_baseline(path)
    if kept is None:
        return checks.no_baseline(path=str(path), command=command)
    if (kept.steps, kept.precision) != (case.steps, case.place.precision):
        return checks.other_training(
            steps=case.steps, precision=case.place.precision, baseline=kept, command=command
        )
    return checks.matches_baseline(case.of(figures), kept, path=str(path), command=command)


def update(
    case: Case, *, seeds: int = SEEDS, on_seed: Callable[[int], None] = lambda _: None
) -> Path:
    """Train the subject with several seeds, and write its baseline.

    Args:
        case: What to train, for how long, where.
        seeds: Trainings; more of them make narrower ranges.
        on_seed: Called with the number of trainings done, for progress.

    Returns:
        The file.

    Raises:
        SettingsError: The subject declares no baseline.
    """
    path = _path(case)
    write_baseline(path, record(case, seeds=seeds, on_seed=on_seed))
    return path


def updated(check: Check, case: Case) -> Verdict:
    """The verdict of a check of this layer where baselines are written, not compared with."""
    return Verdict(
        check=check.id,
        stage=check.stage,
        status=Status.PASS,
        measured=f"baseline written: {case.of(update)}",
        false_alarm_rate=0.0,
    )


CHECKS = (
    Check(
        id=checks.CHECK,
        says="The subject's numbers are where its baseline says.",
        layer=Layer.BASELINE,
        stage=Stage.TRAINED,
        false_alarm_rate=CHANCE,
        cost=Cost.TRAINING,
        judge=_judge,
        needs=("baseline",),
        shares="smoke",
    ),
)
