"""A walk-forward trains as `train` does, loses nothing to a kill, and counts each day once."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
import torch

from evaluation import tasks
from evaluation.light import LIGHT
from evaluation.series import series_settings
from evaluation.tasks import in_process
from flatline import cli
from flatline.data.splits import walk_forward
from flatline.errors import ArtifactError, SettingsError
from flatline.evaluation.comparable import comparable
from flatline.evaluation.experiment import cut, prepare
from flatline.evaluation.jobs import run_processes
from flatline.evaluation.run import open_run, predict_test
from flatline.evaluation.walkforward import windows as walkforward
from flatline.evaluation.walkforward.plan import open_plan, windows_of
from flatline.evaluation.walkforward.report import make_report, stitch
from flatline.evaluation.walkforward.results import MODEL, Row, results_of
from flatline.evaluation.walkforward.window import run_window
from flatline.evaluation.walkforward.windows import run_walk_forward
from flatline.evaluation.work_folder import held, source_hash
from flatline.settings import load_settings

WINDOWS = ["data.windows.train=100", "data.windows.valid=40", "data.windows.test=60"]
# Scores too small to differ that stay so, and a guard that looks at once.
DEAD = [
    *("model.head_init_std=1e-30", "training.learning_rate=1e-30", "guard.action=stop"),
    *("guard.every_n_steps=1", "guard.patience=1", "guard.grace_steps=0"),
]
# Epochs enough to be killed in, and a checkpoint after each step.
LONG = ["training.max_epochs=8", "training.checkpoint_every_n_steps=1"]


@pytest.fixture(scope="session")
def file(tmp_path_factory):
    """The settings of these tests."""
    file = tmp_path_factory.mktemp("walkforward") / "light.toml"
    file.write_text(LIGHT)
    return file


@contextmanager
def alone():
    """No processes, but where a test asks for them; one thread, as those would have."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(walkforward, "run_processes", in_process)
        patch.setenv("OMP_NUM_THREADS", "1")
        yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def _alone():
    """For every test here."""
    with alone():
        yield


def settings_of(file, *overrides):
    """The settings of the file, with windows, and with these."""
    return load_settings(file, environ={}, overrides=[*WINDOWS, *overrides])


def timeless(pooled):
    """The figures without what a clock gives."""
    return [replace(one, seconds=None) for one in pooled]


@pytest.fixture(scope="session")
def finished(file, tmp_path_factory):
    """A finished walk-forward of two windows, learners included."""
    with alone():
        return run_walk_forward(settings_of(file), tmp_path_factory.mktemp("finished") / "wf")


@pytest.fixture
def copy(finished, tmp_path):
    """A copy of it, to be damaged."""
    return shutil.copytree(finished.folder, tmp_path / "copy")


def predictions(folder):
    """The stitched ones."""
    return pl.read_parquet(folder / "predictions.parquet")


@pytest.mark.parametrize("expanding", ["true", "false"])
def test_the_settings_of_a_window_cut_its_fold(file, expanding):
    """Dates in the settings of a run give the very days of the walk-forward, embargo included."""
    settings = settings_of(
        file,
        f"data.windows.expanding={expanding}",
        "data.windows.embargo=3",
        "data.windows.step=25",
    )
    raw = prepare(settings)
    folds = walk_forward(
        raw.panel, train=100, valid=40, test=60, step=25, embargo=3, expanding=expanding == "true"
    )
    windows = list(windows_of(raw.panel, settings))
    assert len(windows) == len(folds) > 3
    for window, fold in zip(windows, folds, strict=True):
        found = cut(window.settings, raw).fold
        for part in ("train", "valid", "test"):
            assert np.array_equal(getattr(found, part), getattr(fold, part))


def test_each_test_day_is_predicted_once_by_its_own_window(finished):
    """No date, code and horizon twice; the id of each window's run beside its rows."""
    frame = predictions(finished.folder)
    assert not frame.select("date", "code", "horizon").is_duplicated().any()
    assert [row.status for row in finished.rows] == ["finished", "finished"]
    for row in finished.rows:
        part = frame.filter(window=row.window)
        assert str(part["date"].min()) == row.test_from
        assert str(part["date"].max()) == row.test_until
        record = json.loads((finished.folder / f"windows/0{row.window}/run.json").read_text())
        assert part["run_id"].unique().to_list() == [record["id"]] == [row.run_id]
        assert len(part) == row.rows


