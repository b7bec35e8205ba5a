"""`flatline checks`: the catalogue of what the gate looks at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from flatline.cli.options import Json, write_json
from flatline.terminal import out

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flatline.harness import Check

__all__ = ["checks"]

FIELDS = ("id", "layer", "stage", "cost", "false_alarm_rate", "dead_passes", "needs", "says")


def checks(
    only: Annotated[
        list[str] | None, typer.Argument(help="Ids of checks, or layers; all by default.")
    ] = None,
    json_file: Json = None,
) -> None:
    """List the checks: what each says, when it can speak, what it costs, how often it is wrong."""
    from rich.table import Table  # noqa: PLC0415

    from flatline.subjects.finding import choose_checks  # noqa: PLC0415

    chosen = choose_checks(only or [])
    table = Table(title=f"{len(chosen)} checks", title_justify="left")
    for heading in ("check", "layer", "stage", "cost", "false alarms", "what holds of a healthy"):
        table.add_column(heading, overflow="fold")
    for check in chosen:
        stated = check.false_alarm_rate
        rate = "none" if stated is None else f"{stated:.2g}"
        table.add_row(check.id, check.layer, check.stage, check.cost, rate, _says(check))
    out.print(table)
    if json_file is not None:
        write_json(json_file, {"checks": as_rows(chosen)})


def as_rows(chosen: Sequence[Check]) -> list[dict[str, Any]]:
    """Checks as plain data, ready for JSON."""
    return [{name: getattr(check, name) for name in FIELDS} for check in chosen]


def _says(check: Check) -> str:
    said = [check.says]
    if check.dead_passes is not None:
        said.append(f"One without skill passes at a rate of {check.dead_passes:.2g}.")
    if check.needs:
        said.append(f"Needs {' and '.join(f'`{part}`' for part in check.needs)}.")
    return " ".join(said)
