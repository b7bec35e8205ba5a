"""A project of a user's own, in a folder of its own, with a light catalogue of checks."""

from pathlib import Path

import pytest
import torch

from flatline.harness import Subject, check
from flatline.harness.suites import baseline, contract
from flatline.subjects import finding
from plugin.catalogue import CONFTEST, MINE, TESTS

# Without pytest's cache nothing is left, as in a read-only checkout.
PLUGIN = ("-p", "flatline_pytest", "-p", "no:cacheprovider", "-p", "no:randomly")


@pytest.fixture(scope="session", autouse=True)
def _loaded():
    """Everything the plugin imports lazily, once: a run within this process forgets the rest."""
    batch = torch.randn(8, 3), torch.randn(8, 1)
    subject = Subject(
        name="warm",
        model=lambda: torch.nn.Linear(3, 1),
        batches={"train": [batch], "valid": [batch]},
        loss=torch.nn.functional.mse_loss,
        scores=lambda outputs: outputs,
        days=lambda inputs: torch.arange(8) // 4,
    )
    check(subject, steps=1)


@pytest.fixture
def project(pytester, monkeypatch):
    """A folder with a model, tests of it and three light checks; runs pytest within it."""
    # The folder's conftest replaces the catalogue and more: this puts it back.
    for module, name in ((finding, "CHECKS"), (contract, "pinned"), (baseline, "updated")):
        monkeypatch.setattr(module, name, getattr(module, name))
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    monkeypatch.setenv("PYTEST_ADDOPTS", "")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2] / "src"))
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(mine=MINE, test_mine=TESTS)
    pytester.syspathinsert()

    def run(*arguments, separately=False):
        start = pytester.runpytest_subprocess if separately else pytester.runpytest_inprocess
        return start(*PLUGIN, *arguments)

    run.path = pytester.path
    run.trainings = lambda: read_lines(pytester.path / "trainings.txt")
    run.ini = pytester.makeini
    run.file = pytester.makepyfile
    return run


def read_lines(path: Path):
    """The lines of a file that may not be there."""
    return path.read_text().splitlines() if path.exists() else []
