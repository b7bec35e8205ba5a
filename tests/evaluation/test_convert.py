"""Old checkpoints become runs; the command shows what a checkpoint holds."""

import json
import sys

import pytest
import torch
from torch.torch_version import TorchVersion

from evaluation.light import LIGHT
from flatline import cli
from flatline.errors import ArtifactError
from flatline.evaluation.convert import convert
from flatline.evaluation.experiment import assemble
from flatline.evaluation.run import open_run, predict_test, train_run
from flatline.settings import load_settings


@pytest.fixture
def old(trained, tmp_path):
    """The weights of the run as earlier training code saved them."""
    weights = {
        f"module.{name.replace('horizons.', 'point_horizon_')}": tensor
        for name, tensor in trained[1].state_dict().items()
    }
    path = tmp_path / "old.pt"
    torch.save({"state_dict": weights, "torch_version": TorchVersion("1.13.1")}, path)
    return path


@pytest.fixture
def flatline(monkeypatch, capsys):
    """Runs a command: exit code, standard output, standard error."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["flatline", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        shown = capsys.readouterr()
        return ended.value.code or 0, shown.out, " ".join(shown.err.split())

    return run


def test_a_converted_run_scores_as_the_old_model(experiment, trained, old, tmp_path):
    """Through names, manifest and a folder of its own, bit for bit."""
    legacy = convert(old, tmp_path / "run", experiment.settings)
    assert len(legacy.names) == len(trained[1].state_dict())
    again, model = open_run(tmp_path / "run")
    assert predict_test(again, model).equals(predict_test(experiment, trained[1]))


def test_a_refused_file_leaves_nothing(experiment, old, tmp_path):
    """No folder is made for weights that do not fit, and none is taken from another run."""
    old.write_bytes(old.read_bytes()[:-200])
    with pytest.raises(ArtifactError):
        convert(old, tmp_path / "run", experiment.settings)
    assert not (tmp_path / "run").exists()


def test_a_folder_in_use_is_left_alone(experiment, trained, old):
    """Neither a run nor anything else is overwritten."""
    before = {path: path.stat().st_mtime_ns for path in trained[0].rglob("*")}
    with pytest.raises(ArtifactError, match="holds a run"):
        convert(old, trained[0], experiment.settings)
    assert {path: path.stat().st_mtime_ns for path in trained[0].rglob("*")} == before


def test_converted_weights_are_not_trained_over(old, tmp_path):
    """There is no optimizer to go on with; a new training would replace what was converted."""
    file = tmp_path / "light.toml"
    file.write_text(LIGHT)
    experiment = assemble(load_settings(file, environ={}))
    convert(old, tmp_path / "run", experiment.settings)
    with pytest.raises(ArtifactError, match=r"holds a run \(converted\).*\. Give another folder"):
        train_run(experiment, tmp_path / "run", resume=True)


def test_the_command_shows_a_manifest(flatline, trained, tmp_path):
    """All of it, on the screen and as JSON, once the file is known to be sound."""
    path = trained[0] / "checkpoint.safetensors"
    code, out, _ = flatline("checkpoint", path, "--json", tmp_path / "manifest.json")
    assert code == 0
    assert "numbers of AtftGatFan, all as written" in out
    record = json.loads((trained[0] / "run.json").read_text())
    assert f"run_id: {record['id']}" in out
    assert json.loads((tmp_path / "manifest.json").read_text())["run_id"] == record["id"]


def test_the_command_converts(flatline, old, tmp_path):
    """With the settings that the old model was trained with."""
    (tmp_path / "light.toml").write_text(LIGHT)
    given = ("checkpoint", old, "--settings", tmp_path / "light.toml", "--run", tmp_path / "new")
    code, out, _ = flatline(*given)
    assert code == 0
    assert "tensors of" in out
    assert flatline("checkpoint", tmp_path / "new" / "checkpoint.safetensors")[0] == 0
    code, _, err = flatline(*given)
    assert (code, "holds a run (converted)" in err) == (2, True)


def test_the_command_says_what_is_wrong(flatline, old, trained, tmp_path):
    """An old file without a folder to make, settings without one, a missing and a damaged file."""
    for arguments, says in (
        ((old,), "is pickled, expected safetensors. Convert it with"),
        ((old, "--set", "model.hidden=8"), "settings are given without --run"),
        ((tmp_path / "none",), "does not exist, expected a file"),
        ((old, "--run", tmp_path / "new"), "expected the tensors of AtftGatFan"),
    ):
        code, out, err = flatline("checkpoint", *arguments)
        assert (code, out) == (2, "")
        assert says in err
    path = tmp_path / "damaged"
    content = bytearray((trained[0] / "checkpoint.safetensors").read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    code, _, err = flatline("checkpoint", path)
    assert (code, "has checksum" in err) == (2, True)
