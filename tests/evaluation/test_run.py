"""A run folder gives back the very model that was trained, or says why it cannot."""

import json
import shutil
from dataclasses import replace

import polars as pl
import pytest

from flatline.errors import ArtifactError
from flatline.evaluation.run import (
    fingerprint,
    newest_run,
    open_run,
    predict_test,
    write_predictions,
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


def test_predictions_carry_the_id_of_their_run(experiment, trained, copy):
    """Written whole, one more column beside what was predicted."""
    frame = predict_test(experiment, trained[1])
    found = pl.read_parquet(write_predictions(frame, copy))
    assert found.drop("run_id").equals(frame)
    record = json.loads((copy / "run.json").read_text())
    assert found["run_id"].unique().to_list() == [record["id"]]


@pytest.mark.parametrize(
    ("file", "says"),
    [
        ("settings.json", "has no settings.json, expected a run"),
        ("checkpoints/best.safetensors", "has no best.safetensors, expected the weights"),
        ("fitted.json", r"fitted\.json cannot be read, expected a JSON object"),
    ],
)
def test_a_missing_file_is_named(copy, file, says):
    """Each file that a run needs is asked for by name."""
    (copy / file).unlink()
    with pytest.raises(ArtifactError, match=says):
        open_run(copy)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"normaliser": {', "cannot be read, expected a JSON object"),
        ("[1, 2]", "cannot be read, expected a JSON object"),
        ("{}", r"has keys \[\], expected the normaliser"),
        ('{"normaliser": 3, "data": "x"}', "expected the normaliser"),
        ('{"normaliser": {"format": 99}, "data": "x"}', "normaliser format is 99"),
        ('{"normaliser": {"format": 1}, "data": "x"}', "normaliser state has keys"),
    ],
)
def test_what_was_fitted_is_checked(copy, text, says):
    """A damaged record is an error of one sentence."""
    (copy / "fitted.json").write_text(text)
    with pytest.raises(ArtifactError, match=says):
        open_run(copy)


def test_damaged_weights_are_refused(copy):
    """Half a file is no model."""
    best = copy / "checkpoints" / "best.safetensors"
    best.write_bytes(best.read_bytes()[:-100])
    with pytest.raises(ArtifactError, match=r"weights .* do not fit the model"):
        open_run(copy)


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
