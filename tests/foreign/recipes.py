"""The cookbook's recipes, read off the page, so that what is shown is what runs."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

from flatline.harness import Subject

__all__ = ["RECIPES", "Recipe", "subject_of"]

PAGE = Path(__file__).parents[2] / "docs" / "cookbook.md"
DATA = "The data"


@dataclass(frozen=True)
class Recipe:
    """One heading of the cookbook.

    Args:
        name: The subject's name.
        blocks: Its Python, block by block; the last one is the adapter.
    """

    name: str
    blocks: tuple[str, ...]

    @property
    def adapter(self) -> list[str]:
        """The lines of the adapter, but for empty ones."""
        return [line for line in self.blocks[-1].splitlines() if line]

    @property
    def missing(self) -> list[str]:
        """Libraries that it imports and that are not installed."""
        named = re.findall(r"^(?:from|import) (\w+)", "\n".join(self.blocks), re.MULTILINE)
        return sorted({name for name in named if find_spec(name) is None})


@cache
def subject_of(recipe: Recipe) -> Subject:
    """The subject that a recipe makes, as a module of its own would.

    Its classes can be found by their names, and its errors have the lines of the page.
    """
    module = ModuleType(f"cookbook_{recipe.name.replace('-', '_')}")
    sys.modules[module.__name__] = module
    for block in (*_blocks()[DATA], *recipe.blocks):
        exec(compile(block, str(PAGE), "exec"), vars(module))  # noqa: S102 (our own page)
    subject: Subject = module.subject  # type: ignore[attr-defined]
    return subject


def _blocks() -> dict[str, list[str]]:
    """The Python of the page under its headings, each block at the lines it has there."""
    found: dict[str, list[str]] = {}
    heading, start = "", None
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines):
        if line.startswith("## "):
            heading = line[3:]
        elif line == "```python":
            start = number + 1
        elif line == "```" and start is not None:
            found.setdefault(heading, []).append("\n" * start + "\n".join(lines[start:number]))
            start = None
    return found


def _recipe(blocks: list[str]) -> Recipe:
    named = re.search(r'name="([^"]+)"', blocks[-1])
    assert named is not None, f"no Subject with a name in {blocks[-1]}"
    return Recipe(named[1], tuple(blocks))


RECIPES = tuple(_recipe(blocks) for heading, blocks in _blocks().items() if heading != DATA)
