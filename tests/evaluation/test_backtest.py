"""The backtest of a run: its books beside benchmarks, and the report that shows them."""

import json

import numpy as np
import polars as pl
import pytest

from data_helpers import random_panel
from flatline.errors import ArtifactError, DataError, SettingsError
from flatline.evaluation.backtest import backtest_frames, backtest_run, read_predictions
from flatline.evaluation.books import BookRules, book_figures, keep_books
from flatline.evaluation.learners import score_panel
from flatline.evaluation.run import predict_test
from flatline.metrics.portfolio_sharpe import sharpe


@pytest.fixture(scope="module")
def panel():
    """A panel of noise over half a year."""
    return random_panel(days=130, stocks=25)


def frame_of(panel, seed=0, days=None):
    """Random scores for every horizon."""
    days = np.arange(20, len(panel.dates)) if days is None else days
    score = np.random.default_rng(seed).standard_normal((len(panel.dates), len(panel.codes)))
    wide = np.repeat(score[days][:, :, None], len(panel.horizons), 2)
    return score_panel(panel, days, wide)


@pytest.fixture(scope="module")
def report(panel):
    """Two forecasts, traded weekly."""
    frames = {"mine": frame_of(panel, 0), "other": frame_of(panel, 1)}
    return backtest_frames(frames, panel, rules=BookRules(book="top", top=5, rebalance="weekly"))


def test_every_forecast_stands_beside_the_universe(report, panel):
    """A row per forecast and horizon, the universe last of each."""
    rows = report.figures.select("horizon", "forecast").rows()
    names = ("mine", "other", "universe")
    assert rows == [(h, name) for h in sorted(panel.horizons) for name in names]


def test_figures_are_those_of_the_daily_rows(report):
    """Sharpe, return and turnover can be had from the daily rows again."""
    for row in report.figures.iter_rows(named=True):
        who = (pl.col("forecast") == row["forecast"]) & (pl.col("horizon") == row["horizon"])
        days = report.daily.filter(who)
        assert row["sharpe"] == pytest.approx(sharpe(days["net"].to_numpy()))
        assert row["annual_return"] == pytest.approx(252 * days["net"].mean())
        assert row["turnover"] == pytest.approx(days["turnover"].mean())
        assert row["book_hit_rate"] == pytest.approx((days["net"] > 0).sum() / len(days), abs=0.02)
        years = report.years.filter(who)
        assert years["net"].sum() == pytest.approx(days["net"].sum())
        assert years["days"].sum() == len(days) == row["book_days"]


def test_costs_are_between_gross_and_net(report):
    """What the gross return has above the net is the cost of the turnover."""
    gap = report.daily["gross"] - report.daily["net"]
    np.testing.assert_allclose(gap, 0.001 * report.daily["turnover"], atol=1e-15)


def test_the_first_forecast_is_held_against_each_other(report):
    """Its lead is the difference of the two ratios, inside its interval."""
    for horizon in report.figures["horizon"].unique():
        first, *rest = report.figures.filter(pl.col("horizon") == horizon).to_dicts()
        assert first["ahead"] is None
        for row in rest:
            assert row["ahead"] == pytest.approx(first["sharpe"] - row["sharpe"], abs=0.2)
            assert row["ahead_low"] < row["ahead"] < row["ahead_high"]


def test_sectors_add_up_to_the_book(report, panel):
    """A long-only book has all that it holds in sectors, net as gross."""
    for book in keep_books(frame_of(panel), panel, report.rules):
        who = (pl.col("forecast") == "mine") & (pl.col("horizon") == book.horizon)
        part = report.sectors.filter(who)
        held = book.result.held[book.result.first :].sum(1).mean()
        assert part["mean_gross"].sum() == pytest.approx(held)
        np.testing.assert_allclose(part["mean_net"], part["mean_gross"], atol=1e-12)


