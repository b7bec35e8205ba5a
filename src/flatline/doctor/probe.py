"""Run as a script: what the libraries of this installation say about themselves.

A broken library can end the process that imports it, so the doctor lets this
script do it. Each fact is a line of JSON that is out before the next library is
tried; what a library prints by itself is no JSON object and is passed over.
This file imports nothing of flatline.

Usage: python probe.py LIBRARY...
"""

from __future__ import annotations

import importlib
import json
import multiprocessing
import re
import sys
import time
from pathlib import Path
from typing import Any

OPENMP = re.compile(r"/(lib(?:gomp|iomp5|omp)\b[^/]*)$")


def tell(fact: str, **values: object) -> None:
    """Write one fact."""
    sys.stdout.write("\n" + json.dumps({"fact": fact, **values}) + "\n")
    sys.stdout.flush()


def library_facts(name: str) -> dict[str, Any]:
    """Whether a library can be imported, and why not."""
    started = time.perf_counter()
    try:
        module = importlib.import_module(name)
    except BaseException as error:  # noqa: BLE001 - also a SystemExit of a broken library is a fact
        reason = " ".join(str(error).split())[:300]
        return {"error": f"{type(error).__name__}: {reason}"}
    seconds = round(time.perf_counter() - started, 2)
    return {"version": str(getattr(module, "__version__", "")), "seconds": seconds}


def torch_facts(torch: Any) -> dict[str, Any]:  # noqa: ANN401 - it may be broken
    """Threads, devices and flags as torch has them at the start."""
    cuda = torch.cuda.is_available()
    devices = [_device(torch, index) for index in range(torch.cuda.device_count() if cuda else 0)]
    return {
        "built_for_cuda": torch.version.cuda,
        "devices": devices,
        "mps": bool(torch.backends.mps.is_available()),
        "intra_threads": torch.get_num_threads(),
        "inter_threads": torch.get_num_interop_threads(),
        "mkl": bool(torch.backends.mkl.is_available()),
        "flags": {
            "float32_matmul_precision": torch.get_float32_matmul_precision(),
            "cuda.matmul.allow_tf32": bool(torch.backends.cuda.matmul.allow_tf32),
            "cudnn.allow_tf32": bool(torch.backends.cudnn.allow_tf32),
            "cudnn.benchmark": bool(torch.backends.cudnn.benchmark),
            "deterministic_algorithms": bool(torch.are_deterministic_algorithms_enabled()),
        },
    }


def _device(torch: Any, index: int) -> dict[str, Any]:  # noqa: ANN401
    properties = torch.cuda.get_device_properties(index)
    free, total = torch.cuda.mem_get_info(index)
    with torch.cuda.device(index):
        bf16 = bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capability = f"{properties.major}.{properties.minor}"
    return {
        "name": properties.name, "total": total, "free": free, "capability": capability,
        "bf16": bf16,
    }  # fmt: skip


def process_facts() -> dict[str, Any]:
    """Threads that run after the imports, the OpenMP runtimes, how processes are started."""
    facts: dict[str, Any] = {"start_method": multiprocessing.get_start_method()}
    status, maps = Path("/proc/self/status"), Path("/proc/self/maps")
    if status.exists():
        facts["threads"] = int(
            re.findall(r"^Threads:\s*(\d+)", status.read_text(), re.MULTILINE)[0]
        )
    if maps.exists():
        paths = {line.split(maxsplit=5)[-1] for line in maps.read_text().splitlines()}
        facts["openmp"] = sorted(path for path in paths if OPENMP.search(path))
    return facts


def work(torch: Any) -> None:  # noqa: ANN401
    """Enough for the thread pools to start that a training starts."""
    torch.ones(512, 512).mm(torch.ones(512, 512)).exp().sum().item()
    polars = sys.modules.get("polars")
    if polars is not None:
        polars.DataFrame({"day": [1, 1, 2], "x": [1.0, 2.0, 3.0]}).group_by("day").sum()


def main(names: list[str]) -> None:
    """Tell all facts."""
    for name in names:
        tell("importing", name=name)
        tell("library", name=name, **library_facts(name))
    torch = sys.modules.get("torch")
    if torch is not None:
        try:
            facts = torch_facts(torch)
            work(torch)
        except Exception as error:  # noqa: BLE001 - a driver that fails raises what it likes
            tell("torch", error=f"{type(error).__name__}: {' '.join(str(error).split())[:300]}")
        else:
            tell("torch", **facts)
    tell("process", **process_facts())


if __name__ == "__main__":
    main(sys.argv[1:])
