"""What a walk-forward is to do: its folder, its windows, and the raw panel that all of them read.

The folder holds `walkforward.json` (settings, data, threads), `panel/` (raw,
built once), `windows/` (a run folder each) and `results/` (what each came to).
"""

from __future__ import annotations

import hashlib
import json
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from flatline.data.panel import Panel
from flatline.data.reading import find_files
from flatline.data.settings import SourceSettings, SplitSettings, WindowSettings
from flatline.data.splits import walk_forward
from flatline.errors import ArtifactError, SettingsError
from flatline.evaluation.experiment import Raw, prepare
from flatline.evaluation.run import fingerprint
from flatline.files import replacing, write_text
from flatline.settings import Settings
from flatline.training.settings import RunSettings

__all__ = ["Plan", "Window", "held", "open_plan", "read_json"]

RECORD = "walkforward.json"
FORMAT = 1
# Settings that may differ when a walk-forward goes on: where files lie, and what is shown.
FREE = (
    "run.",
    "data.split.",
    "data.source.prices",
    "data.source.sectors",
    "data.source.index",
    "data.source.memory_map",
    "training.progress",
    "training.tensorboard",
    "training.checkpoint_every_n_steps",
    "training.log_every_n_steps",
)


@dataclass(frozen=True, slots=True)
class Window:
    """One retraining.

    Args:
        number: From 1 on, in the order of time.
        settings: The whole tree, with the dates of this window as `data.split`: `flatline
            train` with it gives the same run.
    """

    number: int
    settings: Settings


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """A walk-forward that is ready to be worked on. Build it with `open_plan`.

    Args:
        folder: Where everything lies.
        settings: What all windows have in common.
        windows: In the order of time.
        threads: Of each process that works on a window; part of the record, because
            sums of floats depend on it.
        data: Fingerprint of the raw panel.
        resumed: Whether the folder held this walk-forward before.
    """

    folder: Path
    settings: Settings
    windows: tuple[Window, ...]
    threads: int
    data: str
    resumed: bool

    def raw(self) -> Raw:
        """The raw panel, memory-mapped: processes that open it share its pages."""
        panel = Panel.load(self.folder / "panel")
        return Raw(panel, pl.read_parquet(self.folder / "quarantine.parquet"))


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Keep other processes from working in the folder.

    Raises:
        ArtifactError: One does.
    """
    import fcntl  # noqa: PLC0415 (not on every system)

    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ArtifactError(
                f"folder {folder} is in use by another process, expected one that is free. "
                "Wait for it, stop it, or give another folder."
            ) from error
        yield


def open_plan(
    settings: Settings,
    folder: Path,
    *,
    threads: int,
    on_stage: Callable[[str], None] = lambda _: None,
) -> Plan:
    """Begin a walk-forward in a new folder, or take up the one that is there.

    Args:
        settings: What to do; `data.windows` says on which days.
        folder: Where; new, empty, or of a walk-forward with these settings and data.
        threads: Of each process, where the walk-forward is new.
        on_stage: Called with the name of each stage as it begins, for progress.

    Raises:
        ArtifactError: The folder holds something else, or is damaged.
        SettingsError: It holds a walk-forward with other settings or data, or the
            panel has too few days for a window.
        DataError: The prices cannot be used.
    """
    on_stage("looking at the data")
    facts = {"settings": comparable(settings), "source": source_hash(settings.data.source)}
    record = _record(folder)
    resumed = record is not None
    if record is None:
        now = datetime.now(UTC)
        record = {
            "format": FORMAT,
            "id": f"{now:%Y%m%d-%H%M%S}-{secrets.token_hex(3)}",
            "started": now.isoformat(timespec="seconds"),
            "threads": threads,
            "panel": None,
            **facts,
        }
        _write(folder, record)
    _check_same(folder, record, facts)
    if record["panel"] is None:
        record["panel"] = _build(settings, folder, on_stage)
        _write(folder, record)
    panel = Panel.load(folder / "panel")
    return Plan(
        folder=folder,
        settings=settings,
        windows=tuple(windows_of(panel, settings)),
        threads=int(record["threads"]),
        data=str(record["panel"]),
        resumed=resumed,
    )


def windows_of(panel: Panel, settings: Settings) -> Iterator[Window]:
    """The windows of a panel, each with the dates of its parts as settings.

    Raises:
        SettingsError: A window has too few days.
    """
    asked = settings.data.windows
    folds = walk_forward(panel, **{n: getattr(asked, n) for n in WindowSettings.model_fields})
    for number, fold in enumerate(folds, start=1):
        # Purging takes days off the ends only: the first day of each part is its bound.
        first = [str(panel.dates[part[0]]) for part in (fold.train, fold.valid, fold.test)]
        split = SplitSettings(
            train_from=first[0],
            valid_from=first[1],
            test_from=first[2],
            test_until=str(panel.dates[fold.test[-1]]),
            embargo=asked.embargo,
        )
        data = settings.data.model_copy(update={"split": split, "windows": WindowSettings()})
        yield Window(number, settings.model_copy(update={"data": data, "run": RunSettings()}))


def comparable(settings: Settings) -> dict[str, Any]:
    """The settings that a walk-forward must keep, by their place in the tree."""
    flat = dict(_flat(settings.model_dump(mode="json"), ""))
    return {name: value for name, value in flat.items() if not name.startswith(FREE)}


def _flat(tree: Mapping[str, Any], above: str) -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value


def source_hash(source: SourceSettings) -> str:
    """A short text that differs where a byte of the files of a source differs.

    Raises:
        DataError: A name matches no file.
    """
    digest = hashlib.sha256()
    single = [str(path) for path in (source.sectors, source.index) if path is not None]
    files = find_files([*source.prices, *single]) if source.prices else []
    for path in files:
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16]


def _record(folder: Path) -> dict[str, Any] | None:
    """What the folder says of a walk-forward begun there; None where nothing was."""
    path = folder / RECORD
    if path.exists():
        record = read_json(path)
        if record.get("format") != FORMAT:
            raise ArtifactError(
                f"{path} has format {record.get('format')!r}, expected {FORMAT}. "
                "Give another folder."
            )
        return record
    others = [p.name for p in folder.iterdir() if not p.name.startswith(".")]
    if others:
        raise ArtifactError(
            f"folder {folder} holds {min(others)} and no {RECORD}, expected an empty or a "
            "new folder, or one of a walk-forward. Give another folder."
        )
    return None


def _check_same(folder: Path, record: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
    before, now = record["settings"], json.loads(json.dumps(facts["settings"]))
    for name in sorted(before.keys() | now.keys()):
        if before.get(name) != now.get(name):
            raise SettingsError(
                f"{name} is {now.get(name)!r}, expected {before.get(name)!r} as in the "
                f"walk-forward in {folder}. Go on with its settings, or give another folder."
            )
    if record["source"] != facts["source"]:
        raise SettingsError(
            f"files of prices, sectors and index have fingerprint {facts['source']}, expected "
            f"{record['source']} as in the walk-forward in {folder}. Go on with the same files, "
            "or give another folder."
        )


def _build(settings: Settings, folder: Path, on_stage: Callable[[str], None]) -> str:
    """Build the raw panel and save it; its fingerprint."""
    scratch = folder / ".building"
    for left in (scratch, folder / "panel"):
        shutil.rmtree(left, ignore_errors=True)
    if settings.data.source.memory_map is not None:
        source = settings.data.source.model_copy(update={"memory_map": scratch})
        data = settings.data.model_copy(update={"source": source})
        settings = settings.model_copy(update={"data": data})
    raw = prepare(settings, on_stage=on_stage)
    on_stage("saving the panel")
    raw.panel.save(folder / "panel")
    with replacing(folder / "quarantine.parquet") as partial:
        raw.quarantine.write_parquet(partial)
    shutil.rmtree(scratch, ignore_errors=True)
    return fingerprint(raw.panel)


def _write(folder: Path, record: Mapping[str, Any]) -> None:
    write_text(folder / RECORD, json.dumps(record, indent=1) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """The object in a file of the folder.

    Raises:
        ArtifactError: There is none.
    """
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise ArtifactError(
            f"{path} cannot be read, expected a JSON object written by a walk-forward. "
            "Give another folder."
        ) from error
