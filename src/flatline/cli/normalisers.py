"""`flatline normalisers`: what a normaliser does to a model of one series."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flatline.cli.options import Data, File, Json, Set, read_settings, source_options, write_json
from flatline.terminal import err, out, progress, say

__all__ = ["normalisers"]


def normalisers(
    data: Data = None,
    settings: File = None,
    set_: Set = None,
    folder: Annotated[
        Path, typer.Option("--out", help="Folder of the trainings; those that lie there are kept.")
    ] = Path("runs/normalisers"),
    features: Annotated[
        list[str] | None,
        typer.Option("--features", help="level or ratio; repeat for both, which is the default."),
    ] = None,
    normaliser: Annotated[
        list[str] | None, typer.Option(help="One to compare; repeat for more. Default: all six.")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Trainings of each model.")] = 5,
    jobs: Annotated[int, typer.Option(min=1, help="Processes at a time.")] = 1,
    learners: Annotated[
        bool, typer.Option("--learners/--no-learners", help="Fit the reference learners too.")
    ] = True,
    later: Annotated[
        str | None,
        typer.Option(help="First date of a part of the test days that is reported apart."),
    ] = None,
    json_file: Json = None,
) -> None:
    """Train a model of one series under each normaliser, and judge it period by period.

    Beside it: logistic regression and random forest on the same features. The settings must
    name a series (data.series), as settings/spy.toml does. A second run goes on where the
    first was ended.
    """
    tree = read_settings(settings, set_, source_options(data, None, None, None, None))
    from flatline.evaluation.series.cells import NORMALISERS  # noqa: PLC0415
    from flatline.evaluation.series.comparison import compare_normalisers  # noqa: PLC0415

    try:
        with progress("reading settings") as show:
            found = compare_normalisers(
                tree,
                folder,
                features=features or ("level", "ratio"),
                normalisers=normaliser or NORMALISERS,
                seeds=seeds,
                learners=learners,
                jobs=jobs,
                later=later,
                on_stage=show,
            )
    except KeyboardInterrupt:
        say(f"interrupted; the same command goes on with what is in {folder}.")
        raise typer.Exit(130) from None
    err.print(f"trainings: {found.worked} new, kept in {folder}")
    for table in found.tables():
        out.print(table)
    if json_file is not None:
        write_json(json_file, found.as_data())
