"""What the README shows is what happens."""

import ast
import doctest
import re
import shlex
from pathlib import Path

import pytest
import typer

from flatline import cli
from flatline.harness.report import verdict_table
from flatline.harness.suite import check
from flatline.subjects import reference

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```console\n(.*?)```", README, re.DOTALL)
COMMANDS = [line[2:] for block in BLOCKS for line in block.splitlines() if line.startswith("$ ")]


def test_the_python_examples_print_what_they_say():
    """Every Python example of the README runs, in order, and prints what is shown."""
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    test = doctest.DocTestParser().get_doctest(README, {}, "README.md", "README.md", 0)
    runner = doctest.DocTestRunner(optionflags=flags)
    runner.run(test)
    assert runner.tries > 15
    assert runner.failures == 0


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith("flatline")])
def test_the_commands_of_the_readme_parse(command):
    """Every `flatline` command of the README has known options and only those."""
    app = typer.main.get_command(cli.app)
    _, name, *arguments = shlex.split(command)
    app.commands[name].make_context(name, arguments)


@pytest.mark.parametrize("session", sorted(set(re.findall(r"nox -s (\w+)", README))))
def test_the_sessions_of_the_readme_exist(session):
    """Every nox session that the README names is defined."""
    tree = ast.parse((ROOT / "noxfile.py").read_text(encoding="utf-8"))
    assert session in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_the_first_screen_shows_the_table_that_the_gate_prints():
    """Headings and checks of the table are those of a real run; only the figures may differ."""
    verdicts = check(reference("atft_gat_fan"), steps=2)
    shown = next(block for block in BLOCKS if "nox -s gate" in block)
    table = verdict_table("atft_gat_fan", 0, verdicts)
    for heading in (column.header for column in table.columns):
        assert heading in shown
    stages = "|".join(verdict.stage for verdict in verdicts)
    named = re.findall(rf"^│ (\S.*?) +│ (?:{stages}) ", shown, re.MULTILINE)
    assert sorted(named) == sorted(verdict.check for verdict in verdicts)
