"""From a verdict to what pytest makes of it: passed, failed, skipped; and what it reports."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from flatline_pytest.generation import Judged
from flatline_pytest.options import OPTIONS

if TYPE_CHECKING:
    from flatline.harness import Check, Verdict

__all__ = ["JUDGEMENT", "as_report", "conclude", "judgement", "lines_of", "place_of"]

JUDGEMENT = pytest.StashKey[dict[str, Any]]()
# What a JUnit file tells of a verdict, beside what it tells of any test.
PROPERTIES = ("subject", "check", "layer", "stage", "status", "value", "bound", "unit",
              "measured", "false_alarm_rate", "dead_passes")  # fmt: skip


def conclude(request: pytest.FixtureRequest, judged: Judged) -> Verdict:
    """Judge, and pass, fail or skip the test accordingly.

    Returns:
        The verdict, where it is a pass.
    """
    from flatline.errors import FlatlineError  # noqa: PLC0415
    from flatline_pytest.sharing import bench_of  # noqa: PLC0415

    item, config = request.node, request.config
    if config.stash[OPTIONS].device == "cuda":
        request.getfixturevalue("flatline_cuda")
    try:
        verdict = bench_of(config).judge(request, judged)
    except FlatlineError as error:
        pytest.fail(f"subject {judged.name!r} cannot be made: {error}", pytrace=False)
    data = judgement(judged.name, judged.check, verdict)
    item.stash[JUDGEMENT] = data
    item.user_properties.extend(_properties(data, config.rootpath))
    if verdict.status == "skip":
        pytest.skip(verdict.measured)
    if verdict.status != "pass":
        pytest.fail("\n".join(lines_of(data, config.rootpath)), pytrace=False)
    return verdict


def as_report(
    item: pytest.Item, call: pytest.CallInfo[None], report: pytest.TestReport
) -> pytest.TestReport:
    """The report of a test with its verdict, as data."""
    data = item.stash.get(JUDGEMENT, None)
    if data is None or call.when != "call":
        return report
    report.flatline = data  # type: ignore[attr-defined]
    if report.skipped and isinstance(report.longrepr, tuple):
        # The place of the test, and not that of the plugin that skipped it.
        path, line = item.reportinfo()[:2]
        report.longrepr = (str(path), (line or 0) + 1, data["measured"])
    return report


def judgement(name: str, check: Check, verdict: Verdict) -> dict[str, Any]:
    """A verdict, and what it is about, as plain data: it has to pass between processes."""
    about = {
        "subject": name,
        "layer": check.layer,
        "says": check.says,
        "false_alarm_rate": check.false_alarm_rate,
        "dead_passes": check.dead_passes,
    }
    plain: dict[str, Any] = json.loads(json.dumps(verdict.as_data() | about, allow_nan=False))
    return plain


def lines_of(data: Mapping[str, Any], root: Path) -> list[str]:
    """What a failed verdict prints, the figures first."""
    lines = [data["measured"]]
    culprit = data["culprit"]
    if culprit is not None:
        place = place_of(culprit, root)
        where = f" ({place})" if place else ""
        lines.append(f"culprit: {culprit['kind']} {culprit['path']}{where}: {culprit['evidence']}")
        lines.append(f"remedy: {culprit['remedy']}")
    if data["hint"]:
        lines.append(f"hint: {data['hint']}")
    lines.append(f"expected: {data['says']}")
    return lines


def place_of(culprit: Mapping[str, Any] | None, root: Path) -> str:
    """File and line of a culprit, from *root* where it lies within; empty where not known."""
    if culprit is None or culprit["file"] is None:
        return ""
    file = Path(culprit["file"])
    shown = file.relative_to(root) if file.is_relative_to(root) else file
    return f"{shown.as_posix()}:{culprit['line']}"


def _properties(data: Mapping[str, Any], root: Path) -> list[tuple[str, object]]:
    found = [
        (f"flatline.{name}", data[name]) for name in PROPERTIES if data[name] not in (None, "")
    ]
    if data["culprit"] is not None:
        found.append(("flatline.culprit", f"{data['culprit']['kind']} {data['culprit']['path']}"))
        found.append(("flatline.place", place_of(data["culprit"], root)))
    return found
