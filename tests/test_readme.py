"""What the README and the page on the stack show is what happens."""

import ast
import doctest
import re
import shlex
import sys
from pathlib import Path
from types import ModuleType

import pytest
import typer

from flatline import cli
from flatline.harness import CHECKS, Layer, Subject

ROOT = Path(__file__).parents[1]
PAGES = {page: (ROOT / page).read_text(encoding="utf-8") for page in ("README.md", "docs/stack.md")}
COMMANDS = [
    line[2:]
    for text in PAGES.values()
    for block in re.findall(r"```console\n(.*?)```", text, re.DOTALL)
    for line in block.splitlines()
    if line.startswith("$ ")
] + re.findall(r"^\| `(flatline [^`]*)`", PAGES["README.md"], re.MULTILINE)


@pytest.mark.parametrize("page", PAGES)
def test_the_python_examples_print_what_they_say(page, monkeypatch):
    """Every Python example runs, in order, and prints what is shown."""
    # A module that can be imported, as a user's own can, so that its classes can be pickled.
    module = ModuleType("example")
    monkeypatch.setitem(sys.modules, "example", module)
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    test = doctest.DocTestParser().get_doctest(PAGES[page], {}, page, page, 0)
    test.globs = vars(module)
    runner = doctest.DocTestRunner(optionflags=flags)
    runner.run(test, clear_globs=False)
    assert runner.tries > 10
    assert runner.failures == 0


@pytest.mark.parametrize("command", sorted({c for c in COMMANDS if c.startswith("flatline")}))
def test_the_commands_parse(command):
    """Every `flatline` command has known options and only those."""
    app = typer.main.get_command(cli.app)
    _, name, *arguments = shlex.split(command)
    app.commands[name].make_context(name, arguments)


@pytest.mark.parametrize("session", sorted(set(re.findall(r"nox -s (\w+)", PAGES["README.md"]))))
def test_the_sessions_exist(session):
    """Every nox session that the README names is defined."""
    tree = ast.parse((ROOT / "noxfile.py").read_text(encoding="utf-8"))
    assert session in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_every_layer_and_part_is_named():
    """The tables of the README leave none out, and name none that is not there."""
    layers = re.findall(r"^\| `(\w+)` \| .* \| .* \|$", PAGES["README.md"], re.MULTILINE)
    assert layers == [str(layer) for layer in dict.fromkeys(c.layer for c in CHECKS)]
    assert set(layers) == {str(layer) for layer in Layer}
    table = PAGES["README.md"].partition("| part of `fl.Subject` |")[2].partition("\n\n")[0]
    named = {
        name for row in table.splitlines()[2:] for name in re.findall(r"`(\w+)`", row.split("|")[1])
    }
    assert named <= set(Subject.__dataclass_fields__)
    assert {part for check in CHECKS for part in check.needs} <= named


def test_the_linked_pages_exist():
    """Every page that a page links to is there."""
    for page, text in PAGES.items():
        for target in re.findall(r"\]\(([^)#:]+)\)", text):
            assert (ROOT / page).parent.joinpath(target).exists(), target
