"""What this machine gives a process: cores, memory, room on disks. Measured, not judged."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

__all__ = ["Cores", "Memory", "Room", "measure_cores", "measure_memory", "measure_room"]

CGROUPS = Path("/sys/fs/cgroup")
OWN_GROUPS = Path("/proc/self/cgroup")
MEMORY = Path("/proc/meminfo")


class Cores(NamedTuple):
    """Cores this process may use.

    Args:
        present: Of the machine.
        allowed: That it may run on, by affinity.
        quota: Cores' worth of time that its control group gives; None for no limit.
    """

    present: int
    allowed: int
    quota: float | None = None

    @property
    def usable(self) -> float:
        """What is left of them."""
        return self.allowed if self.quota is None else min(self.allowed, self.quota)


class Memory(NamedTuple):
    """Memory in bytes; None where it could not be measured.

    Args:
        total: Of the machine.
        available: Now, on the machine.
        limit: Of the control group; None for no limit.
        used: By the control group.
    """

    total: int | None = None
    available: int | None = None
    limit: int | None = None
    used: int | None = None

    @property
    def free(self) -> int | None:
        """What can still be taken."""
        left = [] if self.available is None else [self.available]
        if self.limit is not None:
            left.append(self.limit - (self.used or 0))
        return min(left) if left else None


class Room(NamedTuple):
    """Room in a folder.

    Args:
        folder: As it was asked for.
        place: The folder itself, or the nearest one above it that exists.
        free: Bytes; None where *place* could not be measured.
        error: Why nothing can be written there; empty where it can.
    """

    folder: Path
    place: Path
    free: int | None
    error: str = ""


def measure_cores(groups: Path = CGROUPS, own: Path = OWN_GROUPS) -> Cores:
    """Cores by affinity and by the quota of the control group, of version 1 or 2."""
    present = os.cpu_count() or 1
    affinity = getattr(os, "sched_getaffinity", None)  # Linux only.
    allowed = len(affinity(0)) if affinity is not None else present
    quotas = []
    for folder in _group_folders(groups, own, "cpu"):
        given = _text(folder / "cpu.max").split()
        if len(given) == 2 and given[0].isdigit():
            quotas.append(int(given[0]) / int(given[1]))
        quota, period = (_text(folder / f"cpu.cfs_{name}_us") for name in ("quota", "period"))
        if quota.isdigit() and period.isdigit():
            quotas.append(int(quota) / int(period))
    return Cores(present, allowed, min(quotas) if quotas else None)


def measure_memory(
    groups: Path = CGROUPS, own: Path = OWN_GROUPS, machine: Path = MEMORY
) -> Memory:
    """Memory of the machine, and what the control group leaves of it."""
    known = dict(line.split(":", 1) for line in _text(machine).splitlines() if ":" in line)

    def kilobytes(name: str) -> int | None:
        return int(known[name].split()[0]) * 1024 if name in known else None

    total = kilobytes("MemTotal")
    limits = []
    for folder in _group_folders(groups, own, "memory"):
        for limit, used in (
            ("memory.max", "memory.current"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes"),
        ):
            bound, taken = _text(folder / limit), _text(folder / used)
            # Version 1 writes "no limit" as a number beyond any memory.
            if bound.isdigit() and (total is None or int(bound) < total):
                limits.append((int(bound), int(taken) if taken.isdigit() else 0))
    available = kilobytes("MemAvailable")
    if not limits:
        return Memory(total, available)
    tightest = min(limits, key=lambda pair: pair[0] - pair[1])
    return Memory(total, available, *tightest)


def measure_room(folder: Path) -> Room:
    """Room in a folder, and whether a file can be written there; nothing is left behind."""
    place = folder.absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    try:
        free = shutil.disk_usage(place).free
        with tempfile.TemporaryFile(dir=place) as file:
            file.write(b"0")
    except OSError as error:
        return Room(folder, place, None, error.strerror or str(error))
    return Room(folder, place, free)


def _group_folders(groups: Path, own: Path, controller: str) -> Iterator[Path]:
    """The folders whose limits hold for this process: its own group's and those above it."""
    for line in _text(own).splitlines():
        number, names, path = line.split(":", 2)
        if number != "0" and controller not in names.split(","):
            continue
        bases = [groups] if number == "0" else [groups / names, groups / controller]
        for base in bases:
            inner = base / path.lstrip("/")
            # A container often sees its own group as the root, under a path of the host.
            yield from (folder for folder in (inner, *inner.parents) if folder.is_relative_to(base))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return ""
