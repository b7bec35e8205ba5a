"""`flatline doctor`: what stands in the way of a training on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flatline.cli.options import Json, write_json
from flatline.terminal import out, progress

__all__ = ["doctor"]


def doctor(
    data: Annotated[
        list[str] | None,
        typer.Option("--data", help="Price file, folder or glob to read; repeat for more."),
    ] = None,
    run: Annotated[
        Path, typer.Option(help="Folder of a run, or the one in which runs are left.")
    ] = Path("runs"),
    processes: Annotated[
        int, typer.Option(min=1, help="How many processes are meant to run at a time.")
    ] = 1,
    json_file: Json = None,
) -> None:
    """Look at versions, devices, threads, memory, disks, data and environment.

    Exit code 1 when something stops a training, slows it by far or falsifies it; 0 otherwise.
    """
    from flatline.doctor import as_data, examine, findings_table, in_trouble  # noqa: PLC0415

    with progress("looking") as show:
        findings = examine(data=data or (), run=run, processes=processes, on_stage=show)
    out.print(findings_table(findings))
    if json_file is not None:
        write_json(json_file, as_data(findings))
    raise typer.Exit(int(in_trouble(findings)))
