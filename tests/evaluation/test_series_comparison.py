"""Normalisers side by side: every cell once, none from elsewhere, figures of what it says."""

import json
import sys

import numpy as np
import polars as pl
import pytest

from evaluation.series import SERIES, series_settings
from flatline import cli
from flatline.errors import ArtifactError, SettingsError
from flatline.evaluation.experiment import prepare
from flatline.evaluation.jobs import Died
from flatline.evaluation.series import comparison as series_comparison
from flatline.evaluation.series.cells import cell_path, cells_of, data_hash, read_cell
from flatline.evaluation.series.comparison import compare_normalisers
from flatline.evaluation.series.learners import CLASS_LEARNERS
from flatline.evaluation.series.report import period_figures
from flatline.evaluation.series.scores import Cell, Finished
from flatline.metrics import auc

FEW = {"features": ("level",), "normalisers": ("raw", "zscore"), "seeds": 2, "later": "1999-06-01"}


def run_here(worked):
    """Stands in for `run_processes`: works in this process, and notes the cells."""

    def run(work, tasks, *, on_done, on_stage, **_):
        for position, task in enumerate(tasks):
            worked.extend(task[2])
            work(*task, on_stage=lambda stage, at=position: on_stage(at, stage))
            on_done(position, None)

    return run


@pytest.fixture(scope="module", autouse=True)
def small_forest():
    """Ten trees do where their figures are not the point."""
    from sklearn.ensemble import RandomForestClassifier  # noqa: PLC0415

    def grow(seed):
        return RandomForestClassifier(10, min_samples_leaf=20, random_state=seed)

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(CLASS_LEARNERS, "random forest", grow)
        yield


@pytest.fixture
def here(monkeypatch):
    """The cells that are worked on, in this process."""
    worked = []
    monkeypatch.setattr(series_comparison, "run_processes", run_here(worked))
    return worked


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """A comparison of two normalisers: settings, folder, report, and what it said."""
    folder = tmp_path_factory.mktemp("compared")
    settings, stages = series_settings(folder), []

    def note(stage, share=0.0):
        stages.append((stage, share))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(series_comparison, "run_processes", run_here([]))
        report = compare_normalisers(settings, folder / "cells", **FEW, on_stage=note)
    return settings, folder / "cells", report, stages


def data(report):
    """Its figures as text."""
    return json.dumps(report.as_data()["figures"], sort_keys=True)


def test_every_cell_is_worked_on_once(compared, here):
    """A second run finds them all, trains nothing, and says the same."""
    settings, folder, first, stages = compared
    # Two normalisers; model and forest with two seeds each, the regression with one.
    assert first.worked == 2 * (2 + 2 + 1)
    assert stages[-1] == ("comparing", 1.0)
    assert sum("seed" in stage for stage, _ in stages) == first.worked
    again = compare_normalisers(settings, folder, **FEW)
    assert (again.worked, here) == (0, [])
    assert data(again) == data(first)


def test_the_tables_have_a_line_for_each_horizon_normaliser_and_model(compared):
    """Skill and drift, of two horizons, two normalisers and three models."""
    _, _, report, _ = compared
    assert [table.row_count for table in report.tables()] == [12, 12]
    periods = {one.period for one in report.figures}
    assert periods == {"train", "valid", "test", "later"}
    assert all(one.first >= "1999-06-01" for one in report.figures if one.period == "later")
    assert {one.entropy is None for one in report.figures if one.model == "random forest"} == {True}
    patch = [one for one in report.figures if one.model == "patchtst" and one.period == "train"]
    assert all(0 < one.entropy <= 1 and one.seeds == 2 for one in patch)


def test_figures_are_those_of_the_cells(compared):
    """AUC, means and Brier of a cell, computed from its file by hand."""
    settings, folder, report, _ = compared
    cell = Cell("level", "zscore", "logistic regression", 0)
    stamp = data_hash(prepare(settings).panel)
    frame = read_cell(cell_path(folder, settings, cell, stamp), cell).frame
    rows = frame.filter((pl.col("split") == "test") & (pl.col("horizon") == 5)).drop_nulls()
    p, y = rows["probability"].to_numpy(), rows["label"].to_numpy()
    (found,) = [
        one
        for one in report.figures
        if (one.normaliser, one.model, one.period, one.horizon)
        == ("zscore", "logistic regression", "test", 5)
    ]
    assert found.auc.mean == pytest.approx(auc(p, y))
    assert found.mean == pytest.approx(p.mean())
    assert found.spread == pytest.approx(p.std())
    assert found.brier == pytest.approx(((p - y) ** 2).mean())
    assert (found.base_rate, found.days) == (pytest.approx(y.mean()), len(y))


