"""Tables of a user's own, and real prices without normalisation."""

import datetime as dt

import numpy as np
import polars as pl
import pytest

import flatline as fl
from flatline.errors import DataError
from flatline.harness import Status

SHIFT = 3.0


def frame(first, days, *, shift=0.0, seed=0):
    """Twenty stocks a day, two features."""
    draw = np.random.default_rng([seed, first])
    day = np.repeat(np.arange(first, first + days), 20)
    dates = pl.Series(day).cast(pl.Int32).cast(pl.Date)
    level, other = draw.standard_normal(day.size) + shift, draw.standard_normal(day.size)
    return pl.DataFrame({"date": dates, "code": ["A"] * day.size, "level": level, "other": other})


def test_frames_are_compared_by_their_numeric_columns():
    """The day is not a feature, nor is a text."""
    found = fl.drift(frame(0, 300), frame(300, 80, shift=SHIFT))
    assert [column.name for column in found.columns] == ["level", "other"]
    assert found.failed[0].culprit.path == "level"
    assert found.table()["name"].to_list() == ["level", "other"]
    assert found.table()["level"][0] == pytest.approx(SHIFT, abs=0.2)


def test_arrays_are_compared_with_the_days_of_their_rows():
    """The same numbers as from frames."""
    train, later = frame(0, 300), frame(300, 80, shift=SHIFT)
    arrays = [x.select("level", "other").to_numpy() for x in (train, later)]
    days = tuple(x["date"].to_numpy() for x in (train, later))
    found = fl.drift(*arrays, day=days, columns=["level", "other"])
    assert found.columns == fl.drift(train, later).columns


def test_quiet_where_nothing_changed():
    """No verdict fails."""
    assert fl.drift(frame(0, 300), frame(300, 80)).failed == ()


@pytest.mark.parametrize(
    ("options", "says"),
    [({"day": "day"}, "expected 'day' among them"), ({"columns": ["x"]}, "expected 'x' among")],
)
def test_a_missing_column_is_named(options, says):
    """With the argument that corrects it."""
    with pytest.raises(DataError, match=says):
        fl.drift(frame(0, 300), frame(300, 80), **options)


def test_arrays_without_days_are_refused():
    """The remedy shows the argument."""
    with pytest.raises(DataError, match=r"day=\(train_days, later_days\)"):
        fl.drift(np.ones((3, 1)), np.ones((3, 1)))


def between(prices, first, last):
    """Rows of these years."""
    return prices.filter(pl.col("date").is_between(dt.date(first, 1, 1), dt.date(last, 12, 31)))


@pytest.mark.real
def test_levels_of_a_real_index_fail_and_are_named(real_data):
    """SPY as it is, learned on 1995 to 2015: ten spreads up; its returns stay."""
    prices = pl.read_parquet(real_data / "us_index_daily.parquet").filter(pl.col("code") == "SPY")
    prices = prices.sort("date").select(
        "date", "high", "low", "close", gain=pl.col("adj_close").log().diff()
    )
    found = fl.drift(between(prices, 1995, 2015), between(prices, 2022, 2026))
    by_check = {verdict.check: verdict for verdict in found.verdicts}
    for check in ("feature_levels_hold", "features_in_support", "columns_on_one_scale"):
        assert by_check[check].status == Status.FAIL
        assert set(by_check[check].culprit.path.split(", ")) == {"high", "low", "close"}
    assert found.table().filter(pl.col("name") == "close")["level"][0] > 6.5


@pytest.mark.real
def test_levels_of_a_real_market_fail_and_are_named(real_data):
    """Tokyo's prices keep their distribution, but stand at a thousand beside returns."""
    files = pl.scan_parquet(real_data / "jp_tse_prices_*.parquet").filter(pl.col("volume") > 0)
    codes = files.select(pl.col("code").unique().sort()).collect()["code"].gather_every(20)
    gain = pl.col("close").log().diff().over("code")
    prices = (
        files.filter(pl.col("code").is_in(codes.implode()))
        .sort("code", "date")
        .select(
            "date", "high", "low", "close", gain=gain, body=pl.col("close") / pl.col("open") - 1
        )
        .drop_nulls()
        .collect()
    )
    found = fl.drift(between(prices, 2013, 2021), between(prices, 2023, 2023))
    failed = {verdict.check: verdict.culprit.path for verdict in found.failed}
    assert failed == {"columns_on_one_scale": "high, low, close"}
