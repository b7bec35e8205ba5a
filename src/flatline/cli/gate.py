"""`flatline gate`: judge a reference subject."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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

if TYPE_CHECKING:
    from rich.table import Table

    from flatline.harness import Place, Verdict
    from flatline.settings import Settings

__all__ = ["gate"]


def gate(
    data: Data = None,
    sectors: Sectors = None,
    index: Index = None,
    index_code: IndexCode = None,
    index_source: IndexSource = None,
    settings: File = None,
    set_: Set = None,
    subject: Annotated[
        str | None,
        typer.Option(help="Reference subject to judge: atft_gat_fan, patchtst or apex."),
    ] = None,
    steps: Annotated[int, typer.Option(min=1, help="Steps of the smoke training.")] = 200,
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything random.")] = 0,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    json_file: Json = None,
) -> None:
    """Train the reference subjects for a few hundred steps each and judge them.

    Without --subject all of them; where prices or settings are given, the one whose model
    they name. Without --settings each is made as small as the gate needs it.

    Exit code 0 when every verdict passes, 1 when one fails, 2 when the input cannot be used.
    """
    given = source_options(data, sectors, index, index_code, index_source)
    trees = _trees(subject, settings, set_, given)
    import torch  # noqa: PLC0415 (safe mode comes first)

    from flatline.harness import Place  # noqa: PLC0415
    from flatline.harness.report import as_data, failed, verdict_table  # noqa: PLC0415

    place, outcomes, fails = Place(_device(torch, device)), [], False
    for name, tree in trees.items():
        started = time.perf_counter()
        verdicts, quarantined = _judge(name, tree, steps=steps, seed=seed, place=place)
        seconds = time.perf_counter() - started
        if data:
            out.print(quarantined)
        out.print(verdict_table(name, seconds, verdicts))
        outcomes.append(as_data(name, seconds, verdicts))
        fails |= failed(verdicts)
    if json_file is not None:
        write_json(json_file, {"subjects": outcomes})
    raise typer.Exit(int(fails))


def _trees(
    subject: str | None, file: Path | None, given: list[str] | None, own: list[str]
) -> dict[str, Settings]:
    """The settings of every subject to judge, all read before the first is trained."""
    from flatline.subjects import GATE_SETTINGS, gate_settings  # noqa: PLC0415

    if subject is None and file is None and not given and not own:
        return {name: read_settings(path, given, own) for name, path in GATE_SETTINGS.items()}
    tree = read_settings(file or gate_settings(subject or "atft_gat_fan"), given, own)
    return {subject or tree.model.name: tree}


def _judge(
    name: str, tree: Settings, *, steps: int, seed: int, place: Place
) -> tuple[list[Verdict], Table]:
    """The verdicts on one subject, and what was wrong with its prices."""
    from flatline.data.quarantine import quarantine_table  # noqa: PLC0415
    from flatline.evaluation.experiment import assemble  # noqa: PLC0415
    from flatline.harness import examine  # noqa: PLC0415
    from flatline.subjects import find_reference  # noqa: PLC0415

    make = find_reference(name)
    with progress(f"{name}: preparing") as show:
        experiment = assemble(tree, on_stage=show)
        judged = make(experiment)

        def on_step(step: int) -> None:
            show(f"{name}: step {step} of {steps}", step / steps)

        found = examine(judged, steps=steps, seed=seed, place=place, on_step=on_step)
    return found.verdicts, quarantine_table(experiment.quarantine)


def _device(torch: Any, name: str) -> Any:  # noqa: ANN401 (torch is imported late)
    from flatline.errors import SettingsError  # noqa: PLC0415

    if name not in {"cpu", "cuda"}:
        raise SettingsError(f"device is {name!r}, expected cpu or cuda. Choose one.")
    if name == "cuda" and not torch.cuda.is_available():
        raise SettingsError("device is 'cuda', expected a machine with one. Use --device cpu.")
    return torch.device(name)
