"""Verdicts for people and for programs: a table, and plain data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from flatline.harness.verdicts import Status, Verdict, worst_first

if TYPE_CHECKING:
    from rich.table import Table

    from flatline.harness.registry import Check

__all__ = ["as_data", "failed", "layer_table", "verdict_table"]

COLOURS = {
    Status.PASS: "green",
    Status.FAIL: "bold red",
    Status.SKIP: "yellow",
    Status.ERROR: "bold red",
}

SHOWN = (Status.PASS, Status.FAIL, Status.ERROR, Status.SKIP)


def failed(verdicts: Sequence[Verdict]) -> bool:
    """Whether any verdict is a failure or an error."""
    return any(verdict.status in {Status.FAIL, Status.ERROR} for verdict in verdicts)


def as_data(name: str, seconds: float, verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """One subject's verdicts as plain data, ready for JSON."""
    return {
        "name": name,
        "seconds": round(seconds, 3),
        "verdicts": [verdict.as_data() for verdict in verdicts],
    }


def layer_table(name: str, seconds: float, judged: Sequence[tuple[Check, Verdict]]) -> Table:
    """How many of one subject's checks passed, failed or were skipped, by layer."""
    from rich.table import Table  # noqa: PLC0415 (only people need it)

    count = "1 verdict" if len(judged) == 1 else f"{len(judged)} verdicts"
    table = Table(title=f"{name}: {count} in {seconds:.0f} s", title_justify="left")
    table.add_column("layer")
    for status in SHOWN:
        table.add_column(status, justify="right")
    found = Counter((check.layer, verdict.status) for check, verdict in judged)
    for layer in dict.fromkeys(check.layer for check, _ in judged):
        cells = [(status, found[layer, status]) for status in SHOWN]
        table.add_row(layer, *(f"[{COLOURS[s]}]{n}[/]" if n else "" for s, n in cells))
    return table


def verdict_table(verdicts: Sequence[Verdict]) -> Table:
    """Verdicts as a table, worst first, culprits below their verdict."""
    from rich.markup import escape  # noqa: PLC0415 (only people need it)
    from rich.table import Table  # noqa: PLC0415

    table = Table()
    for heading in ("check", "stage", "verdict", "measured"):
        table.add_column(heading)
    for verdict, more in _alike(worst_first(list(verdicts))):
        colour = COLOURS[verdict.status]
        lines = [verdict.measured, verdict.hint]
        if verdict.culprit is not None:
            culprit = verdict.culprit
            place = f" ({culprit.file}:{culprit.line})" if culprit.file else ""
            lines.append(f"culprit: {culprit.kind} {culprit.path}{place}: {culprit.evidence}")
            lines.append(f"remedy: {culprit.remedy}")
        table.add_row(
            f"{verdict.check} and {more} more" if more else verdict.check,
            verdict.stage,
            f"[{colour}]{verdict.status}[/]",
            escape("\n".join(line for line in lines if line)),
        )
    return table


def _alike(verdicts: Sequence[Verdict]) -> Iterator[tuple[Verdict, int]]:
    """Verdicts, errors that say the same as one, and how many more of these there are."""
    count = Counter(v.measured for v in verdicts if v.status == Status.ERROR)
    told: set[str] = set()
    for verdict in verdicts:
        if verdict.status != Status.ERROR:
            yield verdict, 0
        elif verdict.measured not in told:
            told.add(verdict.measured)
            yield verdict, count[verdict.measured] - 1
