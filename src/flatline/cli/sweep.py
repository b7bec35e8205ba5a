"""`flatline sweep`: search over settings."""

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
    Json,
    Sectors,
    Set,
    read_settings,
    source_options,
    write_json,
)
from flatline.terminal import out, progress, say

__all__ = ["sweep"]


def sweep(
    space: Annotated[Path, typer.Option(help="What varies, as TOML.")],
    folder: Annotated[Path, typer.Option("--out", help="Folder; a sweep that lies there goes on.")],
    data: Data = None,
    sectors: Sectors = None,
    index: Index = None,
    index_code: IndexCode = None,
    index_source: IndexSource = None,
    settings: File = None,
    set_: Set = None,
    trials: Annotated[
        int, typer.Option(min=1, help="Trials in all, earlier ones in the folder included.")
    ] = 20,
    jobs: Annotated[int, typer.Option(min=1, help="Trials at a time.")] = 1,
    pruner: Annotated[
        str, typer.Option(help="What ends hopeless trials: median, hyperband or none.")
    ] = "median",
    storage: Annotated[
        str | None, typer.Option(help="URL of another database than sweep.db in the folder.")
    ] = None,
    json_file: Json = None,
) -> None:
    """Train with many settings and keep those that do best on the validation days.

    The space names settings and what they may be, a line each:
    "training.learning_rate" = {low = 1e-4, high = 1e-2, log = true},
    "model.hidden" = {choices = [16, 32]}.

    Trials are compared on their validation RankIC, in which a day without one counts as a
    day without skill; those of a single series on their loss, negated. Trials with flat
    scores are recorded with the kind, and never the best.
    The best settings are written to best.toml in the folder, for flatline train --settings.

    Exit code 0 with a best trial, 1 without one, 2 when the input cannot be used.
    """
    given = source_options(data, sectors, index, index_code, index_source)
    tree = read_settings(settings, set_, given)
    from flatline.evaluation.sweep.search import run_sweep  # noqa: PLC0415
    from flatline.evaluation.sweep.space import read_space  # noqa: PLC0415

    varied = read_space(space)
    varied.check(settings, [*(set_ or ()), *given])
    try:
        with progress("reading settings") as show:
            found = run_sweep(
                tree,
                varied,
                folder,
                trials=trials,
                jobs=jobs,
                pruner=pruner,
                storage=storage,
                on_stage=show,
            )
    except KeyboardInterrupt:
        say(f"interrupted; the same command goes on with what is in {folder}.")
        raise typer.Exit(130) from None
    out.print(found.table())
    if json_file is not None:
        write_json(json_file, found.as_data())
    if found.best is None:
        say("no trial has a score; see the reasons in trials.csv.")
        raise typer.Exit(1)
    out.print(f"best: trial {found.best.number}, validation score {found.best.value:.4f}")
    out.print(f"settings: {found.best_file}")
