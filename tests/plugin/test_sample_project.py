"""A project of somebody else: the wheel installed, five lines of their own, and pytest."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MISSING = [name for name in ("hatchling", "pip") if find_spec(name) is None]
pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"{MISSING} not installed: no wheel")

# What a team has before it hears of flatline.
MODEL = '''
import torch
from torch import nn


class Ranker(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Linear(8, 64)
        self.head = nn.Linear(64, 1)
        self.gate = nn.Parameter(torch.ones(1))

    def forward(self, batch):
        hidden = torch.relu(self.encoder(batch["features"]))
        return self.gate * self.head(hidden)


class DeadRanker(Ranker):
    """The output layer starts at 0 behind a gate at 0: nothing ever learns."""

    def __init__(self):
        super().__init__()
        for parameter in (*self.head.parameters(), self.gate):
            nn.init.zeros_(parameter)


def batches(split):
    draw = torch.Generator().manual_seed(0 if split == "train" else 1)
    for day in range(12) if split == "train" else range(20, 32):
        features = torch.randn(40, 8, generator=draw)
        noise = torch.randn(40, 1, generator=draw)
        batch = {"features": features, "group_day": torch.full((40,), day)}
        yield batch, features.mean(1, keepdim=True) * 3 + noise
'''
# The first example of the page, as it stands there.
PAGE = (ROOT / "docs" / "pytest.md").read_text(encoding="utf-8")
FIVE_LINES = PAGE.partition("```python\n")[2].partition("```")[0]


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder that holds the wheel's contents, as pip puts them there."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [*("-m", "hatchling", "build"), *("--target", "wheel"), *("--directory", str(folder))]
    python(*build, folder=ROOT)
    (wheel,) = folder.glob("*.whl")
    target = folder / "site"
    flags = ("--quiet", "--no-deps", "--no-index", "--target", str(target))
    python("-m", "pip", "install", *flags, str(wheel), folder=folder)
    return target


@pytest.fixture
def sample(installed, tmp_path):
    """Runs pytest on the sample project with one of its models."""
    (tmp_path / "model.py").write_text(MODEL)

    def run(model, *options):
        (tmp_path / "test_ours.py").write_text(FIVE_LINES.replace("Ranker", model))
        return python("-m", "pytest", *options, folder=tmp_path, site=installed, check=False)

    return run


def python(*arguments, folder, site=None, check=True):
    """Run Python in a folder, with an installed wheel before all else."""
    path = {} if site is None else {"PYTHONPATH": str(site)}
    done = subprocess.run(  # noqa: S603 (our own interpreter)
        [sys.executable, *arguments],
        cwd=folder,
        env=os.environ | {"PYTEST_ADDOPTS": "", "GITHUB_ACTIONS": "true"} | path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0 or not check, done.stdout + done.stderr
    return done


def test_it_takes_five_lines():
    """What a user writes, empty lines aside."""
    assert len([line for line in FIVE_LINES.splitlines() if line]) == 5


def test_the_wheel_holds_the_library_and_the_plugin(installed, tmp_path):
    """What is imported below is what was installed, and not this checkout."""
    show = "import flatline, flatline_pytest as p; print(flatline.__file__, p.__file__)"
    found = python("-c", show, folder=tmp_path, site=installed).stdout.split()
    assert all(Path(file).is_relative_to(installed) for file in found)
    assert (installed / "flatline" / "py.typed").exists()


def test_a_healthy_model_passes(sample):
    """Every check that the five lines have the parts for."""
    done = sample("Ranker")
    assert done.returncode == 0, done.stdout
    assert "verdicts on 1 subject: " in done.stdout
    assert " passed, " in done.stdout.splitlines()[-1]


def test_a_model_whose_head_is_zeroed_fails_and_the_head_is_named(sample):
    """In the terminal, and as a mark of the pull request."""
    done = sample("DeadRanker", "-k", "scores_vary")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "\nculprit: module head " in done.stdout
    assert "\nfail   ours-scores_vary: " in done.stdout
    assert "::error file=" in done.stdout
    assert "Traceback" not in done.stdout
