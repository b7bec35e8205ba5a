"""A folder of long work on one raw panel: what the work is, its data, and nobody else in it.

It holds a record of the settings, a fingerprint of the files that were read, and
`panel/`, the raw panel, built once and opened memory-mapped by every process.
Work that was killed is taken up again where all of that is still the same.
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
from flatline.data.settings import SourceSettings
from flatline.errors import ArtifactError, SettingsError
from flatline.evaluation.comparable import comparable, refuse_change
from flatline.evaluation.experiment import Raw, prepare
from flatline.evaluation.run import fingerprint
from flatline.files import replacing, write_text
from flatline.settings import Settings

__all__ = ["WorkFolder", "held", "open_folder", "read_json"]

FORMAT = 1


@dataclass(frozen=True, slots=True, eq=False)
class WorkFolder:
    """A folder that is ready to be worked in. Build it with `open_folder`.

    Args:
        path: Where it lies.
        threads: Of each process that works in it; part of the record, because sums of
            floats depend on it.
        data: Fingerprint of the raw panel.
    """

    path: Path
    threads: int
    data: str

    def raw(self) -> Raw:
        """The raw panel, memory-mapped: processes that open it share its pages."""
        panel = Panel.load(self.path / "panel")
        return Raw(panel, pl.read_parquet(self.path / "quarantine.parquet"))


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Keep other processes from working in the folder.

    Raises:
        ArtifactError: One does, or the folder is a file.
    """
    import fcntl  # noqa: PLC0415 (not on every system)

    if folder.exists() and not folder.is_dir():
        raise ArtifactError(f"folder {folder} is a file, expected a folder. Give another.")
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


def open_folder(
    settings: Settings,
    path: Path,
    *,
    work: str,
    threads: int,
    free: tuple[str, ...] = (),
    further: Mapping[str, Any] | None = None,
    on_stage: Callable[[str], None] = lambda _: None,
) -> WorkFolder:
    """Begin work in a new folder, or take up what is there.

    Args:
        settings: What to do.
        path: The folder; new, empty, or of the same work.
        work: What it is called, such as `sweep`; also the name of its record.
        threads: Of each process, where the work is new.
        free: Places in the tree, beside the usual ones, that may differ on resuming, as in
            `comparable`.
        further: What else must not differ, by name; JSON-able.
        on_stage: Called with the name of each stage as it begins, for progress.

    Raises:
        ArtifactError: The folder holds something else, or is damaged.
        SettingsError: It holds work with other settings or data.
        DataError: The prices cannot be used.
    """
    on_stage("looking at the data")
    facts = comparable(settings, free=free) | json.loads(json.dumps(further or {}))
    source = source_hash(settings.data.source)
    file = path / f"{work}.json"
    record = _record(path, file)
    if record is None:
        now = datetime.now(UTC)
        record = {
            "format": FORMAT,
            "id": f"{now:%Y%m%d-%H%M%S}-{secrets.token_hex(3)}",
            "started": now.isoformat(timespec="seconds"),
            "threads": threads,
            "panel": None,
            "source": source,
            "settings": facts,
        }
        _write(file, record)
    _check_same(path, work, record, facts, source)
    if record["panel"] is None:
        record["panel"] = _build(settings, path, on_stage)
        _write(file, record)
    return WorkFolder(path, int(record["threads"]), str(record["panel"]))


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


def _record(path: Path, file: Path) -> dict[str, Any] | None:
    """What the folder says of the work begun there; None where none was."""
    if file.exists():
        record = read_json(file)
        if record.get("format") != FORMAT:
            raise ArtifactError(
                f"{file} has format {record.get('format')!r}, expected {FORMAT}. "
                "Give another folder."
            )
        return record
    others = [p.name for p in path.iterdir() if not p.name.startswith(".")]
    if others:
        raise ArtifactError(
            f"folder {path} holds {min(others)} and no {file.name}, expected an empty or a new "
            f"folder, or one with a {file.stem}. Give another folder."
        )
    return None


def _check_same(
    path: Path, work: str, record: Mapping[str, Any], now: Mapping[str, Any], source: str
) -> None:
    refuse_change(record["settings"], now, where=f"the {work} in {path}")
    if record["source"] != source:
        raise SettingsError(
            f"files of prices, sectors and index have fingerprint {source}, expected "
            f"{record['source']} as in the {work} in {path}. Go on with the same files, "
            "or give another folder."
        )


def _build(settings: Settings, path: Path, on_stage: Callable[[str], None]) -> str:
    """Build the raw panel and save it; its fingerprint."""
    scratch = path / ".building"
    for left in (scratch, path / "panel"):
        shutil.rmtree(left, ignore_errors=True)
    if settings.data.source.memory_map is not None:
        source = settings.data.source.model_copy(update={"memory_map": scratch})
        data = settings.data.model_copy(update={"source": source})
        settings = settings.model_copy(update={"data": data})
    raw = prepare(settings, on_stage=on_stage)
    on_stage("saving the panel")
    raw.panel.save(path / "panel")
    with replacing(path / "quarantine.parquet") as partial:
        raw.quarantine.write_parquet(partial)
    shutil.rmtree(scratch, ignore_errors=True)
    return fingerprint(raw.panel)


def _write(file: Path, record: Mapping[str, Any]) -> None:
    write_text(file, json.dumps(record, indent=1) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """The object in a file of the folder.

    Raises:
        ArtifactError: There is none.
    """
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise ArtifactError(
            f"{path} cannot be read, expected a JSON object written by the same command. "
            "Give another folder."
        ) from error
