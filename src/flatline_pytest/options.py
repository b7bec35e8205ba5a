"""The plugin's options, on the command line and in the ini file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pytest

__all__ = ["OPTIONS", "Options", "add_options", "options_of"]

CHOICES = {"device": ("cpu", "cuda"), "precision": ("fp32", "bf16-mixed")}
LEAST = {"seed": 0, "steps": 1}
# Name: what an option is where nothing is said, and what it means.
TWINS = {
    "seed": ("0", "seed of everything random"),
    "steps": ("200", "optimizer steps of the smoke training"),
    "device": ("cpu", "cpu or cuda"),
    "precision": ("fp32", "fp32 or bf16-mixed"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How subjects are judged in this session.

    Args:
        seed: Seed of everything random.
        steps: Optimizer steps of the smoke training.
        device: Where models run.
        precision: What they compute in.
        update: Whether baselines are written instead of compared with.
    """

    seed: int
    steps: int
    device: str
    precision: Literal["fp32", "bf16-mixed"]
    update: bool

    @property
    def header(self) -> str:
        """What a failure has to be repeated with, in one line."""
        return f"seed {self.seed}, steps {self.steps}, device {self.device}, {self.precision}"


OPTIONS = pytest.StashKey[Options]()


def add_options(parser: pytest.Parser) -> None:
    """Add the options in a group of their own; all but what writes files have a twin."""
    group = parser.getgroup("flatline", "flatline: a gate for return-prediction models")
    for name, (default, meaning) in TWINS.items():
        group.addoption(
            f"--flatline-{name}",
            metavar=name.upper(),
            help=f"{meaning} (ini: flatline_{name}; default: {default})",
        )
        parser.addini(f"flatline_{name}", f"{meaning} (default: {default})", default=default)
    group.addoption(
        "--flatline-baseline-update",
        action="store_true",
        help="write the baselines of the subjects judged instead of comparing with them",
    )
    group.addoption(
        "--require-gpu",
        action="store_true",
        help="fail, instead of skip, tests that need a CUDA device where there is none",
    )
    parser.addini(
        "flatline_subjects",
        "subjects to judge without a test file: package.module:subject, or a reference's name",
        type="linelist",
        default=[],
    )


def options_of(config: pytest.Config) -> Options:
    """The options in force: the command line's, else the ini file's.

    Raises:
        UsageError: One of them makes no sense.
    """
    said = {name: _said(config, name) for name in TWINS}
    return Options(
        seed=_number("seed", said["seed"]),
        steps=_number("steps", said["steps"]),
        device=_choice("device", said["device"]),
        precision="bf16-mixed" if _choice("precision", said["precision"]) != "fp32" else "fp32",
        update=bool(config.getoption("flatline_baseline_update")),
    )


def _said(config: pytest.Config, name: str) -> str:
    given = config.getoption(f"flatline_{name}")
    return str(config.getini(f"flatline_{name}") if given is None else given).strip()


def _number(name: str, said: str) -> int:
    if not said.isdecimal() or int(said) < LEAST[name]:
        raise pytest.UsageError(
            f"flatline_{name} is {said!r}, expected a whole number from {LEAST[name]} on."
        )
    return int(said)


def _choice(name: str, said: str) -> str:
    if said not in CHOICES[name]:
        raise pytest.UsageError(
            f"flatline_{name} is {said!r}, expected {' or '.join(CHOICES[name])}."
        )
    return said
