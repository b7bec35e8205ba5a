"""Annotations of GitHub's pull requests, at the line of the culprit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flatline_pytest.outcomes import lines_of, place_of

__all__ = ["annotation", "command"]


def annotation(report: pytest.TestReport, root: Path) -> str:
    """The workflow command that marks a failed verdict: at its culprit, else at its test."""
    data: dict[str, Any] = report.flatline
    file, _, line = place_of(data["culprit"], root).rpartition(":")
    if not file or Path(file).is_absolute():
        # Only files of the repository can carry a mark; the text still names the other.
        file, line = report.location[0], str((report.location[1] or 0) + 1)
    title = f"{data['subject']}-{data['check']}"
    return command("\n".join(lines_of(data, root)), file=file, line=line, title=title)


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
