"""`flatline evaluate`: judge a run on its test days."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flatline.cli.options import Data, Json, write_json
from flatline.terminal import err, out, progress

__all__ = ["evaluate"]


def evaluate(
    run: Annotated[Path | None, typer.Option(help="Run folder; the newest by default.")] = None,
    data: Data = None,
    learners: Annotated[
        bool, typer.Option("--learners/--no-learners", help="Fit the reference learners too.")
    ] = True,
    cost: Annotated[
        float, typer.Option(help="Cost of each unit of value traded, as a fraction.")
    ] = 0.001,
    json_file: Json = None,
) -> None:
    """Judge a run on its test days, beside ridge, boosted trees and two naive scores."""
    from flatline.evaluation.judge import judge_run  # noqa: PLC0415
    from flatline.evaluation.run import newest_run  # noqa: PLC0415

    folder = run or newest_run()
    err.print(f"run: {folder}")
    with progress("opening the run") as show:
        judged = judge_run(
            folder, prices=tuple(data or ()), learners=learners, cost=cost, on_stage=show
        )
    for table in judged.tables():
        out.print(table)
    if json_file is not None:
        write_json(json_file, judged.as_data())
