"""A culprit stands for a line of the user's own code."""

import inspect
from pathlib import Path

import pytest
from torch import nn

from flatline.harness.verdicts import module_culprit


class Block(nn.Module):
    """A module of the user's own."""

    def __init__(self):
        super().__init__()
        self.norm = nn.LayerNorm(4)


class Whole(nn.Module):
    """Modules of the user's own and of torch's, nested."""

    def __init__(self):
        super().__init__()
        self.block = Block()
        self.stack = nn.Sequential(nn.Linear(4, 4), Block())


class Heir(Whole):
    """Makes nothing of its own."""


@pytest.mark.parametrize(
    ("path", "line"),
    [
        pytest.param("block", "class Block(nn.Module):", id="own"),
        pytest.param("stack.1", "class Block(nn.Module):", id="own-within-torchs"),
        pytest.param("block.norm", "        self.norm = nn.LayerNorm(4)", id="torchs"),
        pytest.param(
            "stack.0",
            "        self.stack = nn.Sequential(nn.Linear(4, 4), Block())",
            id="torchs-within-torchs",
        ),
        pytest.param("", "class Whole(nn.Module):", id="the-whole"),
    ],
)
def test_a_module_stands_for_a_line_of_the_users(path, line):
    """Its class, or where a library's module is made."""
    culprit = module_culprit(Whole(), path, evidence="", remedy="")
    assert Path(culprit.file).name == "test_verdicts.py"
    assert Path(culprit.file).read_text().splitlines()[culprit.line - 1] == line
    assert culprit.path == (path or "Whole")


def test_a_model_of_a_library_alone_has_the_librarys_line():
    """There is nothing of the user's to point at."""
    culprit = module_culprit(nn.Linear(1, 1), "", evidence="", remedy="")
    assert (culprit.path, culprit.file) == ("Linear", inspect.getsourcefile(nn.Linear))


def test_what_a_base_class_makes_stands_there():
    """The line that makes it is in the base."""
    own, base = (
        module_culprit(model, "stack.0", evidence="", remedy="") for model in (Heir(), Whole())
    )
    assert (own.file, own.line) == (base.file, base.line)
