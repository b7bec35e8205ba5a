"""What docs/pytest.md says of options, markers and jobs is so."""

import re
import tomllib
from pathlib import Path

import pytest

from flatline_pytest import MARKERS

pytest_plugins = ["pytester"]

PAGE = (Path(__file__).parents[2] / "docs" / "pytest.md").read_text(encoding="utf-8")


def test_its_options_exist(project):
    """Every option and ini name of the table."""
    text = project("--help").stdout.str()
    for name in re.findall(r"`(--flatline-[a-z-]+|--require-gpu|flatline_[a-z]+)[ `]", PAGE):
        if name != "flatline_check":
            assert name in text


@pytest.mark.parametrize("marker", sorted(MARKERS))
def test_its_markers_are_all(marker):
    """No layer is left out."""
    assert f"`{marker}`" in PAGE


def test_its_three_ways_make_tests(project):
    """A line, a decorator with another fixture, and the ini file."""
    ways = PAGE.partition("## Three ways")[2]
    code, toml = re.findall(r"```(?:python|toml)\n(.*?)```", ways, re.DOTALL)
    project.file(
        test_mine="import flatline as fl\nfrom mine import dead as another, well as subject\n"
        + code
    )
    ini = toml.replace("package.module:subject", "mine:well")
    (project.path / "pyproject.toml").write_text(
        ini.replace("package.module:make_subject", "mine:broken")
    )
    assert tomllib.loads(ini)
    done = project("--collect-only", "-q")
    made = {line.partition("[")[0] for line in done.outlines if "::" in line}
    assert made == {
        "pyproject.toml::test_gate",
        *(f"test_mine.py::test_{name}" for name in ("ours", "light", "rankers")),
    }
