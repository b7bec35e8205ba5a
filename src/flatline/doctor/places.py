"""Memory, disks and what lies on them."""

from __future__ import annotations

import io
import os
import pickletools
import zipfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from flatline.doctor.findings import Finding, Status, size
from flatline.doctor.machine import Memory, Room

__all__ = ["check_memory", "check_pickles", "check_room", "check_shared_memory", "pickled_names"]

# Importing torch and Lightning takes about half of this; a small panel the rest.
LEAST_MEMORY = 2**30
# A run's checkpoints and predictions on a panel of a few thousand stocks.
LEAST_DISK = 2**30
# What Docker gives by default: a few batches, and too little for NCCL.
SMALL_SHARED = 65 * 2**20
PICKLES = frozenset({".pt", ".pth", ".ckpt", ".bin", ".pkl", ".pickle"})
MOST_FILES = 500
MOST_BYTES = 64 * 2**20
# Of a pickle, since protocol 2.
START = b"\x80"
# What a file of tensors and plain values needs.
PLAIN = frozenset(
    {
        "collections.OrderedDict", "torch.Size", "torch._utils._rebuild_parameter",
        "torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2", "torch.device",
    }
)  # fmt: skip


def check_memory(memory: Memory) -> Finding:
    """Whether there is memory left for a training."""
    if memory.free is None:
        return Finding("memory", "free", Status.OK, "not measured on this system")
    measured = f"{size(memory.free)} can be taken"
    if memory.total is not None:
        measured += f", {size(memory.total)} on the machine"
    if memory.limit is not None:
        measured += f", limit {size(memory.limit)} of which {size(memory.used or 0)} are used"
    if memory.free < LEAST_MEMORY:
        remedy = "End other processes, raise the limit, or set data.source.memory_map."
        return Finding("memory", "free", Status.TROUBLE, measured, remedy)
    return Finding("memory", "free", Status.OK, measured)


def check_shared_memory(free: int | None, *, processes: int = 1, devices: int = 0) -> Finding:
    """Whether processes can hand each other batches.

    Args:
        free: Bytes under /dev/shm; None without it.
        processes: How many processes are meant to run at a time.
        devices: How many accelerators there are; several talk through shared memory too.
    """
    if free is None:
        return Finding("memory", "shared", Status.OK, "no /dev/shm on this system")
    if free > SMALL_SHARED:
        return Finding("memory", "shared", Status.OK, f"{size(free)} free under /dev/shm")
    status = Status.TROUBLE if processes > 1 or devices > 1 else Status.NOTE
    measured = f"{size(free)} free under /dev/shm: too little for several processes"
    return Finding("memory", "shared", status, measured, "Start the container with --shm-size=2g.")


def check_room(name: str, room: Room) -> Finding:
    """Whether there is room in a folder, and leave to write there."""
    where = str(room.folder)
    if not room.folder.exists():
        where += f" (not there yet; {room.place} is)"
    if room.error:
        measured = f"{where} cannot be written ({room.error})"
        remedy = "Give leave to write there, or choose another folder."
        return Finding("disk", name, Status.TROUBLE, measured, remedy)
    free = room.free or 0
    measured = f"{size(free)} free in {where}"
    if free < LEAST_DISK:
        return Finding("disk", name, Status.TROUBLE, measured, "Make room, or choose another disk.")
    return Finding("disk", name, Status.OK, measured)


def check_pickles(folder: Path) -> Finding:
    """Whether files under a folder would run code when a program unpickles them.

    Nothing is unpickled: the names that a file would call are read out of it.
    """
    calls: dict[Path, set[str]] = {}
    seen = list(islice(_candidates(folder), MOST_FILES + 1))
    for path in seen[:MOST_FILES]:
        names = pickled_names(path)
        if names is not None and names - PLAIN:
            calls[path] = names - PLAIN
    more = f" (the first {MOST_FILES} files)" if len(seen) > MOST_FILES else ""
    if not calls:
        measured = f"{min(len(seen), MOST_FILES)} under {folder} hold plain values only{more}"
        return Finding("disk", "checkpoints", Status.OK, measured)
    path, names = next(iter(calls.items()))
    measured = f"{len(calls)} under {folder} are pickles that call more, such as {path.name}: "
    measured += ", ".join(sorted(names)[:3]) + more
    remedy = "Load them only with flatline.artifacts.load_legacy, which runs none of it."
    return Finding("disk", "checkpoints", Status.NOTE, measured, remedy)


def pickled_names(path: Path) -> set[str] | None:
    """What unpickling a file would import, such as `os.system`; None where it is no pickle."""
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                inner = [name for name in archive.namelist() if name.endswith("data.pkl")]
                return set().union(*(_names(archive.read(name)) for name in inner)) or None
        with path.open("rb") as file:
            data = file.read(MOST_BYTES)
    except (OSError, ValueError, zipfile.BadZipFile, EOFError):
        return None
    return _names(data) if data[:1] == START else None


def _names(data: bytes) -> set[str]:
    """What the pickles at the start of some bytes would import; a damaged one ends them."""
    file, names = io.BytesIO(data), set[str]()
    # Old files of torch hold several, one after the other, and then the numbers.
    while data[file.tell() : file.tell() + 1] == START:
        try:
            for name in _names_of_one(file):
                names.add(name)
        except ValueError:
            break
    return {name for name in names if not name.endswith("Storage")}


def _names_of_one(file: io.BytesIO) -> Iterator[str]:
    texts: list[str] = [""]
    # Texts are written once and then fetched by their number.
    memo: dict[int, str] = {}
    for operation, argument, _ in pickletools.genops(file):
        if operation.name in {"GLOBAL", "INST"}:
            yield str(argument).replace(" ", ".")
        elif operation.name == "STACK_GLOBAL":
            # The module and the name are the two texts before it.
            yield ".".join(texts[-2:])
        elif operation.name == "MEMOIZE":
            memo[len(memo)] = texts[-1]
        elif "PUT" in operation.name:
            memo[int(argument or 0)] = texts[-1]
        elif "GET" in operation.name:
            texts.append(memo.get(int(argument or 0), ""))
        elif isinstance(argument, str):
            texts.append(argument)


def _candidates(folder: Path) -> Iterator[Path]:
    for root, _, files in os.walk(folder):
        for name in sorted(files):
            path = Path(root, name)
            if path.suffix.lower() in PICKLES and path.is_file():
                yield path