def test_a_window_is_an_ordinary_run(finished):
    """Opened by itself, it scores its test days as the walk-forward did, bit for bit."""
    experiment, model = open_run(finished.folder / "windows" / "02")
    again = predict_test(experiment, model)
    kept = predictions(finished.folder).filter(window=2)
    assert again.equals(kept.drop("run_id", "window"))


def test_all_forecasts_meet_the_same_rows(finished):
    """Model, ridge, trees and both naive scores: as many rows each, a row per horizon."""
    pooled = finished.report.pooled
    names = ["atft_gat_fan", "ridge", "boosted trees", "low volatility", "naive composite"]
    assert [(one.name, one.horizon) for one in pooled] == [(n, h) for h in (1, 5) for n in names]
    for horizon in (1, 5):
        assert len({(one.rows, one.days) for one in pooled if one.horizon == horizon}) == 1
    assert all(one.sharpe.low < one.sharpe.value < one.sharpe.high for one in pooled)
    assert finished.report.missing_days == 0


def test_the_windows_are_written_as_a_table(finished):
    """One line each, with the figures of each horizon."""
    table = pl.read_csv(finished.folder / "windows.csv")
    assert table["window"].to_list() == [1, 2]
    assert {"steps", "seconds_per_epoch", "best_epoch", "ic_1", "rank_ic_5", "flat"} <= set(
        table.columns
    )
    json.dumps(finished.as_data(), allow_nan=False)


def test_what_is_finished_is_not_done_again(file, copy, finished, monkeypatch):
    """A second call starts nothing and finds the same; one without learners too."""

    def nothing_left(work, tasks, **_):
        assert not list(tasks)

    monkeypatch.setattr(walkforward, "run_processes", nothing_left)
    again = run_walk_forward(settings_of(file), copy)
    assert again.rows == finished.rows
    assert again.report.pooled == finished.report.pooled
    assert len(run_walk_forward(settings_of(file), copy, learners=False).report.pooled) == 2


@pytest.mark.parametrize("name", ["model", "ridge"])
def test_damaged_predictions_are_made_again(file, copy, finished, name):
    """From the run that is there: the same, bit for bit."""
    path = results_of(copy, 1) / f"{name}.parquet"
    whole = path.read_bytes()
    path.write_bytes(whole[:-50])
    failed = path.with_name("error.txt")
    failed.write_text("of an earlier attempt")
    again = run_walk_forward(settings_of(file), copy)
    assert not failed.exists()
    assert timeless(again.report.pooled) == timeless(finished.report.pooled)
    assert pl.read_parquet(path).equals(
        pl.read_parquet(results_of(finished.folder, 1) / f"{name}.parquet")
    )


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("training.learning_rate=0.5", "training.learning_rate is 0.5, expected 0.001 as in"),
        ("data.windows.test=50", "data.windows.test is 50, expected 60 as in the walkforward in"),
        ("data.source.market_seed=3", "data.source.market_seed is 3, expected 0 as in"),
    ],
)
def test_another_walk_forward_is_refused(file, copy, override, says):
    """A folder goes on with its own settings and data only; the difference is named."""
    others = [text for text in WINDOWS if text.split("=")[0] != override.split("=")[0]]
    settings = load_settings(file, environ={}, overrides=[*others, override])
    with pytest.raises(SettingsError, match=says):
        run_walk_forward(settings, copy)


def test_which_index_is_read_belongs_to_the_work():
    """The file of the index may move; its code and its source say which of its rows count."""
    source = ["data.source.prices=p.parquet", "data.source.index=i.parquet"]
    moved = ["data.source.prices=q.parquet", "data.source.index=j.parquet"]
    one, other = (load_settings(environ={}, overrides=texts) for texts in (source, moved))
    assert comparable(one) == comparable(other)
    for name in ("index_code", "index_source"):
        chosen = load_settings(environ={}, overrides=[*source, f"data.source.{name}=N225"])
        assert comparable(chosen) != comparable(one), name


def test_a_window_of_other_dates_is_refused(file, copy):
    """Results that were moved to another window are not taken for its own."""
    shutil.rmtree(results_of(copy, 2))
    shutil.copytree(results_of(copy, 1), results_of(copy, 2))
    with pytest.raises(ArtifactError, match="holds a window of other dates, settings or data"):
        run_walk_forward(settings_of(file), copy)


