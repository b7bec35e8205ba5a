"""What leaves a run is what the run scored, every row once, under the names asked for."""

import numpy as np
import polars as pl
import pytest
import torch

from flatline.artifacts.output_names import OUTPUT_NAMES, horizon_of, names_of
from flatline.errors import ArtifactError, SettingsError
from flatline.evaluation import export as export_module
from flatline.evaluation.export import (
    check_rows,
    expected_rows,
    export_predictions,
    old_columns,
)
from flatline.evaluation.predict import predict
from flatline.evaluation.run import open_run, train_run
from flatline.training.validation import ValidationScores

KEYS = ["date", "code", "horizon"]


@pytest.fixture(scope="module")
def opened(trained):
    """The finished run as anyone opens it."""
    folder, _ = trained
    return open_run(folder)


@pytest.fixture(scope="module")
def frame(opened):
    """Its test days."""
    experiment, model = opened
    levels = experiment.settings.data.levels
    return predict(model, experiment.batches("test"), experiment.panel, levels=levels)


def test_the_file_holds_the_scores_of_the_run(opened, frame, tmp_path):
    """Bit for bit, with the run's id, and counted as they are."""
    experiment, model = opened
    path = tmp_path / "out" / "scores.parquet"
    written = export_predictions(experiment, model, path, run_id="r1")
    again = pl.read_parquet(path)
    assert again.drop("run_id").equals(frame)
    assert again["run_id"].unique().to_list() == ["r1"]
    assert written.path == path
    assert (written.rows, written.days, written.codes) == (
        frame.height, frame["date"].n_unique(), frame["code"].n_unique(),
    )  # fmt: skip
    assert written.horizons == (1, 5)
    assert written.not_finite == 0


def test_training_and_export_score_alike(experiment, tmp_path, monkeypatch):
    """What validation saw during training is what the opened run writes, to the last bit."""
    seen, gather = [], ValidationScores.add

    def add(self, forecast, labels, batch, *, loss):
        seen.append((self, batch["group_day"], batch["stock_id"], forecast.point.detach().clone()))
        gather(self, forecast, labels, batch, loss=loss)

    monkeypatch.setattr(ValidationScores, "add", add)
    _model, result = train_run(experiment, tmp_path / "run")
    passes = list(dict.fromkeys(id(one) for one, *_ in seen))
    per_epoch = [[part for part in seen if id(part[0]) == one] for one in passes]
    days = len(experiment.batches("valid"))
    complete = [parts for parts in per_epoch if len(parts) == days]
    best = complete[result.best_epoch]
    during = {
        (int(day), int(stock)): score.tolist()
        for _, group_day, stock_id, point in best
        for day, stock, score in zip(group_day, stock_id, point, strict=True)
    }

    again, reopened = open_run(tmp_path / "run")
    path = tmp_path / "valid.parquet"
    export_predictions(again, reopened, path, run_id="r", split="valid")
    written = pl.read_parquet(path)
    panel = experiment.panel
    day = np.searchsorted(panel.dates, written["date"].to_numpy())
    stock = np.searchsorted(panel.codes, written["code"].to_numpy().astype(panel.codes.dtype))
    column = [panel.horizons.index(horizon) for horizon in written["horizon"]]
    wanted = [during[int(d), int(s)][k] for d, s, k in zip(day, stock, column, strict=True)]
    assert written["score"].to_list() == wanted
    assert len(wanted) == len(during) * len(panel.horizons)


def test_the_rows_of_the_data_are_those_of_its_batches(opened):
    """Counted without reading a feature, they are the ones the batches come with."""
    experiment, _ = opened
    for split in ("valid", "test"):
        batches = experiment.batches(split)
        rows = {
            (int(d), int(s))
            for inputs, _ in batches
            for d, s in zip(inputs["group_day"], inputs["stock_id"], strict=True)
        }
        day, stock = batches.rows()
        assert len(day) == len(rows)
        assert set(zip(day.tolist(), stock.tolist(), strict=True)) == rows


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        pytest.param(lambda f: f, None, id="healthy"),
        pytest.param(lambda f: f.sample(fraction=1, shuffle=True, seed=0), None, id="shuffled"),
        pytest.param(lambda f: f[:-3], r"have 3 rows that are missing, such as", id="missing"),
        pytest.param(
            lambda f: pl.concat([f, f[5:7]]),
            r"have 2 rows that are there more than once",
            id="twice",
        ),
        pytest.param(
            lambda f: pl.concat([f, f[:1].with_columns(code=pl.lit("NONE"))]),
            r"have 1 rows that are not in the data, such as NONE on",
            id="extra",
        ),
        pytest.param(
            lambda f: pl.concat([f[:-1], f[:1]]), r"have 1 rows that are missing", id="same-count"
        ),
    ],
)
def test_rows_are_held_against_the_data(opened, frame, damage, says):
    """Missing, doubled and added rows are named; order does not matter."""
    experiment, _ = opened
    expected = expected_rows(experiment.batches("test"), experiment.panel)
    damaged = damage(frame)
    if says is None:
        check_rows(damaged, expected)
        return
    with pytest.raises(ArtifactError, match=says):
        check_rows(damaged, expected)


