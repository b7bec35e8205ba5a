"""Ask the libraries about themselves in a process of its own, and understand the answer."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["LIBRARIES", "Probe", "probe", "understand"]

# By the name they are imported by: the name they are installed by.
LIBRARIES: Mapping[str, str] = {
    "numpy": "numpy",
    "polars": "polars",
    "scipy": "scipy",
    "safetensors": "safetensors",
    "torch": "torch",
    "lightning": "lightning",
    "torch_geometric": "torch-geometric",
}
SCRIPT = Path(__file__).with_name("probe.py")


@dataclass(frozen=True, slots=True)
class Probe:
    """What the libraries said.

    Args:
        versions: Version of each library that could be imported, by its import name.
        errors: Why the others could not.
        torch: Devices, threads and flags; empty where torch did not tell.
        torch_error: Why it did not, though it could be imported.
        process: Threads, OpenMP runtimes and start method after the imports.
    """

    versions: Mapping[str, str] = field(default_factory=dict)
    errors: Mapping[str, str] = field(default_factory=dict)
    torch: Mapping[str, Any] = field(default_factory=dict)
    torch_error: str = ""
    process: Mapping[str, Any] = field(default_factory=dict)


def probe(names: Iterable[str] = tuple(LIBRARIES), *, seconds: float = 300) -> Probe:
    """Import libraries in a process of its own and see what they say.

    Args:
        names: What to import.
        seconds: How long that may take.
    """
    # -P: the folder of the script is no place to import from.
    command = [sys.executable, "-P", str(SCRIPT), *names]
    try:
        done = subprocess.run(  # noqa: S603 - our own interpreter and script
            command, capture_output=True, text=True, timeout=seconds, check=False, errors="replace"
        )
    except subprocess.TimeoutExpired as error:
        said = error.stdout or b""
        text = said.decode(errors="replace") if isinstance(said, bytes) else said
        return understand(text, ended=f"was not done after {seconds:.0f} s")
    return understand(done.stdout, ended=_ended(done.returncode, done.stderr))


def understand(said: str, *, ended: str = "") -> Probe:
    """A `Probe` from what the script wrote.

    Args:
        said: Its standard output; lines that are no facts are passed over.
        ended: How it ended, where it did not end well.

    Example:
        >>> understand('{"fact": "importing", "name": "torch"}', ended="was killed").errors
        {'torch': 'the import was killed'}
    """
    versions, errors, importing = {}, {}, ""
    torch: dict[str, Any] = {}
    process: dict[str, Any] = {}
    for fact in _facts(said):
        kind, name = fact.pop("fact"), str(fact.get("name", ""))
        if kind == "importing":
            importing = name
        elif kind == "library":
            importing = ""
            if "error" in fact:
                errors[name] = str(fact["error"])
            else:
                versions[name] = str(fact.get("version", ""))
        elif kind == "torch":
            torch = fact
        elif kind == "process":
            process = fact
    if importing:
        errors[importing] = f"the import {ended or 'did not end'}"
    trouble = str(torch.pop("error", ""))
    if "torch" in versions and not torch and not trouble:
        trouble = f"its first work {ended or 'gave no answer'}"
    return Probe(versions, errors, torch, trouble, process)


def _facts(said: str) -> list[dict[str, Any]]:
    facts = []
    for line in said.splitlines():
        try:
            fact = json.loads(line)
        except ValueError:
            continue
        if isinstance(fact, dict) and "fact" in fact:
            facts.append(fact)
    return facts


def _ended(code: int, error: str) -> str:
    """How a process ended badly, in words; empty where it ended well."""
    if code == 0:
        return ""
    if code < 0:
        known = {one.value for one in signal.Signals}
        name = signal.Signals(-code).name if -code in known else f"signal {-code}"
        return f"ended the process by {name}"
    last = ([line for line in error.splitlines() if line.strip()] or ["no message"])[-1]
    return f"ended the process with exit code {code} ({last.strip()[:200]})"
