"""One test per subject and check, from one line of a test file."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self, TypeVar

import pytest

if TYPE_CHECKING:
    from flatline.harness import Check, Subject

__all__ = ["Judged", "checks_for", "parametrize_with_checks", "standing_at"]

Test = TypeVar("Test", bound=Callable[..., Any])
ARGUMENT = "flatline_check"


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """What one test judges.

    Args:
        name: Of the subject.
        subject: It, or a name from which it is made when the first check needs it.
        check: By what it is judged.
    """

    name: str
    subject: Subject | str
    check: Check

    @classmethod
    def of(cls, item: pytest.Item) -> Self | None:
        """What a collected test judges; None if it was not made here."""
        found = getattr(getattr(item, "callspec", None), "params", {}).get(ARGUMENT)
        return found if isinstance(found, cls) else None

    @property
    def id(self) -> str:
        """Its part of a test's id."""
        return f"{self.name}-{self.check.id}"


def checks_for(subject: Subject | str, *, only: Sequence[str] = ()) -> Callable[..., None]:
    """A test function with one test per check on a subject.

    Args:
        subject: A Subject, the name of a reference, or `"package.module:subject"`.
        only: Ids of checks, or layers, to judge by; all by default.

    Returns:
        What a test file gives a name that starts with `test`.

    Raises:
        SettingsError: There is no such subject, check or layer.

    Example:
        >>> import torch
        >>> import flatline as fl
        >>> subject = fl.Subject(
        ...     name="line",
        ...     model=lambda: torch.nn.Linear(3, 1),
        ...     batches={"train": [], "valid": []},
        ...     loss=torch.nn.functional.mse_loss,
        ...     scores=lambda outputs: outputs,
        ... )
        >>> test_line = fl.checks_for(subject, only=["scores_vary"])
        >>> [parameter.id for parameter in test_line.pytestmark[0].args[1]]
        ['line-scores_vary']
    """
    caller = sys._getframe(1)  # noqa: SLF001 (the user's line is known to it alone)
    function = standing_at(caller.f_code.co_filename, caller.f_lineno)
    return parametrize_with_checks([subject], only=only)(function)


def parametrize_with_checks(
    subjects: Iterable[Subject | str], *, only: Sequence[str] = ()
) -> Callable[[Test], Test]:
    """Decorate a test that is run once per subject and check.

    The test takes `flatline_check`, and calls it: that passes, fails or skips the test, and
    returns the verdict where it passes. Other fixtures may stand beside it.

    Args:
        subjects: Subjects, names of references, or `"package.module:subject"`.
        only: Ids of checks, or layers, to judge by; all by default.

    Raises:
        SettingsError: There is no such subject, check or layer, or two subjects share a name.

    Example:
        >>> @parametrize_with_checks(["apex", "patchtst"], only=["contract"])
        ... def test_references(flatline_check):
        ...     flatline_check()
    """
    from flatline.errors import SettingsError  # noqa: PLC0415 (collecting loads torch, not help)
    from flatline.subjects.finding import choose_checks, find_subject  # noqa: PLC0415

    checks, found = choose_checks(only), [find_subject(subject) for subject in subjects]
    names = [name for name, _ in found]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise SettingsError(
            f"subjects are named {sorted(twice)} more than once, expected names that tell them "
            "apart. Give each Subject a name of its own."
        )
    judged = [Judged(name, subject, check) for name, subject in found for check in checks]
    return pytest.mark.parametrize(
        ARGUMENT,
        [pytest.param(one, id=one.id, marks=_marks(one.check)) for one in judged],
        indirect=True,
    )


def _marks(check: Check) -> list[pytest.MarkDecorator]:
    names = [check.layer.value, *(["slow"] if check.cost == "training" else [])]
    return [getattr(pytest.mark, name) for name in names]


def standing_at(file: str, line: int) -> Callable[..., None]:
    """A test that calls its check, as if it had been written on a line of a user's file.

    Reports, and the skips they fold by place, then point there.
    """

    # All of it on one line, as it is there: else coverage would count the next line as run.
    # fmt: off
    def test_subject(flatline_check: Callable[[], Any]) -> None: flatline_check()
    # fmt: on
    code = test_subject.__code__
    test_subject.__code__ = code.replace(co_filename=file, co_firstlineno=line)
    return test_subject
