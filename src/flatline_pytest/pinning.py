"""Checks against files under version control: pytest's options say whether these are written."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from flatline_pytest.options import OPTIONS

if TYPE_CHECKING:
    from flatline.harness import Check

__all__ = ["pinned_check"]


def pinned_check(check: Check, request: pytest.FixtureRequest) -> Check:
    """The check, comparing with the files of this session, or writing them."""
    if check.id == "signature_pinned":
        from flatline.harness.suites.contract import pinned  # noqa: PLC0415

        differs = _snapshot(request)
        return replace(check, judge=lambda case: pinned(case, differs))
    if check.layer == "baseline" and request.config.stash[OPTIONS].update:
        from flatline.harness.suites.baseline import updated  # noqa: PLC0415

        return replace(check, judge=lambda case: updated(check, case))
    return check


def _snapshot(request: pytest.FixtureRequest) -> Callable[[str], list[str]] | None:
    """From a text to the lines in which syrupy's snapshot differs; None without syrupy."""
    if not request.config.pluginmanager.has_plugin("syrupy"):
        return None
    from flatline.harness.checks.interface import NO_SNAPSHOT  # noqa: PLC0415

    snapshot = request.getfixturevalue("snapshot")

    def differs(card: str) -> list[str]:
        if snapshot == card:
            return []
        found = snapshot.executions[snapshot.num_executions - 1]
        if found.recalled_data is None:
            return [NO_SNAPSHOT]
        kept, new = (str(text).splitlines() for text in (found.recalled_data, found.asserted_data))
        lines = difflib.unified_diff(kept, new, lineterm="", n=0)
        return [line for line in lines if not line.startswith(("---", "+++", "@@"))]

    return differs
