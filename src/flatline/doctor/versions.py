"""Whether what is installed is what flatline asks for."""

from __future__ import annotations

import importlib.metadata
import platform
import re
from collections.abc import Callable, Mapping, Sequence

from flatline.doctor.findings import Finding, Status
from flatline.doctor.probing import LIBRARIES, Probe

__all__ = ["check_versions", "installed_version", "requirements_of"]

PART = "versions"
NEED_TORCH = frozenset({"lightning", "torch-geometric"})


def requirements_of(name: str) -> tuple[str, list[str]]:
    """What an installed distribution asks for: a rule for Python, and requirements.

    Both are empty where it is not installed, as in a bare checkout.
    """
    try:
        found = importlib.metadata.metadata(name)
        return found["Requires-Python"] or "", importlib.metadata.requires(name) or []
    except importlib.metadata.PackageNotFoundError:
        return "", []


def installed_version(name: str) -> str | None:
    """The version of an installed distribution; None without it."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def check_versions(
    probed: Probe,
    requirements: Sequence[str],
    *,
    needs_python: str = "",
    python: str = platform.python_version(),
    installed: Callable[[str], str | None] = installed_version,
) -> list[Finding]:
    """One finding for Python, flatline and each library that it asks for.

    Args:
        probed: What came of importing them.
        requirements: As the metadata of the installed flatline has them.
        needs_python: The rule for Python, such as ">=3.11".
        python: The version that runs.
        installed: From the name of a distribution to its version.
    """
    from packaging.requirements import Requirement  # noqa: PLC0415
    from packaging.specifiers import SpecifierSet  # noqa: PLC0415

    fits = SpecifierSet(needs_python).contains(python, prereleases=True)
    findings = [
        Finding(
            PART,
            "python",
            Status.OK if fits else Status.TROUBLE,
            f"{python}{_rule(needs_python)}",
            "" if fits else "Make an environment with another Python.",
        ),
        _own(installed("flatline")),
    ]
    broken = {LIBRARIES.get(name, name): error for name, error in probed.errors.items()}
    extras: dict[str, list[tuple[str, str, str | None]]] = {}
    asked = set()
    for text in requirements:
        need = Requirement(text)
        rule, found = str(need.specifier), installed(need.name)
        asked.add(need.name)
        if need.marker is None or need.marker.evaluate({"extra": ""}):
            findings.append(_needed(need.name, rule, found, broken))
            continue
        for extra in _extras_of(text):
            if need.marker.evaluate({"extra": extra}):
                extras.setdefault(extra, []).append((need.name, rule, found))
    # Without metadata, or without a requirement: a library that breaks is a fact all the same.
    findings += [_needed(name, "", installed(name), broken) for name in broken if name not in asked]
    return findings + [_extra(name, libraries) for name, libraries in extras.items()]


def _own(version: str | None) -> Finding:
    if version is None:
        measured = "run from a checkout: what it asks of other libraries is not known"
        return Finding(PART, "flatline", Status.NOTE, measured, "Install it: pip install .")
    return Finding(PART, "flatline", Status.OK, version)


def _needed(name: str, rule: str, found: str | None, broken: Mapping[str, str]) -> Finding:
    measured = f"{found or 'not installed'}{_rule(rule)}"
    if not _within(found, rule):
        return Finding(PART, name, Status.TROUBLE, measured, f"pip install '{name}{rule}'")
    if name in broken:
        measured = f"{measured}, cannot be imported: {broken[name]}"
        remedy = f"Install it again: pip install --force-reinstall '{name}{rule}'"
        if "torch" in broken and name in NEED_TORCH:
            remedy = "Correct torch first: it is imported by this one."
        return Finding(PART, name, Status.TROUBLE, measured, remedy)
    return Finding(PART, name, Status.OK, measured)


def _extra(extra: str, libraries: Sequence[tuple[str, str, str | None]]) -> Finding:
    name = f"extra {extra}"
    shown = ", ".join(f"{one} {found or 'not installed'}" for one, _, found in libraries)
    remedy = f"Only where it is wanted: pip install 'flatline[{extra}]'"
    if any(found is None for _, _, found in libraries):
        return Finding(PART, name, Status.NOTE, shown, remedy)
    if not all(_within(found, rule) for _, rule, found in libraries):
        wanted = ", ".join(f"{one}{rule}" for one, rule, _ in libraries)
        return Finding(PART, name, Status.NOTE, f"{shown} (asked for: {wanted})", remedy)
    return Finding(PART, name, Status.OK, shown)


def _within(found: str | None, rule: str) -> bool:
    from packaging.specifiers import SpecifierSet  # noqa: PLC0415
    from packaging.version import InvalidVersion  # noqa: PLC0415

    try:
        return found is not None and SpecifierSet(rule).contains(found, prereleases=True)
    except InvalidVersion:
        return True  # A version that nobody can compare is not known to be too old.


def _extras_of(requirement: str) -> list[str]:
    return re.findall(r"extra\s*==\s*['\"]([^'\"]+)['\"]", requirement)


def _rule(rule: str) -> str:
    return f" ({rule})" if rule else ""
