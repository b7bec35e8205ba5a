"""The section of the terminal that shows the verdicts, worst first."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pytest

from flatline_pytest.annotations import annotation, wanted
from flatline_pytest.outcomes import place_of

__all__ = ["family_rate", "show_summary", "skips_of", "total_of", "unstated"]

SEVERITY = ("error", "fail", "pass", "skip")
WORDS = {"fail": "failed", "pass": "passed", "skip": "skipped"}
ABSENT = "not judged: the subject has no "
COLOURS = {"error": "red", "fail": "red", "pass": "green", "skip": "yellow"}


def show_summary(reporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Show verdicts that are no pass, the passes under `-v`, and the family's false-alarm rate."""
    reports = [r for group in reporter.stats.values() for r in group if hasattr(r, "flatline")]
    if not reports:
        return
    found = sorted((r.flatline for r in reports), key=lambda data: SEVERITY.index(data["status"]))
    reporter.write_sep("=", "flatline")
    for alike in _alike(found):
        if alike[0]["status"] in {"error", "fail"} or config.get_verbosity() > 0:
            _show(reporter, alike, config)
    if config.get_verbosity() <= 0:
        for line in skips_of(found):
            reporter.write_line(line)
    reporter.write_line(total_of(found))
    if wanted():
        for report in reports:
            if report.flatline["status"] in {"error", "fail"}:
                file, line, _ = report.location
                place = file, (line or 0) + 1
                reporter.write_line(annotation(report.flatline, config.rootpath, test=place))


def family_rate(found: Iterable[dict[str, Any]]) -> float:
    """How often a healthy family has a failed verdict, at most: the sum of the stated rates.

    The sum is a bound whatever the checks have to do with each other.
    """
    return math.fsum(float(data["false_alarm_rate"]) for data in _judged(found) if _stated(data))


def unstated(found: Iterable[dict[str, Any]]) -> int:
    """How many were judged by checks that state no rate."""
    return sum(not _stated(data) for data in _judged(found))


def _judged(found: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    return (data for data in found if data["status"] in {"pass", "fail"})


def _stated(data: dict[str, Any]) -> bool:
    return data["false_alarm_rate"] is not None


def _alike(found: Iterable[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Errors of one subject that say the same are one: all its checks may meet the same one."""
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for data in found:
        one = "" if data["status"] == "error" else data["check"]
        groups.setdefault((data["subject"], data["status"], data["measured"], one), []).append(data)
    return list(groups.values())


def _show(
    reporter: pytest.TerminalReporter, alike: Sequence[dict[str, Any]], config: pytest.Config
) -> None:
    data = alike[0]
    status, culprit = data["status"], data["culprit"]
    reporter.write(f"{status:<6} ", **{COLOURS[status]: True})
    named = ""
    if culprit is not None and status != "pass":
        place = place_of(culprit, config.rootpath)
        named = f" [{culprit['kind']} {culprit['path']}{f', {place}' if place else ''}]"
    more = f" and {len(alike) - 1} more" if len(alike) > 1 else ""
    measured = " ".join(data["measured"].split())
    reporter.write_line(f"{data['subject']}-{data['check']}{more}: {measured}{named}")


def skips_of(found: Iterable[dict[str, Any]]) -> list[str]:
    """Why checks were skipped: the absent parts in one line, and how many for other reasons."""
    reasons = Counter(data["measured"] for data in found if data["status"] == "skip")
    absent = Counter(
        {
            reason.removeprefix(ABSENT): count
            for reason, count in reasons.items()
            if reason.startswith(f"{ABSENT}`")
        }
    )
    lines = []
    if absent:
        parts = ", ".join(f"{part} ({count})" for part, count in absent.most_common())
        lines.append(f"skip   {absent.total()} for want of parts of the subject: {parts}")
    if others := reasons.total() - absent.total():
        lines.append(f"skip   {others} that say nothing of such a subject; -v says why")
    return lines


def total_of(found: Sequence[dict[str, Any]]) -> str:
    """What became of all of them, and how often healthy subjects would fail, in one line."""
    count = Counter(data["status"] for data in found)
    words = WORDS | {"error": "error" if count["error"] == 1 else "errors"}
    parts = ", ".join(f"{count[status]} {words[status]}" for status in SEVERITY if count[status])
    subjects, rate = len({data["subject"] for data in found}), family_rate(found)
    alarm = (
        f"fail by chance in at most 1 run in {round(1 / rate):,}"
        if rate
        else "do not fail by chance"
    )
    line = (
        f"{_many(len(found), 'verdict')} on {_many(subjects, 'subject')}: {parts}; "
        f"healthy subjects {alarm}"
    )
    if count_unstated := unstated(found):
        line += (
            f", not counting {_many(count_unstated, 'verdict')} on what was learned, of which no "
            "rate is stated (tests/studies/false_alarms.py measures it)"
        )
    return line


def _many(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