def test_models_are_judged_on_the_same_days_and_labels(compared):
    """Days with a window, labels of the raw target."""
    settings, folder, _, _ = compared
    panel = prepare(settings).panel
    frames = []
    for name in ("patchtst", "random forest"):
        cell = Cell("level", "raw", name, 1)
        frames.append(read_cell(cell_path(folder, settings, cell, data_hash(panel)), cell).frame)
    keys = ["split", "date", "horizon", "label"]
    assert frames[0].select(keys).equals(frames[1].select(keys))
    one = frames[0].filter(pl.col("horizon") == 1)
    day = np.searchsorted(panel.dates, one["date"].to_numpy())
    known = ~np.isnan(panel.target[day, 0, 0])
    assert (one["label"].is_not_null().to_numpy() == known).all()
    label = one["label"].to_numpy()[known]
    assert (label == (panel.target[day, 0, 0][known] > 0.01)).all()


@pytest.mark.parametrize(
    ("change", "models"),
    [
        ("training.learning_rate=1e-3", {"patchtst"}),
        ("model.hidden=4", {"patchtst"}),
        ("loss.bce_threshold=0.02", {"patchtst", "random forest", "logistic regression"}),
        ("data.source.market_seed=7", {"patchtst", "random forest", "logistic regression"}),
        ("data.split.test=0.2", {"patchtst", "random forest", "logistic regression"}),
        ("training.log_every_n_steps=3", {"patchtst"}),
        ("guard.action=stop", set()),
        ("run.single_process=true", set()),
    ],
)
def test_cells_of_other_settings_are_not_read(compared, tmp_path, change, models):
    """What a cell depends on is in the name of its file; what it does not is not."""
    settings, folder, _, _ = compared
    other = series_settings(tmp_path, change)
    cells = cells_of(settings, features=["level"], normalisers=["raw"], seeds=1, learners=True)
    found = set()
    for cell in cells:
        paths = [
            cell_path(folder, tree, cell, data_hash(prepare(tree).panel))
            for tree in (settings, other)
        ]
        if paths[0] != paths[1]:
            found.add(cell.model)
    assert found == models


def test_a_damaged_cell_is_worked_on_again(compared, here, tmp_path):
    """Cut short, or of nothing: that one and no other."""
    settings, folder, first, _ = compared
    copy = tmp_path / "cells"
    copy.mkdir()
    for file in folder.glob("*.parquet"):
        (copy / file.name).write_bytes(file.read_bytes())
    cut, empty, *_ = sorted(copy.glob("*logistic*")) + sorted(copy.glob("*forest-0*"))
    cut.write_bytes(cut.read_bytes()[:500])
    empty.write_bytes(b"")
    report = compare_normalisers(settings, copy, **FEW)
    assert report.worked == len(here) == 2
    assert data(report) == data(first)


def test_what_was_done_before_an_interrupt_is_kept(compared, here, monkeypatch, tmp_path):
    """The same call goes on with the cell that was interrupted."""
    settings, _, first, _ = compared
    few = {**FEW, "normalisers": ("zscore",)}
    real, begun = series_comparison.work_cells, []

    def interrupted(*task, on_stage):
        def stop(stage):
            begun.append(stage)
            if len(begun) == 4:
                raise KeyboardInterrupt
            on_stage(stage)

        real(*task, on_stage=stop)

    monkeypatch.setattr(series_comparison, "work_cells", interrupted)
    with pytest.raises(KeyboardInterrupt):
        compare_normalisers(settings, tmp_path / "cells", **few)
    monkeypatch.setattr(series_comparison, "work_cells", real)
    report = compare_normalisers(settings, tmp_path / "cells", **few)
    assert report.worked == first.worked // 2 - 3
    expected = [one.as_data() for one in first.figures if one.normaliser == "zscore"]
    assert report.as_data()["figures"] == expected


def test_a_process_that_dies_is_named(monkeypatch, tmp_path):
    """With the cell and how it ended."""
    settings = series_settings(tmp_path)

    def die(work, tasks, *, on_done, **_):
        on_done(0, Died("its process ended with signal SIGKILL."))

    monkeypatch.setattr(series_comparison, "run_processes", die)
    with pytest.raises(ArtifactError) as error:
        compare_normalisers(settings, tmp_path / "cells", **FEW)
    assert str(error.value) == (
        "patchtst on level features, raw, seed 0 gave no result, expected one: its process ended "
        "with signal SIGKILL. Look at what it said, and run the same command again."
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"normalisers": ["z-score"]}, "normaliser is 'z-score', expected one of raw, zscore,"),
        ({"features": ["levels"]}, "features is 'levels', expected one of level, ratio. Did you"),
        ({"features": []}, "features is empty, expected some of level, ratio. Name one."),
        ({"seeds": 0}, "seeds is 0 and jobs is 1, expected at least 1 each."),
        ({"later": "soon"}, "later is 'soon', expected a date such as 2024-01-01."),
        ({"later": "2050-01-01"}, "later is 2050-01-01, expected a test day up to 1999-"),
    ],
)
def test_what_makes_no_sense_is_refused(options, message, tmp_path):
    """Before anything is trained."""
    with pytest.raises(SettingsError) as error:
        compare_normalisers(series_settings(tmp_path), tmp_path / "cells", **options)
    assert message in str(error.value)


