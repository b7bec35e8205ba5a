"""What several commands share: options, the settings they add up to, the file they write."""

from __future__ import annotations

import json
import os
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flatline.aliases import alias_help
from flatline.errors import FlatlineError, SettingsError
from flatline.terminal import err

if TYPE_CHECKING:
    from flatline.harness import Subject
    from flatline.settings import Settings

__all__ = [
    "NAMES", "Data", "File", "Index", "IndexCode", "IndexSource", "Json", "Sectors", "Set",
    "own_subject", "read_settings", "source_options", "write_json",
]  # fmt: skip

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


def own_subject(name: str) -> Subject:
    """A subject by its name; its module lies in the current folder, or is installed.

    Raises:
        SettingsError: There is none, or its module raises.
    """
    from flatline.subjects.finding import load_subject  # noqa: PLC0415

    here = os.getcwd()  # noqa: PTH109 (the path of imports holds strings)
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        return load_subject(name)
    except FlatlineError:
        raise
    except Exception as error:  # The user's own module may raise anything.
        frame = traceback.extract_tb(error.__traceback__)[-1]
        raise SettingsError(
            f"subject {name!r} raises {type(error).__name__}: {error} at {frame.filename}:"
            f"{frame.lineno}, expected a module that can be imported. Correct it."
        ) from error


def read_settings(file: Path | None, given: list[str] | None, own: list[str]) -> Settings:
    """The effective settings of a command: file, environment, `--set`, its own options."""
    from flatline.settings import load_settings  # noqa: PLC0415
    from flatline.training.safe_mode import enter_safe_mode  # noqa: PLC0415

    tree = load_settings(file, overrides=[*(given or ()), *own])
    if tree.run.single_process:
        enter_safe_mode()
    return tree


def source_options(
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


def write_json(path: Path, outcome: dict[str, Any]) -> None:
    """Write what a command found, whole or not at all, and say where."""
    from flatline.files import write_text  # noqa: PLC0415

    write_text(path, json.dumps(outcome, indent=1, allow_nan=False) + "\n")
    err.print(f"written: {path}")
