"""A run folder gives back the very model that was trained, or says why it cannot."""

import json
import shutil
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from flatline.artifacts import read_manifest
from flatline.errors import ArtifactError, SettingsError
from flatline.evaluation.run import (
    fingerprint,
    manifest_of,
    newest_run,
    open_run,
    predict_test,
    train_run,
)


@pytest.fixture
def copy(trained, tmp_path):
    """A copy of the finished run, to be damaged."""
    return shutil.copytree(trained[0], tmp_path / "copy")


def test_an_opened_run_scores_as_the_model_in_memory(experiment, trained):
    """Bit for bit, through normaliser, settings and weights of the folder alone."""
    folder, model = trained
    again, opened = open_run(folder)
    assert predict_test(again, opened).equals(predict_test(experiment, model))


@pytest.mark.parametrize(
    ("file", "says"),
    [
        ("settings.json", "has no settings.json, expected a run"),
        ("checkpoint.safetensors", "has no checkpoint.safetensors, expected the model of"),
        ("run.json", r"run\.json cannot be read, expected a JSON object"),
    ],
)
def test_a_missing_file_is_named(copy, file, says):
    """Each file that a run needs is asked for by name."""
    (copy / file).unlink()
    with pytest.raises(ArtifactError, match=says):
        open_run(copy)


def test_a_damaged_checkpoint_is_refused(copy):
    """Half a file is no model."""
    path = copy / "checkpoint.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ArtifactError, match=r"^checkpoint .* bytes of tensors, expected"):
        open_run(copy)


@pytest.fixture(scope="module")
def other(experiment, tmp_path_factory):
    """Another run of the same settings on the same data."""
    folder = tmp_path_factory.mktemp("runs") / "other"
    train_run(experiment, folder)
    return folder


@pytest.mark.parametrize(
    ("file", "says"),
    [
        ("checkpoint.safetensors", r"^run_id of checkpoint .* Give the checkpoint that belongs"),
        ("settings.json", r"settings\.json is of run .*, expected .* as run\.json says"),
        ("result.json", r"result\.json is of run .*, expected .* as run\.json says"),
        ("run.json", r"settings\.json is of run .*, expected .* as run\.json says"),
    ],
)
def test_a_file_of_another_run_is_refused(copy, other, file, says):
    """Same settings, same shapes, other run: what it came to is not this run's result."""
    open_run(copy)
    shutil.copy(other / file, copy / file)
    with pytest.raises(ArtifactError, match=says):
        open_run(copy)


@pytest.mark.parametrize(
    ("place", "value", "says"),
    [
        (("model", "hidden"), 8, "model of checkpoint"),
        (("data", "horizons"), [1, 3], "horizons of checkpoint"),
        (("data", "target"), "rank", "target_scale of checkpoint"),
    ],
)
def test_settings_that_are_not_the_runs_are_refused(copy, place, value, says):
    """A record edited by hand no longer tells what was trained."""
    record = json.loads((copy / "settings.json").read_text())
    record[place[0]][place[1]] = value
    (copy / "settings.json").write_text(json.dumps(record))
    with pytest.raises(ArtifactError, match=f"^{says}"):
        open_run(copy)


def test_the_manifest_tells_all_of_the_run(experiment, trained):
    """Features in order, normaliser, horizons, levels, data and versions are in the one file."""
    manifest = read_manifest(trained[0] / "checkpoint.safetensors")
    record = json.loads((trained[0] / "run.json").read_text())
    assert manifest == manifest_of(experiment, trained[1], trained[0])
    assert manifest.feature_names == experiment.panel.feature_names
    assert manifest.normaliser == experiment.normaliser.state()
    assert (manifest.run_id, manifest.versions) == (record["id"], record["versions"])
    assert record["data"] == manifest.data_fingerprint == fingerprint(experiment.panel)


def test_the_last_epoch_is_kept_where_the_best_is_not_restored(experiment, tmp_path):
    """Without restore_best the checkpoint is the model that was left, as its scores are."""
    training = experiment.settings.training.model_copy(
        update={"restore_best": False, "max_epochs": 3}
    )
    settings = experiment.settings.model_copy(update={"training": training})
    last, result = train_run(replace(experiment, settings=settings), tmp_path / "run")
    kept = load_file(tmp_path / "run" / "checkpoint.safetensors")
    best, final = load_file(result.best_path), last.state_dict()
    assert all(torch.equal(kept[name], final[name]) for name in final)
    same = all(torch.equal(kept[name], best[name]) for name in best)
    assert same == (result.best_epoch == 2)
    again, _ = train_run(replace(experiment, settings=settings), tmp_path / "run", resume=True)
    assert all(torch.equal(again.state_dict()[name], final[name]) for name in final)


@pytest.mark.parametrize(
    ("section", "name", "value"),
    [("model", "dropout", 0.5), ("data", "shuffle", False), ("data", "normaliser", "robust")],
)
def test_a_run_goes_on_with_its_own_settings_only(experiment, copy, section, name, value):
    """Also with those that are not the training's, and fit the weights that are there."""
    part = getattr(experiment.settings, section).model_copy(update={name: value})
    settings = experiment.settings.model_copy(update={section: part})
    with pytest.raises(SettingsError, match=rf"^{section}\.{name} is .* as in the run in"):
        train_run(replace(experiment, settings=settings), copy, resume=True)
    train_run(experiment, copy, resume=True)


def test_a_run_goes_on_with_its_own_data_only(experiment, copy):
    """Resumed with other prices, it would be the result of two markets."""
    panel = experiment.panel
    other = replace(panel, daily_return=panel.daily_return[::-1].copy())
    with pytest.raises(ArtifactError, match=r"^data to resume .* Resume with its data"):
        train_run(replace(experiment, panel=other), copy, resume=True)


def test_other_data_is_noticed(copy):
    """The market of another seed has another fingerprint."""
    record = json.loads((copy / "settings.json").read_text())
    record["data"]["source"]["market_seed"] = 7
    (copy / "settings.json").write_text(json.dumps(record))
    with pytest.raises(ArtifactError, match=r"fingerprint .* Give the prices it was trained on"):
        open_run(copy)


@pytest.mark.parametrize("part", ["dates", "codes", "present", "daily_return", "feature_names"])
def test_the_fingerprint_sees_every_part(experiment, part):
    """One changed entry changes it; the same panel has the same one."""
    panel = experiment.panel
    value = getattr(panel, part)
    other = value[::-1] if part == "feature_names" else value.copy()
    if part != "feature_names":
        other[-1] = value[0]
    changed = replace(panel, **{part: other})
    assert fingerprint(panel) == fingerprint(replace(panel))
    assert fingerprint(changed) != fingerprint(panel)


def test_the_newest_run_is_the_one_started_last(tmp_path, monkeypatch):
    """Whatever the folders are called; without a run the message says how to make one."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ArtifactError, match=r"^runs under runs/ are 0"):
        newest_run()
    for name, started in (
        ("zeta", "2026-01-01"),
        ("20260102-1", "2026-01-02"),
        ("a", "2026-01-03"),
    ):
        folder = tmp_path / "runs" / name
        folder.mkdir(parents=True)
        (folder / "run.json").write_text(json.dumps({"started": f"{started}T00:00:00+00:00"}))
    (tmp_path / "runs" / "no-run").mkdir()
    assert newest_run().name == "a"