def test_a_folder_of_something_else_is_refused(file, tmp_path):
    """Nothing is written among the files of others."""
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(ArtifactError, match=r"holds thesis\.txt and no walkforward\.json"):
        run_walk_forward(settings_of(file), tmp_path)


def test_two_do_not_work_in_one_folder(file, tmp_path):
    """The second one is told so."""
    with held(tmp_path), pytest.raises(ArtifactError, match="is in use by another process"):
        run_walk_forward(settings_of(file), tmp_path)


def test_changed_price_files_are_noticed(tmp_path):
    """By what is in them, wherever they lie."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "prices.csv").write_text("date,code\n")
    a, b = (
        load_settings(environ={}, overrides=[f"data.source.prices={tmp_path / name}"]).data.source
        for name in ("a", "b")
    )
    assert source_hash(a) == source_hash(b)
    (tmp_path / "b" / "prices.csv").write_text("date;code\n")
    assert source_hash(a) != source_hash(b)


def test_a_dead_window_is_a_row_and_exit_code_1(file, tmp_path, monkeypatch, capsys):
    """The command tells which window died and of what, and goes on with the next."""
    options = [part for text in (*WINDOWS, *DEAD) for part in ("--set", text)]
    arguments = ["walkforward", "--settings", str(file), "--out", str(tmp_path / "wf"), *options]
    monkeypatch.setattr(sys, "argv", ["flatline", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    shown = " ".join(capsys.readouterr().out.split())
    assert ended.value.code == 1
    assert shown.count("degenerate") == 2
    assert "window 2: scores are vanished scale" in shown
    report = json.loads((tmp_path / "wf" / "report.json").read_text())
    assert report["pooled"] is None


def test_days_of_a_dead_window_are_counted_as_missing(file, finished, copy):
    """They are left out of no silence."""
    plan = open_plan(settings_of(file), copy, threads=1)
    first = replace(finished.rows[0], status="degenerate")
    report = make_report(plan, [first, finished.rows[1]], learners=False, cost=0.001)
    assert report.missing_days == 60
    titles = [table.title for table in report.tables()]
    assert "60 further test days have no predictions" in titles[0]


def test_a_single_series_is_stitched_without_a_cross_section(tmp_path):
    """Its windows are trained and scored; there is nobody to be ranked against."""
    settings = series_settings(tmp_path, *WINDOWS, "training.max_epochs=1")
    found = run_walk_forward(settings, tmp_path / "wf", most_windows=2)
    assert [row.status for row in found.rows] == ["finished"] * len(found.rows)
    # Its epochs are compared on their loss, which is no RankIC.
    assert all((row.ic, row.valid_rank_ic) == (None, None) for row in found.rows)
    assert found.report.pooled == ()
    frame = predictions(tmp_path / "wf")
    assert frame["date"].n_unique() == sum(row.test_days for row in found.rows)
    assert frame["code"].n_unique() == 1


def test_memory_maps_leave_nothing_behind(file, tmp_path):
    """The same scores, and no scratch file in the folder or where the setting points."""
    one = [*WINDOWS, f"data.source.memory_map={tmp_path / 'maps'}"]
    mapped = load_settings(file, environ={}, overrides=one)
    found = run_walk_forward(mapped, tmp_path / "a", most_windows=1, learners=False)
    run_walk_forward(settings_of(file), tmp_path / "b", most_windows=1, learners=False)
    assert len(found.rows) == 1
    a, b = (predictions(tmp_path / name).drop("run_id") for name in ("a", "b"))
    assert a.equals(b)
    assert not (tmp_path / "maps").exists()
    assert [p.name for p in (tmp_path / "a").iterdir() if p.name.startswith(".")] == [".lock"]


def part_of(folder, number, dates, *, score):
    """Predictions of a window on some dates, and its row."""
    results = results_of(folder, number)
    results.mkdir(parents=True)
    frame = pl.DataFrame({"date": dates, "code": "A", "horizon": 1, "score": score})
    frame = frame.with_columns(pl.col("date").str.to_date())
    frame.write_parquet(results / f"{MODEL}.parquet")
    return Row(number, "finished", test_from=dates[0], test_until=dates[-1])


def test_of_overlapping_windows_the_later_one_counts(tmp_path):
    """Its model has seen more: each day has the score of the last window that tests it."""
    days = [f"2024-01-0{k}" for k in range(1, 8)]
    rows = [part_of(tmp_path, k + 1, days[2 * k : 2 * k + 3], score=float(k + 1)) for k in range(3)]
    found = stitch(SimpleNamespace(folder=tmp_path), rows, MODEL)
    assert found["date"].cast(str).to_list() == days
    assert found["score"].to_list() == [1.0, 1.0, 2.0, 2.0, 3.0, 3.0, 3.0]


@pytest.mark.parametrize(
    ("dates", "says"),
    [
        (["2024-01-01", "2024-01-01"], "rows of model that are there twice are 1, expected none"),
        (["2024-01-01", "2024-02-01"], "has a prediction of 2024-02-01, expected test days"),
    ],
)
def test_rows_that_do_not_belong_are_refused(tmp_path, dates, says):
    """Twice the same key, or a day that the window does not test."""
    row = replace(part_of(tmp_path, 1, dates, score=1.0), test_until="2024-01-01")
    with pytest.raises(ArtifactError, match=says):
        stitch(SimpleNamespace(folder=tmp_path), [row], MODEL)


def test_a_killed_walk_forward_goes_on_to_the_same_predictions(file, tmp_path, monkeypatch):
    """Killed in mid-training of the second window, by a signal that leaves no time for anything."""
    out, script = tmp_path / "killed", tmp_path / "start.py"
    script.write_text(
        "from pathlib import Path\n"
        "from evaluation.tasks import in_process\n"
        "from flatline.evaluation.walkforward import windows as walkforward\n"
        "from flatline.settings import load_settings\n"
        "walkforward.run_processes = in_process\n"
        f"settings = load_settings({str(file)!r}, environ={{}}, overrides={[*WINDOWS, *LONG]})\n"
        f"walkforward.run_walk_forward(settings, Path({str(out)!r}), learners=False)\n"
    )
    path = os.pathsep.join([str(Path(tasks.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    started = subprocess.Popen(  # noqa: S603
        [sys.executable, str(script)],
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _wait_for(out / "windows" / "02" / "checkpoints" / "last.ckpt")
    os.kill(started.pid, signal.SIGKILL)
    started.wait()
    assert (results_of(out, 1) / "window.json").exists()
    assert not (results_of(out, 2) / "window.json").exists()
    first = json.loads((out / "windows" / "02" / "run.json").read_text())["id"]
    # From here on as the command does it, the window that is left in a process of its own.
    monkeypatch.setattr(walkforward, "run_processes", run_processes)
    found = run_walk_forward(settings_of(file, *LONG), out, learners=False)
    assert [row.status for row in found.rows] == ["finished", "finished"]
    assert found.rows[1].run_id == first, "the run went on, no other was begun"

    (tmp_path / "whole").mkdir()
    plan = open_plan(settings_of(file, *LONG), tmp_path / "whole", threads=1)
    for window in plan.windows:
        run_window(plan, window, learners=False)
    whole = stitch(plan, found.rows, MODEL)
    assert whole.drop("run_id").equals(predictions(out).drop("run_id"))


def _wait_for(path, seconds=120):
    deadline = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} never came"
        time.sleep(0.01)


def test_ctrl_c_says_how_to_go_on(file, tmp_path, monkeypatch, capsys):
    """One line and the exit code of an interrupt."""

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(walkforward, "run_walk_forward", interrupted)
    arguments = ["walkforward", "--settings", str(file), "--out", str(tmp_path / "wf")]
    monkeypatch.setattr(sys, "argv", ["flatline", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 130
    assert "the same command goes on" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--train", "900"], "train + valid is 1025 days, expected fewer than the"),
        (["--test-from", "soon"], "test_from is 'soon', expected a date such as 2019-01-01"),
        (["--tset", "3"], "No such option: --tset"),
        (["--jobs", "0"], "Invalid value for '--jobs'"),
    ],
)
def test_bad_input_is_one_line(file, tmp_path, monkeypatch, capsys, arguments, says):
    """The message says what to give instead, exit code 2."""
    command = ["walkforward", "--settings", str(file), "--out", str(tmp_path / "wf"), *arguments]
    monkeypatch.setattr(sys, "argv", ["flatline", *command])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    shown = capsys.readouterr().err
    assert ended.value.code == 2
    assert says in " ".join(shown.split())