def test_settings_without_a_series_or_a_class_are_refused(tmp_path):
    """The comparison is of probabilities of one series."""
    from flatline.settings import Settings  # noqa: PLC0415

    with pytest.raises(SettingsError, match=r"data\.series is not set, expected a single series"):
        compare_normalisers(Settings(), tmp_path / "cells")
    other = series_settings(tmp_path, "loss.weights.mse=1", "loss.weights.bce=0")
    with pytest.raises(SettingsError, match=r"loss\.weights names \['mse'\], expected bce among"):
        compare_normalisers(other, tmp_path / "cells")


def fake(chance, label, *, seed=0):
    """A finished cell of one horizon, half of its days train days."""
    days = len(label)
    frame = pl.DataFrame(
        {
            "split": ["train"] * (days // 2) + ["test"] * (days - days // 2),
            "date": np.datetime64("2020-01-01") + np.arange(days),
            "horizon": np.full(days, 3, np.int32),
            "probability": chance,
            "label": label,
        }
    )
    return Finished(Cell("level", "raw", "m", seed), frame, {}, 1.0, None)


@pytest.mark.parametrize(
    ("chance", "kind"),
    [
        pytest.param(lambda rng, y: rng.uniform(0.05, 0.95, len(y)), None, id="healthy"),
        pytest.param(lambda _, y: np.full(len(y), y.mean()), "class prior", id="prior"),
        pytest.param(
            lambda rng, y: 1 / (1 + np.exp(-rng.uniform(0.0, 0.6, len(y)))), "second sigmoid",
            id="second-sigmoid",
        ),
    ],
)  # fmt: skip
def test_the_kind_of_flat_is_named(chance, kind):
    """On how many seeds; none for probabilities that live."""
    rng = np.random.default_rng(0)
    label = (rng.random(800) < 0.3).astype(float)
    seeds = [fake(chance(rng, label), label, seed=seed) for seed in range(2)]
    train, test = period_figures([_with_valid(one) for one in seeds])[::2]
    assert test.flat == train.flat == ({} if kind is None else {kind: 2})


def _with_valid(one):
    valid = one.frame.filter(pl.col("split") == "train").with_columns(split=pl.lit("valid"))
    return Finished(one.cell, pl.concat([one.frame, valid]), one.entropy, 1.0, None)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "data.series is not set, expected a single series to compare normalisers on."),
        (["--settings", "series.toml", "--normaliser", "zscores"], "Did you mean 'zscore'?"),
        (["--settings", "series.toml", "--later", "2024"], "later is '2024', expected a date"),
        (["--settings", "none.toml"], "none.toml"),
        (["--settings", "series.toml", "--data", "none.parquet"], "none.parquet"),
    ],
)
def test_the_command_names_what_is_wrong(arguments, message, tmp_path, monkeypatch, capsys):
    """One line, exit code 2, nothing left behind that would look like a result."""
    (tmp_path / "series.toml").write_text(SERIES)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["flatline", "normalisers", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    assert message in " ".join(capsys.readouterr().err.split())
    assert not list(tmp_path.rglob("*.parquet"))


def test_a_command_that_is_interrupted_says_how_to_go_on(tmp_path, monkeypatch, capsys):
    """Exit code 130 and the folder."""
    (tmp_path / "series.toml").write_text(SERIES)
    monkeypatch.chdir(tmp_path)

    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(series_comparison, "run_processes", stop)
    monkeypatch.setattr(sys, "argv", ["flatline", "normalisers", "--settings", "series.toml"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 130
    said = " ".join(capsys.readouterr().err.split())
    assert "the same command goes on with what is in runs/normalisers." in said


def test_the_command_compares_and_goes_on(compared, tmp_path, monkeypatch, capsys):
    """Tables on standard output, the rest beside it; in a process, with the same figures."""
    _, _, first, _ = compared
    series_settings(tmp_path)
    monkeypatch.chdir(tmp_path)
    command = [
        *("flatline", "normalisers", "--settings", "series.toml", "--out", "cells"),
        *("--features", "level", "--seeds", "2", "--normaliser", "zscore", "--no-learners"),
        *("--json", "found.json"),
    ]
    monkeypatch.setattr(sys, "argv", command)
    for new in (2, 0):
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert ended.value.code == 0
        shown = capsys.readouterr()
        assert "level features: test days 1998" in shown.out
        assert f"trainings: {new} new, kept in cells" in shown.err
    found = json.loads((tmp_path / "found.json").read_text())["figures"]
    mine = [
        one.as_data()
        for one in first.figures
        if (one.model, one.normaliser) == ("patchtst", "zscore") and one.period != "later"
    ]
    assert len(found) == len(mine) == 6
    for a, b in zip(found, mine, strict=True):
        # Another number of threads adds up floats in another order.
        assert a["auc"]["mean"] == pytest.approx(b["auc"]["mean"], abs=0.01)
        assert a["mean"] == pytest.approx(b["mean"], abs=0.01)
