"""`flatline train`: from prices to a run folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flatline.cli.options import (
    Data,
    File,
    Index,
    IndexCode,
    IndexSource,
    Sectors,
    Set,
    read_settings,
    source_options,
)
from flatline.terminal import out, progress

__all__ = ["train"]

PREDICTIONS = "predictions.parquet"


def train(
    data: Data = None,
    sectors: Sectors = None,
    index: Index = None,
    index_code: IndexCode = None,
    index_source: IndexSource = None,
    settings: File = None,
    set_: Set = None,
    run: Annotated[Path | None, typer.Option(help="Run folder; a new one by default.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run there.")] = False,
) -> None:
    """Train the full stack and leave a run folder with all that is needed to judge it."""
    given = source_options(data, sectors, index, index_code, index_source)
    if run is not None:
        given.append(f"run.dir={run}")
    if resume:
        given.append("run.resume=true")
    tree = read_settings(settings, set_, given)
    from flatline.data.quarantine import quarantine_table  # noqa: PLC0415
    from flatline.evaluation.experiment import assemble  # noqa: PLC0415
    from flatline.evaluation.export import export_predictions  # noqa: PLC0415
    from flatline.evaluation.run import manifest_of, new_run_dir, train_run  # noqa: PLC0415

    with progress("reading settings") as show:
        experiment = assemble(tree, on_stage=show)
    out.print(quarantine_table(experiment.quarantine))
    run_dir = tree.run.dir or new_run_dir()
    model, result = train_run(experiment, run_dir, resume=tree.run.resume)
    best = "none, every epoch was degenerate"
    if result.best_epoch is not None and result.best_score is not None:
        series = tree.data.series is not None
        figure = (
            f"loss of {-result.best_score:.4f}" if series else f"RankIC of {result.best_score:.4f}"
        )
        best = f"epoch {result.best_epoch} with a validation {figure}"
    out.print(
        f"{result.steps} steps in {result.seconds:.0f} s, stopped by {result.stopped}; best: {best}"
    )
    if tree.run.export_predictions:
        run_id, path = manifest_of(experiment, model, run_dir).run_id, run_dir / PREDICTIONS
        written = export_predictions(experiment, model, path, run_id=run_id)
        out.print(written.sentence(), highlight=False, markup=False, soft_wrap=True)
    out.print(f"run: {run_dir}")
    raise typer.Exit(int(result.best_epoch is None))
