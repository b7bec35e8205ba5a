"""The command line: thin. Each command reads settings, calls one function, shows what came back."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flatline.aliases import alias_help
from flatline.errors import DegenerateError, FlatlineError, NoValidDayError
from flatline.terminal import err, log_lines, out, progress, say

if TYPE_CHECKING:
    from flatline.settings import Settings

__all__ = ["main"]

app = typer.Typer(
    help="A regression gate for return-prediction models, and the stack it guards.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)

# A paragraph a name: single line breaks are lost in a help text.
NAMES = "\n\n".join(["Names of the shell that are read as settings:", *alias_help().splitlines()])
Data = Annotated[
    list[str] | None,
    typer.Option("--data", help="Price file, folder or glob; repeat for more. "
                 "Without it the embedded market is used."),
]  # fmt: skip
Sectors = Annotated[Path | None, typer.Option(help="File with the sector of each code.")]
Index = Annotated[Path | None, typer.Option(help="File with the index series.")]
IndexCode = Annotated[str | None, typer.Option(help="Which index of that file.")]
IndexSource = Annotated[str | None, typer.Option(help="Which source of that index.")]
File = Annotated[Path | None, typer.Option("--settings", help="Settings as TOML.")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", help="One setting, such as training.learning_rate=1e-4; repeatable."),
]
Json = Annotated[Path | None, typer.Option("--json", help="Also write the outcome as JSON.")]


@app.command(epilog=NAMES)
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
    from flatline.subjects import GATE_SETTINGS  # noqa: PLC0415

    given = _source(data, sectors, index, index_code, index_source)
    tree = _settings(settings or GATE_SETTINGS, set_, given)
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
        _write_json(json_file, {"subjects": [as_data(judged.name, seconds, verdicts)]})
    raise typer.Exit(int(failed(verdicts)))


@app.command(epilog=NAMES)
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
    given = _source(data, sectors, index, index_code, index_source)
    if run is not None:
        given.append(f"run.dir={run}")
    if resume:
        given.append("run.resume=true")
    tree = _settings(settings, set_, given)
    from flatline.data.quarantine import quarantine_table  # noqa: PLC0415
    from flatline.evaluation.experiment import assemble  # noqa: PLC0415
    from flatline.evaluation.run import (  # noqa: PLC0415
        new_run_dir,
        predict_test,
        train_run,
        write_predictions,
    )

    with progress("reading settings") as show:
        experiment = assemble(tree, on_stage=show)
    out.print(quarantine_table(experiment.quarantine))
    run_dir = tree.run.dir or new_run_dir()
    model, result = train_run(experiment, run_dir, resume=tree.run.resume)
    best = "none, every epoch was degenerate" if result.best_epoch is None else (
        f"epoch {result.best_epoch} with a validation RankIC of {result.best_score:.4f}"
    )  # fmt: skip
    out.print(
        f"{result.steps} steps in {result.seconds:.0f} s, stopped by {result.stopped}; best: {best}"
    )
    if tree.run.export_predictions:
        out.print(f"predictions: {write_predictions(predict_test(experiment, model), run_dir)}")
    out.print(f"run: {run_dir}")
    raise typer.Exit(int(result.best_epoch is None))


@app.command()
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
    """Judge a run on its test days, beside ridge, boosted trees and low volatility."""
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
        _write_json(json_file, judged.as_data())


def main() -> None:
    """Run the command; errors are one line and exit code 2."""
    # Threads that wait give way soon: where cores are shared, as on a build server,
    # waiting in a long loop makes each step several times slower.
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    try:
        from flatline.training.safe_mode import (  # noqa: PLC0415
            enter_safe_mode,
            safe_mode_wanted,
        )

        if safe_mode_wanted():
            enter_safe_mode()
        with log_lines():
            code = app(sys.argv[1:] or ["--help"], standalone_mode=False)
    except typer.TyperException as error:
        say(f"{error.format_message().rstrip('.')}. See `flatline --help`.")
        code = error.exit_code
    except (DegenerateError, NoValidDayError) as error:
        say(str(error))  # The input was fine; the model has failed.
        code = 1
    except (FlatlineError, OSError) as error:
        say(str(error))
        code = 2
    except (KeyboardInterrupt, typer.Abort):
        say("interrupted; `flatline train --resume --run FOLDER` goes on.")
        code = 130
    raise SystemExit(code or 0)


def _settings(file: Path | None, given: list[str] | None, own: list[str]) -> Settings:
    from flatline.settings import load_settings  # noqa: PLC0415
    from flatline.training.safe_mode import enter_safe_mode  # noqa: PLC0415

    tree = load_settings(file, overrides=[*(given or ()), *own])
    if tree.run.single_process:
        enter_safe_mode()
    return tree


def _source(
    data: list[str] | None,
    sectors: Path | None,
    index: Path | None,
    index_code: str | None,
    index_source: str | None,
) -> list[str]:
    """The options that say where prices come from, as settings."""
    given: dict[str, Any] = {
        "prices": json.dumps(data) if data else None,
        "sectors": sectors,
        "index": index,
        "index_code": index_code,
        "index_source": index_source,
    }
    return [f"data.source.{name}={value}" for name, value in given.items() if value is not None]


def _device(torch: Any, name: str) -> Any:  # noqa: ANN401 (torch is imported late)
    from flatline.errors import SettingsError  # noqa: PLC0415

    if name not in {"cpu", "cuda"}:
        raise SettingsError(f"device is {name!r}, expected cpu or cuda. Choose one.")
    if name == "cuda" and not torch.cuda.is_available():
        raise SettingsError("device is 'cuda', expected a machine with one. Use --device cpu.")
    return torch.device(name)


def _write_json(path: Path, outcome: dict[str, Any]) -> None:
    from flatline.files import write_text  # noqa: PLC0415

    write_text(path, json.dumps(outcome, indent=1, allow_nan=False) + "\n")
    err.print(f"written: {path}")


if __name__ == "__main__":
    main()
