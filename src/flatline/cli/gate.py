"""`flatline gate`: judge a reference subject."""

from __future__ import annotations

import time
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
from flatline.terminal import out, progress

__all__ = ["gate"]


def gate(
    data: Data = None,
    sectors: Sectors = None,
    index: Index = None,
    index_code: IndexCode = None,
    index_source: IndexSource = None,
    settings: File = None,
    set_: Set = None,
    subject: Annotated[str, typer.Option(help="Reference subject to judge.")] = "atft_gat_fan",
    steps: Annotated[int, typer.Option(min=1, help="Steps of the smoke training.")] = 200,
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything random.")] = 0,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    json_file: Json = None,
) -> None:
    """Train the reference subject for a few hundred steps and judge it.

    Without --settings it is made as small as the gate needs it.

    Exit code 0 when every verdict passes, 1 when one fails, 2 when the input cannot be used.
    """
    from flatline.subjects import gate_settings  # noqa: PLC0415

    given = source_options(data, sectors, index, index_code, index_source)
    tree = read_settings(settings or gate_settings(subject), set_, given)
    started = time.perf_counter()
    import torch  # noqa: PLC0415 (safe mode comes first)

    from flatline.data.quarantine import quarantine_table  # noqa: PLC0415
    from flatline.evaluation.experiment import assemble  # noqa: PLC0415
    from flatline.harness import Place, examine  # noqa: PLC0415
    from flatline.harness.report import as_data, failed, verdict_table  # noqa: PLC0415
    from flatline.subjects import find_reference  # noqa: PLC0415

    make, place = find_reference(subject), Place(_device(torch, device))
    with progress(f"{subject}: preparing") as show:
        experiment = assemble(tree, on_stage=show)
        judged = make(experiment)

        def on_step(step: int) -> None:
            show(f"{subject}: step {step} of {steps}", step / steps)

        found = examine(judged, steps=steps, seed=seed, place=place, on_step=on_step)
    seconds = time.perf_counter() - started
    verdicts = found.verdicts
    if data:
        out.print(quarantine_table(experiment.quarantine))
    out.print(verdict_table(judged.name, seconds, verdicts))
    if json_file is not None:
        write_json(json_file, {"subjects": [as_data(judged.name, seconds, verdicts)]})
    raise typer.Exit(int(failed(verdicts)))


def _device(torch: Any, name: str) -> Any:  # noqa: ANN401 (torch is imported late)
    from flatline.errors import SettingsError  # noqa: PLC0415

    if name not in {"cpu", "cuda"}:
        raise SettingsError(f"device is {name!r}, expected cpu or cuda. Choose one.")
    if name == "cuda" and not torch.cuda.is_available():
        raise SettingsError("device is 'cuda', expected a machine with one. Use --device cpu.")
    return torch.device(name)
