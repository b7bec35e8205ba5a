"""`flatline walkforward`: retrain over windows, judge all test days together."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from flatline.cli.options import (
    Data,
    File,
    Index,
    IndexCode,
    IndexSource,
    Json,
    Sectors,
    Set,
    read_settings,
    source_options,
    write_json,
)
from flatline.terminal import err, out, progress, say

__all__ = ["walkforward"]


def walkforward(
    folder: Annotated[
        Path, typer.Option("--out", help="Folder; a walk-forward that lies there goes on.")
    ],
    data: Data = None,
    sectors: Sectors = None,
    index: Index = None,
    index_code: IndexCode = None,
    index_source: IndexSource = None,
    settings: File = None,
    set_: Set = None,
    train: Annotated[
        int | None, typer.Option(help="Train days of a window (least number, if expanding).")
    ] = None,
    valid: Annotated[int | None, typer.Option(help="Validation days of a window.")] = None,
    test: Annotated[int | None, typer.Option(help="Test days of a window.")] = None,
    step: Annotated[
        int | None, typer.Option(help="Days from one window to the next; the test days if not set.")
    ] = None,
    rolling: Annotated[
        bool | None,
        typer.Option("--rolling/--expanding", help="Train on the last days, or on all before."),
    ] = None,
    embargo: Annotated[
        int | None, typer.Option(help="Days left out after the end of a label.")
    ] = None,
    test_from: Annotated[str | None, typer.Option(help="First date to test.")] = None,
    test_until: Annotated[str | None, typer.Option(help="Last date to test.")] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Windows at a time.")] = 1,
    windows: Annotated[int | None, typer.Option(min=1, help="Only the first windows.")] = None,
    learners: Annotated[
        bool, typer.Option("--learners/--no-learners", help="Fit the reference learners too.")
    ] = True,
    cost: Annotated[
        float, typer.Option(min=0, help="Cost of each unit of value traded, as a fraction.")
    ] = 0.001,
    json_file: Json = None,
) -> None:
    """Retrain over purged windows, score each one's test days, judge them all together.

    The options about days are those of data.windows in the settings. What was killed or
    interrupted goes on with the same command, and gives the same predictions.

    Exit code 0 when every window has predictions, 1 when one has not, 2 when the input
    cannot be used.
    """
    given = source_options(data, sectors, index, index_code, index_source)
    asked: dict[str, Any] = {
        "train": train, "valid": valid, "test": test, "step": step, "embargo": embargo,
        "expanding": None if rolling is None else not rolling,
        "test_from": test_from, "test_until": test_until,
    }  # fmt: skip
    given += [f"data.windows.{name}={value}" for name, value in asked.items() if value is not None]
    tree = read_settings(settings, set_, given)
    from flatline.evaluation.walkforward.windows import run_walk_forward  # noqa: PLC0415

    try:
        with progress("reading settings") as show:
            found = run_walk_forward(
                tree,
                folder,
                jobs=jobs,
                most_windows=windows,
                learners=learners,
                cost=cost,
                on_stage=show,
            )
    except KeyboardInterrupt:
        say(f"interrupted; the same command goes on with what is in {folder}.")
        raise typer.Exit(130) from None
    for table in found.tables():
        out.print(table)
    write_json(folder / "report.json", found.as_data())
    if json_file is not None:
        write_json(json_file, found.as_data())
    if found.report is not None:
        err.print(f"predictions: {found.report.predictions}")
    raise typer.Exit(int(found.dead))
