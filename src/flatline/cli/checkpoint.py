"""`flatline checkpoint`: what a checkpoint holds, and old ones made into runs."""

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
from flatline.errors import SettingsError
from flatline.terminal import out, progress

__all__ = ["checkpoint"]


def checkpoint(
    file: Annotated[Path, typer.Argument(help="checkpoint.safetensors of a run, or an old .pt.")],
    run: Annotated[
        Path | None, typer.Option(help="Make this run folder of an old pickled checkpoint.")
    ] = None,
    data: Data = None,
    sectors: Sectors = None,
    index: Index = None,
    index_code: IndexCode = None,
    index_source: IndexSource = None,
    settings: File = None,
    set_: Set = None,
    json_file: Json = None,
) -> None:
    """Show what a checkpoint says about its model; with --run, convert an old one.

    Old files hold weights alone: --settings, --set and --data say what they were trained with.
    Nothing in a file is ever run.
    """
    given = source_options(data, sectors, index, index_code, index_source)
    if run is not None:
        tree = read_settings(settings, set_, given)
        from flatline.evaluation.convert import convert  # noqa: PLC0415

        with progress("reading settings") as show:
            legacy = convert(file, run, tree, on_stage=show)
        out.print(f"{len(legacy.names)} tensors of {file}, all of them in the model", markup=False)
        out.print(f"run: {run}", markup=False)
        return
    if given or settings or set_:
        raise SettingsError(
            "settings are given without --run, expected a run to make with them. "
            "Add --run FOLDER, or drop them."
        )
    from flatline.artifacts import load_checkpoint  # noqa: PLC0415
    from flatline.models.registry import build_model  # noqa: PLC0415

    # The whole of it, so that what is shown is known to be sound.
    model, read = load_checkpoint(file, build=build_model)
    manifest = read.model_dump(mode="json")
    numbers = sum(tensor.numel() for tensor in model.state_dict().values())
    out.print(f"{file}: {numbers} numbers of {type(model).__name__}, all as written", markup=False)
    for name, value in manifest.items():
        out.print(f"{name}: {value}", highlight=False, markup=False, soft_wrap=True)
    if json_file is not None:
        write_json(json_file, manifest)
