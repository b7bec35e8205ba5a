"""`flatline export`: predictions and programs of a run, checked as they are written."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flatline.cli.options import Json, write_json
from flatline.terminal import err, out, progress, say

__all__ = ["export"]


def export(
    run: Annotated[Path | None, typer.Option(help="Run folder; the newest by default.")] = None,
    data: Annotated[
        list[str] | None,
        typer.Option("--data", help="Where the run's price files are now, if they have moved."),
    ] = None,
    predictions: Annotated[
        Path | None, typer.Option(help="Parquet file for the scores of every day and stock.")
    ] = None,
    split: Annotated[str, typer.Option(help="Whose days: valid or test.")] = "test",
    names: Annotated[
        str,
        typer.Option(
            help="What scores are called: new, old (point_horizon_5), old_horizon (horizon_5) or "
            "old_horizon_d (horizon_5d); the old ones have a column for each horizon."
        ),
    ] = "new",
    program: Annotated[
        Path | None, typer.Option(help="File for torch.export's program, such as model.pt2.")
    ] = None,
    onnx: Annotated[
        Path | None, typer.Option(help="File for the ONNX program; needs the extra onnx.")
    ] = None,
    json_file: Json = None,
) -> None:
    """Write the predictions of a run, or its model as a program, and check what was written.

    Predictions are held against the data: every date, stock and horizon once. Programs score
    test days, one row alone and rows without a graph, beside the model.

    Exit code 1 when a score is not finite.
    """
    from flatline.evaluation.run import newest_run  # noqa: PLC0415

    folder = run or newest_run()
    err.print(f"run: {folder}")
    with progress("opening the run") as show:
        from flatline.evaluation.export_run import export_run  # noqa: PLC0415

        done = export_run(
            folder,
            prices=tuple(data or ()),
            predictions=predictions,
            split=split,
            names=names,
            program=program,
            onnx=onnx,
            on_stage=show,
        )
    for line in done.lines():
        out.print(line, highlight=False, markup=False, soft_wrap=True)
    if json_file is not None:
        write_json(json_file, done.as_data())
    if done.predictions is not None and done.predictions.not_finite:
        say(f"{done.predictions.not_finite} scores are not finite: the model is broken.")
        raise typer.Exit(1)
