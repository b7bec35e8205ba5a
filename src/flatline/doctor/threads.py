"""Threads and processes: too many for the cores, or started in an order that can lock up."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

from flatline.doctor.findings import Finding, Status
from flatline.doctor.machine import Cores

__all__ = [
    "check_cores",
    "check_fork",
    "check_openmp",
    "check_thread_count",
    "check_thread_names",
    "check_waiting",
]

PART = "threads"
NAMES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS")
# Turns of a waiting loop beyond which a thread holds its core for good.
LONG_WAIT = 1_000_000


def check_cores(cores: Cores) -> Finding:
    """How many cores this process may use."""
    quota = "no quota" if cores.quota is None else f"a quota of {cores.quota:g}"
    measured = f"{cores.usable:g} usable: {cores.present} present, {cores.allowed} allowed, {quota}"
    return Finding(PART, "cores", Status.OK, measured)


def check_thread_count(threads: int, *, cores: Cores, processes: int = 1) -> Finding:
    """Torch's threads in all processes against the cores that may be used.

    Args:
        threads: Of torch, in one process, for the work inside an operation.
        cores: See `Cores`.
        processes: How many processes are meant to run at a time.

    Example:
        >>> check_thread_count(64, cores=Cores(64, 64, quota=2.0)).status
        <Status.TROUBLE: 'trouble'>
    """
    usable = max(1, math.ceil(cores.usable))
    measured = f"{processes} x {threads} torch threads on {cores.usable:g} cores"
    if threads * processes <= usable:
        return Finding(PART, "threads and cores", Status.OK, measured)
    # A second process that has to take turns is slow; threads that take turns wait for each other.
    each = max(1, usable // processes)
    remedy = f"Set OMP_NUM_THREADS={each}"
    if processes > usable:
        remedy += f" and run at most {usable} processes"
    return Finding(PART, "threads and cores", Status.TROUBLE, measured, f"{remedy}.")


def check_thread_names(environ: Mapping[str, str]) -> Finding:
    """The numbers of threads that the environment asks for."""
    given = {name: environ[name].strip() for name in NAMES if environ.get(name, "").strip()}
    shown = ", ".join(f"{name}={value}" for name, value in given.items())
    wrong = [
        name
        for name, value in given.items()
        # OpenMP takes one number for each level of nesting.
        if not re.fullmatch(r"[1-9]\d*(,[1-9]\d*)*", value)
    ]
    if wrong:
        remedy = f"Set {wrong[0]} to a number of threads, or unset it."
        return Finding(PART, "environment", Status.TROUBLE, shown, remedy)
    return Finding(PART, "environment", Status.OK, shown or "no number of threads is set")


def check_waiting(environ: Mapping[str, str]) -> Finding:
    """Whether threads that wait for each other hold on to their cores."""
    spin, policy = (
        environ.get(name, "").strip().lower() for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
    )
    names = (("GOMP_SPINCOUNT", spin), ("OMP_WAIT_POLICY", policy))
    shown = ", ".join(f"{name}={value}" for name, value in names if value)
    number = re.fullmatch(r"(\d+)([kmg]?)", spin)
    turns = int(number[1]) * {"": 1, "k": 1e3, "m": 1e6, "g": 1e9}[number[2]] if number else 0.0
    holds = (
        spin in {"infinity", "infinite"} or turns > LONG_WAIT or (policy == "active" and not spin)
    )
    if holds:
        remedy = "Where cores are shared, set GOMP_SPINCOUNT=10000 and OMP_WAIT_POLICY=passive."
        return Finding(
            PART, "waiting", Status.NOTE, f"{shown}: waiting threads hold their cores", remedy
        )
    return Finding(PART, "waiting", Status.OK, shown or "as the OpenMP runtime has it")


def check_openmp(runtimes: Sequence[str]) -> Finding:
    """Whether several OpenMP runtimes are in one process.

    Args:
        runtimes: Paths of those that were loaded.

    Example:
        >>> check_openmp(["/a/libiomp5.so", "/b/libomp.so"]).status
        <Status.TROUBLE: 'trouble'>
    """
    names = [PurePath(path).name for path in runtimes]
    kinds = {match[0] for name in names if (match := re.match(r"lib[a-z]+5?", name))}
    measured = ", ".join(names) or "none loaded"
    if {"libiomp5", "libomp"} <= kinds:
        remedy = "Take both libraries from one source (pip or conda): together they can lock up."
        return Finding(PART, "OpenMP runtimes", Status.TROUBLE, measured, remedy)
    if len(names) > 1:
        remedy = "Each has threads of its own: set OMP_NUM_THREADS where a training is slow."
        return Finding(PART, "OpenMP runtimes", Status.NOTE, measured, remedy)
    return Finding(PART, "OpenMP runtimes", Status.OK, measured)


def check_fork(process: Mapping[str, Any], *, processes: int = 1) -> Finding:
    """Whether worker processes would be copies of one that has threads.

    A copy has none of the threads but all of their locks: it stands still at
    the first lock that was held.

    Args:
        process: `start_method` of multiprocessing, and `threads` that run after the imports.
        processes: How many processes are meant to run at a time.
    """
    method, threads = process.get("start_method"), int(process.get("threads", 1))
    measured = f"processes are started by {method}, {threads} threads run before"
    if method != "fork" or threads <= 1:
        return Finding(PART, "fork after threads", Status.OK, measured)
    remedy = (
        "Give workers multiprocessing_context='spawn', or call "
        "multiprocessing.set_start_method('spawn') first."
    )
    status = Status.TROUBLE if processes > 1 else Status.NOTE
    return Finding(PART, "fork after threads", status, measured, remedy)
