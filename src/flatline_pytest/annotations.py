"""Annotations of GitHub's pull requests, at the line of the culprit."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flatline_pytest.outcomes import lines_of, place_of

__all__ = ["annotation", "command", "wanted"]


def wanted() -> bool:
    """Whether somebody reads them: a job of GitHub Actions."""
    return os.environ.get("GITHUB_ACTIONS") == "true"


def annotation(data: Mapping[str, Any], root: Path, *, test: tuple[str, int] | None = None) -> str:
    """The workflow command that marks a failed verdict at its culprit, or else at its test.

    Args:
        data: The verdict, as `outcomes.judgement` makes it.
        root: Folder of the repository.
        test: File, from *root*, and line of the test.
    """
    file, _, line = place_of(data["culprit"], root).rpartition(":")
    properties = {"file": file, "line": line}
    if not file or Path(file).is_absolute() or "site-packages" in Path(file).parts:
        # Only files of the repository can carry a mark; the text still names the other.
        properties = {} if test is None else {"file": test[0], "line": str(test[1])}
    title = f"{data['subject']}-{data['check']}"
    return command("\n".join(lines_of(data, root)), **properties, title=title)


def command(message: str, **properties: str) -> str:
    r"""An `::error` workflow command.

    References:
        GitHub Docs, Workflow commands for GitHub Actions, "Setting an error message".

    Example:
        >>> command("50 %\nflat", file="a,b.py", line="3")
        '::error file=a%2Cb.py,line=3::50 %25%0Aflat'
    """
    said = ",".join(f"{name}={_property(value)}" for name, value in properties.items())
    return f"::error {said}::{_escaped(message)}"


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _escaped(text).replace(":", "%3A").replace(",", "%2C")
