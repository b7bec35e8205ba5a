"""Every file of a run says whose it is, and no run goes on with another one's."""

import csv
import json
import shutil

import pytest
import torch
from safetensors import safe_open

from flatline.errors import ArtifactError
from flatline.training import run_folder
from training.toy import Toy
from training.victim import SETTINGS, train

SHORT = SETTINGS.model_copy(update={"max_epochs": 2, "checkpoint_every_n_steps": 2})


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """Two finished runs of the same settings, of which only the ids differ."""
    for name in ("a", "b"):
        monkeypatch.setattr(run_folder, "_new_id", lambda now, name=name: f"run-{name}")
        train(tmp_path / name, settings=SHORT)
    return tmp_path / "a", tmp_path / "b"


def test_every_file_says_whose_it_is(runs):
    """Settings, record, result, log and checkpoints."""
    folder = runs[0]
    assert json.loads((folder / "run.json").read_text())["id"] == "run-a"
    for name in ("settings.json", "result.json"):
        assert json.loads((folder / name).read_text())["run_id"] == "run-a"
    with (folder / "metrics.csv").open() as file:
        assert {row["run_id"] for row in csv.DictReader(file)} == {"run-a"}
    with safe_open(folder / "checkpoints" / "best.safetensors", "pt") as file:
        assert json.loads(file.metadata()["about"])["run_id"] == "run-a"
    assert torch.load(folder / "checkpoints" / "last.ckpt")["run_id"] == "run-a"
    names = {path.name for path in folder.rglob("*") if path.is_file()}
    assert names == {
        "run.json", "settings.json", "result.json", "metrics.csv", "best.safetensors", "last.ckpt",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("file", "more"),
    [
        ("result.json", False),
        ("checkpoints/best.safetensors", False),
        ("checkpoints/last.ckpt", True),
        ("metrics.csv", True),
    ],
)
def test_another_runs_file_is_refused(runs, file, more):
    """Copied from a run of the same settings, each is refused where it would be read."""
    shutil.copy(runs[0] / file, runs[1] / file)
    settings = SHORT.model_copy(update={"max_epochs": 3}) if more else SHORT
    with pytest.raises(ArtifactError, match=r"of (another )?run.* expected .*run-b"):
        train(runs[1], settings=settings, resume=True, model=Toy())


def test_its_own_files_are_taken(runs):
    """The same resumptions go through where nothing was swapped."""
    train(runs[1], settings=SHORT, resume=True)
    train(runs[1], settings=SHORT.model_copy(update={"max_epochs": 3}), resume=True)
