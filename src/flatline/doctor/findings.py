"""What a check of the machine or the installation found, and how it is shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["Finding", "Status", "as_data", "findings_table", "in_trouble", "size"]


class Status(StrEnum):
    """What a finding means for a training."""

    OK = "ok"
    NOTE = "note"  # Worth knowing; nothing has to be done.
    TROUBLE = "trouble"  # Stops a training, slows it by far, or falsifies it.


COLOURS = {Status.OK: "green", Status.NOTE: "yellow", Status.TROUBLE: "bold red"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Args:
        part: What it belongs to, such as "threads".
        name: What was looked at.
        status: What it means.
        measured: What was found, as a sentence or a figure.
        remedy: What to do about it; empty where nothing has to be done.

    Example:
        >>> Finding("disk", "temp", Status.OK, "12 GiB free").status
        <Status.OK: 'ok'>
    """

    part: str
    name: str
    status: Status
    measured: str
    remedy: str = ""


def in_trouble(findings: Sequence[Finding]) -> bool:
    """Whether something needs to be done."""
    return any(finding.status is Status.TROUBLE for finding in findings)


def as_data(findings: Sequence[Finding]) -> dict[str, Any]:
    """The findings as plain data, ready for JSON: `trouble` and the `findings`."""
    rows = [
        {
            "part": finding.part,
            "name": finding.name,
            "status": str(finding.status),
            "measured": finding.measured,
            "remedy": finding.remedy,
        }
        for finding in findings
    ]
    return {"trouble": in_trouble(findings), "findings": rows}


def findings_table(findings: Sequence[Finding]) -> Table:
    """The findings as rich prints them, a section for each part."""
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(title="doctor", title_justify="left")
    for heading in ("part", "name", "status", "measured and remedy"):
        table.add_column(heading, overflow="fold")
    before = ""
    for finding in findings:
        if before and finding.part != before:
            table.add_section()
        status = Text(str(finding.status), COLOURS[finding.status])
        # As text: a path in brackets is no markup.
        found = Text(finding.measured)
        if finding.remedy:
            found.append(f"\n{finding.remedy}", style="italic")
        table.add_row(finding.part if finding.part != before else "", finding.name, status, found)
        before = finding.part
    return table


def size(count: float) -> str:
    """A number of bytes in words.

    Example:
        >>> size(3 * 2**29), size(64 * 2**20)
        ('1.5 GiB', '64 MiB')
    """
    if count >= 2**30:
        return f"{count / 2**30:.1f} GiB"
    return f"{count / 2**20:.0f} MiB"
