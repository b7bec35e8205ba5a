"""What a check says: a verdict, and the culprit it names."""

from __future__ import annotations

import inspect
import math
import re
from dataclasses import asdict, dataclass
from enum import StrEnum
from functools import partial
from typing import Any

from torch import nn

__all__ = [
    "Culprit", "Stage", "Status", "Verdict", "module_culprit", "not_judged", "source_of",
    "worst_first",
]  # fmt: skip


class Status(StrEnum):
    """What became of a check; an error means that the subject's own code raised."""

    PASS = "pass"  # noqa: S105 (a status, not a secret)
    FAIL = "fail"
    SKIP = "skip"
    ERROR = "error"


class Stage(StrEnum):
    """The earliest moment at which a check can speak."""

    STATIC = "static"
    START = "start"
    STEP = "one step"
    TRAINED = "N steps"
    EVALUATION = "evaluation"
    DATA = "data"


@dataclass(frozen=True, slots=True, kw_only=True)
class Culprit:
    """What is to blame, where it stands, why we think so, and what to do.

    Args:
        kind: `module`, `parameter`, `term`, `setting`, `column` or `input`.
        path: Where it is within the subject, such as `head.point`.
        evidence: The numbers that point at it.
        remedy: One sentence.
        file: Source file of its class, where known.
        line: First line of its class, where known.
    """

    kind: str
    path: str
    evidence: str
    remedy: str
    file: str | None = None
    line: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The outcome of one check on one subject.

    Args:
        check: Id of the check.
        stage: The earliest stage at which it can speak.
        status: What became of it.
        measured: The outcome as a sentence, bound included.
        value: The number measured, None where nothing was.
        bound: The number it was held against.
        unit: Unit of both.
        seconds: Time the check took, shared work not counted.
        false_alarm_rate: Probability that a healthy subject fails; 0 where
            only rounding could, None where it was not estimated.
        hint: Where to look, empty on a pass.
        culprit: What is to blame, where that was found.
    """

    check: str
    stage: Stage
    status: Status
    measured: str
    value: float | None = None
    bound: float | None = None
    unit: str = ""
    seconds: float = 0.0
    false_alarm_rate: float | None = None
    hint: str = ""
    culprit: Culprit | None = None

    def as_data(self) -> dict[str, Any]:
        """The verdict as plain data, ready for JSON: a number that is not finite becomes None.

        JSON knows no NaN; the sentence `measured` still shows it.
        """
        return {
            name: None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in asdict(self).items()
        }


# Modules of these are made by somebody: that line is the user's own.
LIBRARIES = frozenset({"torch", "torch_geometric"})
# What the subject has no part for comes last: it says nothing about it.
SEVERITY = (Status.ERROR, Status.FAIL, Status.PASS, Status.SKIP)


def not_judged(check: str, stage: Stage, reason: str) -> Verdict:
    """A check that says nothing of a subject, and why."""
    return Verdict(check=check, stage=stage, status=Status.SKIP, measured=f"not judged: {reason}")


def worst_first(verdicts: list[Verdict]) -> list[Verdict]:
    """Verdicts with errors first, then failures, passes and skips."""
    return sorted(verdicts, key=lambda verdict: SEVERITY.index(verdict.status))


def module_culprit(model: nn.Module, path: str, *, evidence: str, remedy: str) -> Culprit:
    """A culprit that is a module, with the line of the user's code that it stands for.

    That is the class of the module or, where a library wrote it, the line that makes it in the
    nearest module around it that the library did not write.

    Args:
        model: The whole.
        path: Of the module within it; empty for the model itself.
        evidence: The numbers that point at it.
        remedy: One sentence.
    """
    file, line = _place(model, path)
    shown = path or type(model).__name__
    return Culprit(
        kind="module", path=shown, evidence=evidence, remedy=remedy, file=file, line=line
    )


def _place(model: nn.Module, path: str) -> tuple[str | None, int | None]:
    names = path.split(".") if path else []
    for depth in range(len(names), -1, -1):
        owner = model.get_submodule(".".join(names[:depth]))
        if type(owner).__module__.partition(".")[0] in LIBRARIES:
            continue
        return _made_in(type(owner), names[depth]) if depth < len(names) else source_of(owner)
    return source_of(model.get_submodule(path))


def _made_in(owner: type, name: str) -> tuple[str | None, int | None]:
    """Where a class, or one it is made from, sets an attribute; else where the class begins."""
    made = re.compile(rf"\bself\.{re.escape(name)}\b.*=")
    for one in owner.__mro__:
        file, first = source_of(one)
        if first is None or one.__module__.partition(".")[0] in LIBRARIES:
            continue
        for offset, text in enumerate(inspect.getsourcelines(one)[0]):
            if made.search(text):
                return file, first + offset
    return source_of(owner)


def source_of(made: Any) -> tuple[str | None, int | None]:  # noqa: ANN401 (whatever a subject gives)
    """File and first line of a function, or of the class of anything else; None where unknown.

    Example:
        >>> source_of(worst_first)[0].endswith("verdicts.py"), source_of(len)
        (True, (None, None))
    """
    while isinstance(made, partial):
        made = made.func
    made = made if inspect.isroutine(made) or inspect.isclass(made) else type(made)
    try:
        return inspect.getsourcefile(made), inspect.getsourcelines(made)[1]
    except (OSError, TypeError):
        return None, None  # What is made at a prompt has no source.
