"""The house keeps its plan: who may import whom, and how long a file may be."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SRC = Path(__file__).parents[1] / "src"
LONGEST = 300

LOW = {"errors", "section", "files", "days", "batch"}
STACK = LOW | {"data", "layers", "losses", "metrics", "models", "training"}
# Room: the rooms it may import beside itself (DESIGN, section 3).
ALLOWED = {
    "errors": set(),
    "files": set(),
    "terminal": set(),
    # Settings live beside what they set, in many rooms; this is what they share.
    "section": {"errors"},
    "days": {"errors"},
    "batch": {"errors", "days"},
    "data": LOW,
    "layers": LOW,
    "losses": LOW,
    "metrics": LOW,
    "harness": {"errors", "files", "days", "metrics"},
    "models": LOW | {"layers"},
    "training": LOW | {"losses", "metrics"},
    # Models are built by a registry that is handed in.
    "artifacts": LOW,
    # The shell names of the settings, a table without torch.
    "aliases": {"errors"},
    "settings_sources": {"errors", "section", "aliases"},
    "settings": {"errors", "section", "settings_sources", "data", "models", "losses", "training"},
    # A search space is written in the words of the settings.
    "evaluation": STACK | {"artifacts", "settings", "settings_sources"},
    # What may be wrong with a machine: it reads prices and settings, no model.
    "doctor": LOW | {"aliases", "data", "settings", "settings_sources"},
    "subjects": STACK | {"artifacts", "settings", "evaluation", "harness"},
}
# The package's front door and the plugin may reach everything, lazily.
ANYTHING = {"__init__", "cli", "flatline_pytest"}


def room_of(path: Path) -> str:
    """The room a source file lies in."""
    parts = path.relative_to(SRC).with_suffix("").parts
    return parts[1] if parts[0] == "flatline" else parts[0]


def imported_rooms(tree: ast.AST) -> Iterator[str]:
    """The rooms that a file imports, anywhere in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            module = node.module or ""
            if module == "flatline":
                yield from (alias.name for alias in node.names)
            elif module.startswith("flatline."):
                yield module.split(".")[1]
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.startswith("flatline."):
                    yield alias.name.split(".")[1]


SOURCES = sorted(SRC.rglob("*.py"))


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(SRC)))
def test_imports_point_down(path):
    """A file imports only the rooms its own room may know."""
    room = room_of(path)
    if room in ANYTHING:
        return
    extra = set(imported_rooms(ast.parse(path.read_text()))) - ALLOWED[room] - {room}
    assert not extra, f"{room} may not import {sorted(extra)}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(SRC)))
def test_a_file_is_one_sitting_long(path):
    """No source file grows over the cap."""
    assert len(path.read_text().splitlines()) <= LONGEST


def test_a_forbidden_import_is_seen():
    """The rule can fail: a loss that imports the data room is caught."""
    tree = ast.parse("def f():\n    from flatline.data import panel\n")
    assert set(imported_rooms(tree)) - ALLOWED["losses"] == {"data"}
