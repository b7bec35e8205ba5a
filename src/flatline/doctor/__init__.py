"""The doctor: whether this machine and this installation can train, and what stands in the way.

It measures first (`machine`, `probing`) and judges then: every check is a pure
function of what was measured. No library that may be broken is imported here;
what they say of themselves is asked for in a process of its own.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from flatline.doctor.devices import check_devices, check_flags, driver_version
from flatline.doctor.findings import Finding, Status, as_data, findings_table, in_trouble
from flatline.doctor.inputs import check_data, check_environment
from flatline.doctor.machine import measure_cores, measure_memory, measure_room
from flatline.doctor.places import check_memory, check_pickles, check_room, check_shared_memory
from flatline.doctor.probing import Probe, probe
from flatline.doctor.threads import (
    check_cores,
    check_fork,
    check_openmp,
    check_thread_count,
    check_thread_names,
    check_waiting,
)
from flatline.doctor.versions import check_versions, requirements_of

__all__ = ["Finding", "Status", "as_data", "examine", "findings_table", "in_trouble"]

SHARED = Path("/dev/shm")  # noqa: S108 - measured, not written to


def examine(
    *,
    data: Sequence[str] = (),
    run: Path = Path("runs"),
    processes: int = 1,
    environ: Mapping[str, str] = os.environ,
    probed: Probe | None = None,
    on_stage: Callable[[str], None] = lambda _: None,
) -> list[Finding]:
    """Everything the doctor looks at, in the order of the table.

    Args:
        data: Price files, folders or globs to read.
        run: Folder in which runs are to be left.
        processes: How many processes are meant to run at a time.
        environ: Environment variables.
        probed: What the libraries said; None asks them.
        on_stage: Called with the name of each stage as it begins, for progress.

    Example:
        >>> found = examine(probed=Probe(), environ={})
        >>> sorted({finding.part for finding in found})
        ['devices', 'disk', 'environment', 'memory', 'threads', 'versions']
    """
    if probed is None:
        on_stage("importing the libraries")
        probed = probe()
    on_stage("measuring the machine")
    needs_python, requirements = requirements_of("flatline")
    findings = check_versions(probed, requirements, needs_python=needs_python)
    findings += _devices(probed, environ)
    findings += _threads(probed, environ, processes)
    findings += _places(probed, run, processes)
    if data:
        on_stage("reading the data")
        findings += check_data(data)
    return findings + check_environment(environ)


def _devices(probed: Probe, environ: Mapping[str, str]) -> list[Finding]:
    if probed.torch_error:
        remedy = "See the first line of the error: driver, device or installation of torch."
        return [Finding("devices", "torch", Status.TROUBLE, probed.torch_error, remedy)]
    if not probed.torch:
        return [Finding("devices", "torch", Status.NOTE, "not measured without torch")]
    driver = driver_version()
    return [
        *check_devices(probed.torch, driver=driver, environ=environ),
        *check_flags(probed.torch, environ=environ),
    ]


def _threads(probed: Probe, environ: Mapping[str, str], processes: int) -> list[Finding]:
    cores = measure_cores()
    findings = [check_cores(cores)]
    if "intra_threads" in probed.torch:
        threads = int(probed.torch["intra_threads"])
        findings.append(check_thread_count(threads, cores=cores, processes=processes))
    findings += [check_thread_names(environ), check_waiting(environ)]
    if "openmp" in probed.process:
        findings.append(check_openmp(probed.process["openmp"]))
    if "start_method" in probed.process:
        findings.append(check_fork(probed.process, processes=processes))
    return findings


def _places(probed: Probe, run: Path, processes: int) -> list[Finding]:
    shared = measure_room(SHARED).free if SHARED.exists() else None
    devices = len(probed.torch.get("devices", ()))
    cache = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser()
    return [
        check_memory(measure_memory()),
        check_shared_memory(shared, processes=processes, devices=devices),
        check_room("runs", measure_room(run)),
        check_room("temp", measure_room(Path(tempfile.gettempdir()))),
        check_room("cache", measure_room(cache)),
        check_pickles(run),
    ]
