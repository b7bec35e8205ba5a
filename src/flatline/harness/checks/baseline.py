"""The subject's numbers are what they were."""

from __future__ import annotations

import math
from collections.abc import Mapping

from flatline.harness.baselines import Baseline, Entry
from flatline.harness.probes.figures import Figure
from flatline.harness.statistics import CHANCE
from flatline.harness.verdicts import Culprit, Stage, Status, Verdict

__all__ = ["matches_baseline", "no_baseline", "other_training"]

CHECK = "matches_baseline"


def matches_baseline(
    found: Mapping[str, Figure], baseline: Baseline, *, path: str, command: str
) -> Verdict:
    """Every number of a training must lie where the baseline's seeds say that chance puts it.

    A number without an entry fails, as a missing baseline does; an entry without a number
    is reported.

    Args:
        found: The numbers of this training.
        baseline: What they were.
        path: File of the baseline.
        command: What writes it.
    """
    off = {name: _how_far(found[name], entry) for name, entry in baseline.figures.items()
           if name in found and not _fits(found[name].value, entry)}  # fmt: skip
    missing = [name for name in found if name not in baseline.figures]
    unused = [name for name in baseline.figures if name not in found]
    compared = len(found) - len(missing)
    kept = f"{compared - len(off)} of {len(found)} numbers"
    parts = [f"{kept} are where {baseline.seeds} seeds said they would be"]
    parts += [f"{name} {says}" for name, says in list(off.items())[:4]]
    parts += [f"no entry for {', '.join(missing)}"] if missing else []
    parts += [f"unused entries {', '.join(unused)}"] if unused else []
    if baseline.rows_per_second is not None:
        parts.append(f"{baseline.rows_per_second:.0f} rows/s when it was written")
    wrong = [*off, *missing]
    return Verdict(
        check=CHECK,
        stage=Stage.TRAINED,
        status=Status.FAIL if wrong else Status.PASS,
        value=float(len(wrong)),
        bound=0.0,
        unit="numbers off their baseline",
        measured="; ".join(parts),
        false_alarm_rate=CHANCE,
        hint=f"If the change is meant, write it anew with `{command}` and commit it."
        if wrong or unused
        else "",
        culprit=Culprit(
            kind="number",
            path=wrong[0],
            evidence=off.get(wrong[0], "the baseline has no entry for it"),
            remedy="Look what changed it; if it is meant, write the baseline anew.",
            file=path,
        )
        if wrong
        else None,
    )


def no_baseline(*, path: str, command: str) -> Verdict:
    """A declared baseline that is not there fails: a check that compares with nothing says nothing.

    Args:
        path: Where it should be.
        command: What writes it.
    """
    return Verdict(
        check=CHECK,
        stage=Stage.TRAINED,
        status=Status.FAIL,
        measured=f"there is no baseline at {path}, expected one",
        false_alarm_rate=0.0,
        hint=f"Write it with `{command}`, or `flatline baseline` and the subject; then commit it.",
        culprit=Culprit(
            kind="file",
            path=path,
            evidence="it does not exist",
            remedy=f"Run `{command}` and commit the file.",
        ),
    )


def other_training(*, steps: int, precision: str, baseline: Baseline, command: str) -> Verdict:
    """A training of another length or precision is not compared, and that is said."""
    return Verdict(
        check=CHECK,
        stage=Stage.TRAINED,
        status=Status.SKIP,
        measured=f"not judged: the baseline is of {baseline.steps} steps in {baseline.precision}, "
        f"this training of {steps} in {precision}",
        hint=f"Train for {baseline.steps} steps, or write it anew with `{command}`.",
    )


def _fits(value: float, entry: Entry) -> bool:
    if entry.low is None or entry.high is None:
        # Undefined for one seed or more: nothing is claimed.
        return True
    return entry.low <= value <= entry.high


def _how_far(figure: Figure, entry: Entry) -> str:
    said = "undefined" if math.isnan(figure.value) else f"{figure.value:.4g}"
    return f"is {said}, expected {entry.low:.4g} to {entry.high:.4g}, was {entry.value:.4g}"
