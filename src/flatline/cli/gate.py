"""`flatline gate`: judge subjects, references or one's own."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
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
    own_subject,
    read_settings,
    source_options,
    write_json,
)
from flatline.errors import SettingsError
from flatline.terminal import out, progress

if TYPE_CHECKING:
    from flatline.harness import Check, Place, Subject, Verdict
    from flatline.settings import Settings

__all__ = ["gate"]

Judged = list[tuple["Check", "Verdict"]]


def gate(
    subjects: Annotated[
        list[str] | None,
        typer.Argument(
            help="Subjects to judge: atft_gat_fan, patchtst, apex, or package.module:subject."
        ),
    ] = None,
    data: Data = None,
    sectors: Sectors = None,
    index: Index = None,
    index_code: IndexCode = None,
    index_source: IndexSource = None,
    settings: File = None,
    set_: Set = None,
    only: Annotated[
        list[str] | None,
        typer.Option(help="Id of a check, or a layer; repeat for more. `flatline checks` lists."),
    ] = None,
    steps: Annotated[int, typer.Option(min=1, help="Steps of the smoke training.")] = 200,
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything random.")] = 0,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    precision: Annotated[str, typer.Option(help="fp32 or bf16-mixed.")] = "fp32",
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Show every verdict, not only what failed.")
    ] = False,
    json_file: Json = None,
) -> None:
    """Judge subjects: train each for a few hundred steps, and measure what it does.

    Without a subject all references; where prices or settings are given, the one whose model
    they name. Without --settings each reference is made as small as the gate needs it.

    Exit code 0 when every verdict passes, 1 when one fails, 2 when the input cannot be used.
    """
    given = source_options(data, sectors, index, index_code, index_source)
    asked = _asked(subjects or [], settings, given, set_ or [])
    import torch  # noqa: PLC0415 (safe mode comes first)

    from flatline.harness.report import as_data, failed  # noqa: PLC0415
    from flatline.subjects.finding import choose_checks  # noqa: PLC0415
    from flatline_pytest.summary import family_rate, total_of, unstated  # noqa: PLC0415

    checks, place = choose_checks(only or []), _place(torch, device, precision)
    outcomes, found, fails = [], [], False
    for name, made in asked.items():
        started = time.perf_counter()
        judged = _judge(name, made, checks, steps=steps, seed=seed, place=place, shown=bool(data))
        seconds, verdicts = time.perf_counter() - started, [verdict for _, verdict in judged]
        found += _show(name, seconds, judged, verbose=verbose)
        outcomes.append(as_data(name, seconds, verdicts))
        fails |= failed(verdicts)
    out.print(total_of(found), highlight=False)
    _annotate(found)
    if json_file is not None:
        rates = {"false_alarm_rate": family_rate(found), "without_stated_rate": unstated(found)}
        write_json(json_file, {"subjects": outcomes, **rates})
    raise typer.Exit(int(fails))


def _show(name: str, seconds: float, judged: Judged, *, verbose: bool) -> list[dict[str, Any]]:
    """What became of each layer, below it what failed and why the rest was not judged.

    Returns:
        All of it as data.
    """
    from flatline.harness.report import layer_table, verdict_table  # noqa: PLC0415
    from flatline_pytest.outcomes import judgement  # noqa: PLC0415
    from flatline_pytest.summary import skips_of  # noqa: PLC0415

    found = [judgement(name, check, verdict) for check, verdict in judged]
    spoken = [v for _, v in judged if verbose or v.status in {"error", "fail"}]
    out.print(layer_table(name, seconds, judged))
    if spoken:
        out.print(verdict_table(spoken))
    for line in [] if verbose else skips_of(found):
        out.print(line, markup=False, highlight=False, soft_wrap=True)
    return found


def _asked(
    names: Sequence[str], file: Path | None, given: list[str], own: list[str]
) -> Mapping[str, Settings | Subject]:
    """What to judge by its name, all read before the first is trained."""
    from flatline.subjects import GATE_SETTINGS, gate_settings  # noqa: PLC0415

    chosen = file is not None or bool(given) or bool(own)
    if not names and chosen:
        tree = read_settings(file or gate_settings("atft_gat_fan"), given, own)
        return {tree.model.name: tree}
    asked: dict[str, Settings | Subject] = {}
    for name in dict.fromkeys(names or GATE_SETTINGS):
        if ":" not in name:
            asked[name] = read_settings(file or gate_settings(name), given, own)
            continue
        if chosen:
            raise SettingsError(
                f"settings are given for {name!r}, expected none: they would change nothing. "
                "They make reference subjects; what it is made of stands in its module."
            )
        subject = own_subject(name)
        if subject.name in asked:
            raise SettingsError(
                f"two subjects are named {subject.name!r}, expected names that tell them apart. "
                "Give each Subject a name of its own."
            )
        asked[subject.name] = subject
    return asked


def _judge(
    name: str,
    made: Settings | Subject,
    checks: Sequence[Check],
    *,
    steps: int,
    seed: int,
    place: Place,
    shown: bool,
) -> Judged:
    """Every check and its verdict on one subject; what was wrong with prices is *shown*."""
    from flatline.data.quarantine import quarantine_table  # noqa: PLC0415
    from flatline.evaluation.experiment import assemble  # noqa: PLC0415
    from flatline.harness import Case, Subject, judge  # noqa: PLC0415
    from flatline.harness.inferred import inferred  # noqa: PLC0415
    from flatline.subjects import find_reference  # noqa: PLC0415

    with progress(f"{name}: preparing") as show:
        if isinstance(made, Subject):
            subject = made
        else:
            make = find_reference(name)
            experiment = assemble(made, on_stage=show)
            if shown:
                out.print(quarantine_table(experiment.quarantine))
            subject = make(experiment)
        case = Case(
            subject,
            steps=steps,
            seed=seed,
            place=place,
            on_step=lambda step: show(f"{name}: step {step} of {steps}", step / steps),
        )
        judged: Judged = []
        for check in checks:
            show(f"{name}: {check.id}", len(judged) / len(checks))
            judged.append((check, judge(check, case)))
    with suppress(Exception):  # The verdicts say what its code raises.
        out.print(f"{name} is taken as: {case.of(inferred)}", markup=False, highlight=False)
    return judged


def _annotate(found: Sequence[dict[str, Any]]) -> None:
    """Under GitHub Actions, mark what failed at the line of its culprit."""
    from flatline_pytest.annotations import annotation, wanted  # noqa: PLC0415

    if wanted():
        for data in found:
            if data["status"] in {"error", "fail"}:
                typer.echo(annotation(data, Path.cwd()))


def _place(torch: Any, device: str, precision: str) -> Place:  # noqa: ANN401 (imported late)
    from flatline.harness import Place  # noqa: PLC0415

    if device not in {"cpu", "cuda"}:
        raise SettingsError(f"device is {device!r}, expected cpu or cuda. Choose one.")
    if device == "cuda" and not torch.cuda.is_available():
        raise SettingsError("device is 'cuda', expected a machine with one. Use --device cpu.")
    if precision not in {"fp32", "bf16-mixed"}:
        raise SettingsError(f"precision is {precision!r}, expected fp32 or bf16-mixed. Choose one.")
    return Place(torch.device(device), "fp32" if precision == "fp32" else "bf16-mixed")