def test_nothing_is_left_where_the_rows_are_wrong(opened, tmp_path, monkeypatch):
    """A wrong prediction leaves the file that was there before, and no other."""
    experiment, model = opened
    path = tmp_path / "scores.parquet"
    path.write_text("before")
    monkeypatch.setattr(export_module, "predict", lambda *a, **k: predict(*a, **k)[1:])
    with pytest.raises(ArtifactError, match="1 rows that are missing"):
        export_predictions(experiment, model, path, run_id="r")
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_numbers_lost_on_the_way_to_disk_are_noticed(opened, tmp_path, monkeypatch):
    """What is read back must be what was scored."""
    experiment, model = opened
    monkeypatch.setattr(
        export_module.pl, "read_parquet", lambda p, f=pl.read_parquet: f(p).with_columns(score=0.5)
    )
    with pytest.raises(ArtifactError, match="other numbers than the model gave"):
        export_predictions(experiment, model, tmp_path / "s.parquet", run_id="r")


@pytest.mark.parametrize("style", list(OUTPUT_NAMES))
def test_old_names_hold_the_same_numbers(opened, frame, tmp_path, style):
    """A column per horizon, each number where its name says."""
    experiment, model = opened
    path = tmp_path / "old.parquet"
    written = export_predictions(experiment, model, path, run_id="r", names=style)
    assert written.rows == frame.height
    wide = pl.read_parquet(path)
    assert wide.columns[:3] == ["date", "code", "run_id"]
    assert wide.height * 2 == frame.height
    for horizon, name in zip((1, 5), names_of((1, 5), style), strict=True):
        long = frame.filter(horizon=horizon)
        both = wide.join(long, on=["date", "code"], how="inner", validate="1:1")
        assert both.height == wide.height
        for old, new in (
            (name, "score"),
            (f"{name}_q0.05", "q0.05"),
            (f"target_{horizon}d", "target"),
            (f"return_{horizon}d", "return"),
        ):
            assert both[old].equals(both[new], check_names=False)


def test_old_names_without_quantiles():
    """A frame of scores alone keeps its horizons apart."""
    long = pl.DataFrame(
        {"date": [1, 1], "code": ["a", "a"], "horizon": [1, 5], "score": [0.1, 0.2]}
    )
    assert old_columns(long, "old_horizon").rows(named=True) == [
        {"date": 1, "code": "a", "horizon_1": 0.1, "horizon_5": 0.2}
    ]


def test_every_old_name_is_understood_again():
    """The table is one to one; other names are no outputs."""
    for style in OUTPUT_NAMES:
        assert [horizon_of(name) for name in names_of((1, 5, 20), style)] == [1, 5, 20]
    for other in (
        "point",
        "horizon_",
        "horizon_05",
        "xhorizon_5",
        "horizon_5dd",
        "point_horizon_5d",
    ):
        assert horizon_of(other) is None


def test_unknown_names_are_refused(opened, tmp_path):
    """Before anything is predicted."""
    experiment, model = opened
    with pytest.raises(
        SettingsError, match=r"names is 'older', expected new, old \(point_horizon_5\)"
    ):
        export_predictions(experiment, model, tmp_path / "s.parquet", run_id="r", names="older")


def test_scores_that_are_not_finite_are_counted(opened, tmp_path):
    """They are written, for all to see, and said."""
    experiment, model = opened
    broken = experiment.model()
    broken.load_state_dict(model.state_dict())
    with torch.no_grad():
        for part in broken.head.parameters():
            part.fill_(torch.nan)
    written = export_predictions(experiment, broken, tmp_path / "s.parquet", run_id="r")
    assert written.not_finite == written.rows
