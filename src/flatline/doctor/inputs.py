"""Whether what a training is given can be read: price files, and names in the environment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from flatline.doctor.findings import Finding, Status
from flatline.errors import DataError, SettingsError

__all__ = ["check_data", "check_environment"]


def check_data(paths: Sequence[str]) -> list[Finding]:
    """One finding for each price file: rows, codes, dates and columns, or why it is none."""
    try:
        from flatline.data.reading import find_files  # noqa: PLC0415
    except ImportError as error:
        measured = f"not read: {error}"
        return [Finding("data", "prices", Status.TROUBLE, measured, "See versions.")]
    findings: list[Finding] = []
    for given in paths:
        try:
            files = find_files(given)
        except DataError as error:
            findings.append(_refused(given, error))
            continue
        findings += [_file(path) for path in files]
    return findings


def _file(path: Path) -> Finding:
    from flatline.data.prices import COLUMNS, bars_of  # noqa: PLC0415
    from flatline.data.reading import read_table  # noqa: PLC0415

    try:
        bars = bars_of(read_table(path, keep=COLUMNS), origin=str(path), columns=None)
    except DataError as error:
        return _refused(path.name, error)
    days = bars["date"].drop_nulls().sort().to_list()
    when = f"from {days[0]} to {days[-1]}" if days else "without a date"
    measured = (
        f"{bars.height} rows of {bars['code'].n_unique()} codes {when}; "
        f"columns {', '.join(bars.columns)}"
    )
    empty = [name for name in ("date", "code", "close") if bars[name].null_count() == bars.height]
    if empty:
        remedy = f"Correct column {empty[0]!r}: it has no value."
        return Finding("data", path.name, Status.TROUBLE, measured, remedy)
    return Finding("data", path.name, Status.OK, measured)


def _refused(name: str, error: DataError) -> Finding:
    *_, remedy = str(error).split(". ")
    measured = str(error).removesuffix(remedy).strip()
    return Finding("data", name, Status.TROUBLE, measured or remedy, remedy if measured else "")


def check_environment(environ: Mapping[str, str]) -> list[Finding]:
    """Whether the names in the environment are settings and agree with each other."""
    from flatline.settings import Settings, load_settings  # noqa: PLC0415
    from flatline.settings_sources import from_environment  # noqa: PLC0415

    faults = []
    given = set()
    for name, value in sorted(environ.items()):
        try:
            if from_environment(Settings, {name: value}):
                given.add(name)
        except SettingsError as error:
            faults.append(str(error))
    if not faults:
        try:
            load_settings(environ=environ)
        except SettingsError as error:
            faults.append(str(error))
    if faults:
        return [
            Finding("environment", "settings", Status.TROUBLE, fault, "Unset or correct it.")
            for fault in faults
        ]
    shown = ", ".join(sorted(given)) or "none"
    return [Finding("environment", "settings", Status.OK, f"read as settings: {shown}")]
