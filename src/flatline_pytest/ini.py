"""Subjects named in the ini file are judged without a test file."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

from flatline_pytest.generation import parametrize_with_checks, standing_at

__all__ = ["SubjectsFile", "add_ini_file"]


def add_ini_file(config: pytest.Config) -> None:
    """Where only `testpaths` are searched, search the ini file too.

    Raises:
        UsageError: There are subjects and no ini file that a test's id could begin with.
    """
    if not config.getini("flatline_subjects"):
        return
    if config.inipath is None:
        raise pytest.UsageError(
            "flatline_subjects are given without an ini file, expected them in one. "
            "Write them into pyproject.toml, pytest.ini or tox.ini."
        )
    if config.args_source == config.ArgsSource.TESTPATHS:
        config.args.append(str(config.inipath))


class SubjectsFile(pytest.Module):
    """The ini file as if it were a test file with one test per subject and check."""

    def _getobj(self) -> ModuleType:
        """A module made of the subjects, where others import one."""
        from flatline.errors import FlatlineError  # noqa: PLC0415

        module = ModuleType("flatline_subjects")
        subjects = [name.strip() for name in self.config.getini("flatline_subjects")]
        test = standing_at(str(self.path), _line(self.path))
        try:
            module.test_gate = parametrize_with_checks(subjects)(test)  # type: ignore[attr-defined]
        except FlatlineError as error:
            raise self.CollectError(f"flatline_subjects: {error}") from error
        return module


def _line(path: Path) -> int:
    """The line on which the subjects are named."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return next((n for n, text in enumerate(lines, 1) if "flatline_subjects" in text), 1)
