"""`flatline export`: the files asked for, what was verified, and one line where it cannot be."""

import json
import sys
from pathlib import Path

import polars as pl
import pytest
import torch

from flatline import cli
from flatline.errors import ArtifactError, SettingsError
from flatline.evaluation import export_run as module
from flatline.evaluation.export_run import export_run
from flatline.evaluation.programs.onnx import load_onnx
from flatline.evaluation.programs.program import load_program
from flatline.evaluation.run import open_run, predict_test


@pytest.fixture
def flatline(monkeypatch, capsys, tmp_path):
    """Runs a command in an empty folder: exit code, standard output, standard error."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["flatline", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        shown = capsys.readouterr()
        return ended.value.code or 0, shown.out, shown.err

    return run


def test_all_that_leaves_a_run_is_written_and_verified(flatline, trained):
    """Predictions, both programs and the account of them, each of this run."""
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    folder, _ = trained
    files = ["--predictions", "out/p.parquet", "--program", "m.pt2", "--onnx", "m.onnx"]
    code, out, _ = flatline("export", "--run", folder, *files, "--json", "all.json")
    assert code == 0
    run_id = json.loads((folder / "run.json").read_text())["id"]
    frame = pl.read_parquet("out/p.parquet")
    told = json.loads(Path("all.json").read_text())
    assert told["run_id"] == run_id
    assert told["predictions"]["rows"] == frame.height
    assert frame["run_id"].unique().to_list() == [run_id]
    for line in ("predictions: out/p.parquet: ", f"{frame.height} rows", "largest difference"):
        assert line in out

    experiment, model = open_run(folder)
    assert frame.drop("run_id").equals(predict_test(experiment, model))
    batch, _ = next(iter(experiment.batches("test")))
    with torch.no_grad():
        want = model.eval()(batch)
    got = load_program(Path("m.pt2"))
    assert torch.equal(got(batch).point, want.point)
    other = load_onnx(Path("m.onnx"))
    torch.testing.assert_close(other(batch).point, want.point, atol=1e-4, rtol=1e-4)
    for card in (got.card, other.card):
        assert card.run_id == run_id
        assert card.model == "atft_gat_fan"
        assert card.features == experiment.panel.feature_names
        assert card.horizons == (1, 5)
        assert len(card.static) == batch["static_features"].shape[1]
        assert len(card.edge_attributes) == batch["edge_attr"].shape[1]


def test_old_names_go_into_the_file(flatline, trained):
    """A column for each horizon of the validation days."""
    folder, _ = trained
    given = ["--predictions", "p.parquet", "--names", "old", "--split", "valid"]
    code, _, _ = flatline("export", "--run", folder, *given)
    assert code == 0
    experiment, _ = open_run(folder)
    frame = pl.read_parquet("p.parquet")
    assert {"point_horizon_1", "point_horizon_5", "point_horizon_5_q0.5"} <= set(frame.columns)
    assert set(frame["date"]) <= set(experiment.panel.dates[experiment.fold.valid].tolist())


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ([], "what to export is nothing"),
        (["--predictions", "p", "--split", "train"], "split is 'train', expected valid or test"),
        (["--predictions", "p", "--names", "older"], "names is 'older'"),
        (["--predictions", "p", "--run", "nowhere"], "nowhere"),
        (["--prediction", "p"], "No such option"),
    ],
)
def test_what_cannot_be_exported_is_one_line(flatline, trained, given, says):
    """Exit code 2, no file, no traceback."""
    run = [] if "--run" in given else ["--run", trained[0]]
    code, out, err = flatline("export", *run, *given)
    assert code == 2
    assert says in err
    assert "Traceback" not in out + err
    assert not Path("p").exists()


def test_a_program_that_fails_its_check_is_not_published(trained, tmp_path, monkeypatch):
    """What stood under its name stays."""

    def refuse(*_):
        raise ArtifactError("scores of the program differ")

    monkeypatch.setattr(module, "check_equal", refuse)
    path = tmp_path / "m.pt2"
    path.write_text("before")
    with pytest.raises(ArtifactError, match="differ"):
        export_run(trained[0], program=path)
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_extra_is_said_before_the_run_is_opened(tmp_path, monkeypatch):
    """Nobody waits for the prices first."""
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(SettingsError, match=r"onnxscript is not installed"):
        export_run(tmp_path / "no-run", onnx=tmp_path / "m.onnx")


def test_scores_that_are_not_finite_end_with_exit_code_1(flatline, trained, monkeypatch):
    """The file is there to be looked at; a script notices."""
    folder, _ = trained
    opened = open_run

    def broken(*given, **more):
        experiment, model = opened(*given, **more)
        with torch.no_grad():
            next(model.head.parameters()).fill_(torch.nan)
        return experiment, model

    monkeypatch.setattr(module, "open_run", broken)
    code, _, err = flatline("export", "--run", folder, "--predictions", "p.parquet")
    assert code == 1
    assert "scores are not finite" in err
    assert pl.read_parquet("p.parquet")["score"].is_nan().any()