def test_only_what_the_first_forecast_scored_is_traded(panel):
    """Rows that another forecast has beyond the first one's make no difference."""
    mine = frame_of(panel, days=np.arange(60, 100))
    wide, narrow = (
        backtest_frames({"mine": mine, "other": frame_of(panel, 1, days)}, panel)
        for days in (np.arange(20, 130), np.arange(60, 100))
    )
    assert wide.figures.equals(narrow.figures)


def test_the_report_is_shown_and_written(report):
    """Tables name what they show, and the plain data is valid JSON."""
    titles = [table.title for table in report.tables()]
    assert titles == [
        "top 5 stocks, weekly, at a cost of 10 bp a side",
        "net return by calendar year",
        "largest sector exposures of mine, of capital",
    ]
    data = json.loads(json.dumps(report.as_data(), allow_nan=False))
    assert data["rules"] == {"book": "top", "top": 5, "rebalance": "weekly", "cost": 0.001}
    assert len(data["figures"]) == len(report.figures)


def test_a_run_is_traded_as_it_is_evaluated(experiment, trained):
    """The default book of the model's own scores is the one that `flatline evaluate` shows."""
    folder, model = trained
    found = backtest_run(folder)
    own = found.figures.filter(pl.col("forecast") == "atft_gat_fan").drop("forecast", "^ahead.*$")
    scored = predict_test(experiment, model)
    assert own.to_dicts() == book_figures(scored, experiment.panel).to_dicts()
    assert found.figures["forecast"].unique(maintain_order=True).to_list() == [
        "atft_gat_fan",
        "naive composite",
        "universe",
    ]


def test_scores_of_a_file_are_traded_in_their_place(experiment, trained, tmp_path):
    """The file's own scores, under its name, on the horizon that was asked for."""
    folder, model = trained
    upside_down = predict_test(experiment, model).with_columns(-pl.col("score"))
    upside_down.write_parquet(tmp_path / "mirror.parquet")
    found = backtest_run(folder, predictions=tmp_path / "mirror.parquet", horizon=5)
    assert set(found.figures["horizon"]) == {5}
    row = found.figures.row(0, named=True)
    assert row["forecast"] == "mirror"
    plain = backtest_run(folder, horizon=5).figures.row(0, named=True)
    # Sides change places, and drift apart only a little within a holding.
    assert row["sharpe_gross"] == pytest.approx(-plain["sharpe_gross"], abs=0.3)


def test_a_horizon_without_scores_is_refused(trained):
    """The message lists those there are."""
    with pytest.raises(SettingsError, match=r"^horizon is 7, expected one of \[1, 5\]\. "):
        backtest_run(trained[0], horizon=7)


def test_unusable_files_are_refused(tmp_path, panel):
    """One that is none, one that lacks a column, one of other stocks or days, one with doubles."""
    (tmp_path / "text.parquet").write_text("no parquet")
    with pytest.raises(ArtifactError, match=r"^predictions are .*text\.parquet, expected a Parq"):
        read_predictions(tmp_path / "text.parquet")
    with pytest.raises(ArtifactError, match=r"^predictions are .*none\.parquet, expected a Parq"):
        read_predictions(tmp_path / "none.parquet")
    frame = frame_of(panel)
    frame.drop("score").write_parquet(tmp_path / "bare.parquet")
    with pytest.raises(DataError, match=r"^columns \['score'\] are missing from "):
        read_predictions(tmp_path / "bare.parquet")
    strange = frame.with_columns(code=pl.lit("ZZZZ"))
    with pytest.raises(DataError, match=r"scored rows are not in the prices, expected all"):
        backtest_frames({"mine": strange}, panel)
    late = frame.with_columns(pl.col("date").dt.offset_by("90y"))
    with pytest.raises(DataError, match=r"scored rows are not in the prices, expected all"):
        backtest_frames({"mine": late}, panel)
    with pytest.raises(DataError, match=r"^horizon \d+ has two scores of one stock on one day"):
        backtest_frames({"mine": pl.concat([frame, frame])}, panel)
    with pytest.raises(DataError, match=r"^scores have 0 rows, expected some\. "):
        backtest_frames({"mine": frame.clear()}, panel)
