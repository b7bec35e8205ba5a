"""Prices: every row is accounted for, and none is judged by what comes after it."""

import datetime as dt

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flatline.data.market import make_market
from flatline.data.prices import prices_from_frame
from flatline.errors import DataError

START = dt.date(2024, 1, 1)
MONEY = ["open", "high", "low", "close"]


def messy(seed, codes=25, days=70):
    """Bars with every defect we know of, at random places."""
    rng = np.random.default_rng(seed)
    shape = (codes, days)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.03, shape), axis=1))
    split = np.where(rng.random(shape) < 0.01, rng.choice([0.5, 2.0, 3.0], shape), 1.0)
    told = np.where(rng.random(shape) < 0.005, 4.0, split)
    close /= np.cumprod(split, axis=1)
    close *= np.where(rng.random(shape) < 0.02, rng.choice([0.01, 0.1, 100.0], shape), 1.0)
    close[:3] *= np.where(np.arange(days) > days // 2, 5.0, 1.0)
    wick = np.exp(np.abs(rng.normal(0, 0.01, (3, *shape))))
    bars = {
        "open": close * wick[0],
        "high": close * wick[0] * wick[1] * np.where(rng.random(shape) < 0.02, 0.96, 1.0),
        "low": close / wick[2] * np.where(rng.random(shape) < 0.02, 0.4, 1.0),
        "close": close,
        "volume": rng.integers(1, 1000, shape).astype(float),
        "adj_close": close * np.where(rng.random(shape) < 0.03, -1.0, 1.0) * (1 + seed % 3),
        "split_coefficient": told,
    }
    bars["volume"][:, rng.random(days) < 0.05] = 0.0
    holes = {
        name: np.where(rng.random(shape) < 0.005, rng.choice([0, np.nan], shape), values)
        for name, values in bars.items()
    }
    frame = pl.DataFrame({name: values.ravel() for name, values in holes.items()}).with_columns(
        code=pl.Series(np.repeat([f"{code:02d}" for code in range(codes)], days)),
        date=pl.Series([START + dt.timedelta(days=day) for day in range(days)] * codes),
    )
    frame = frame.filter(pl.Series(rng.random(frame.height) > 0.02))
    doubled = frame.sample(5, seed=seed)
    changed = frame.sample(5, seed=seed + 1).with_columns(pl.col("close") * 1.01)
    keyless = frame.head(2).with_columns(code=pl.lit(None, dtype=pl.String))
    return pl.concat([frame, doubled, changed, keyless.select(frame.columns)])


@given(st.integers(0, 2**31))
@settings(max_examples=25, deadline=None)
def test_rows_in_are_good_or_quarantined(seed):
    """The balance is exact: nothing is dropped silently, nothing is made up."""
    table = messy(seed)
    prices = prices_from_frame(table)
    aside = prices.quarantine.filter(pl.col("verdict") == "quarantined")
    assert prices.frame.height + aside["rows"].sum() == table.height
    assert prices.held.height == aside["rows"].sum()
    counted = prices.held.group_by("reason").len("rows").sort("reason")
    assert counted.rows() == aside.select("reason", "rows").sort("reason").rows()


@given(st.integers(0, 2**31))
@settings(max_examples=25, deadline=None)
def test_good_rows_are_good(seed):
    """Every promise of Prices.frame holds whatever came in."""
    prices = prices_from_frame(messy(seed))
    frame = prices.frame
    assert frame.columns == ["date", "code", *MONEY, "volume", "adj_close"]
    values = frame.select(*MONEY, "volume", "adj_close").to_numpy()
    assert np.isfinite(values).all()
    assert (values > 0).all()
    assert (frame["high"] >= frame.select(pl.max_horizontal(MONEY)).to_series()).all()
    assert (frame["low"] <= frame.select(pl.min_horizontal(MONEY)).to_series()).all()
    assert not frame.select("code", "date").is_duplicated().any()
    assert frame.select("code", "date").equals(frame.select("code", "date").sort("code", "date"))
    assert prices.calendar.equals(frame["date"].unique().sort())


@given(st.integers(0, 2**31), st.integers(1, 69))
@settings(max_examples=40, deadline=None)
def test_a_row_is_judged_by_data_up_to_its_day(seed, last):
    """Cutting the input after a day leaves every verdict and value up to it bit-identical."""
    table = messy(seed)
    until = pl.col("date") <= START + dt.timedelta(days=last)
    whole, part = prices_from_frame(table), prices_from_frame(table.filter(until))
    assert part.frame.equals(whole.frame.filter(until))
    assert part.held.equals(whole.held.filter(until))


def test_the_embedded_market_passes_nearly_whole():
    """Clean prices lose next to nothing (a fat tail may wait to be confirmed)."""
    market = make_market("tiny")
    prices = prices_from_frame(market.prices, sectors=market.sectors, index=market.index)
    assert prices.frame.height >= 0.999 * market.prices.height
    assert prices.index.columns == ["date", "close"]
    assert prices.sectors.columns == ["as_of", "code", "sector", "segment"]


def bars(days=6):
    """Good bars of two codes."""
    dates = [START + dt.timedelta(days=day) for day in range(days)]
    return pl.DataFrame({"date": dates * 2, "code": ["1"] * days + ["2"] * days}).with_columns(
        *(pl.lit(10.0).alias(name) for name in MONEY), volume=pl.lit(5)
    )


@pytest.mark.parametrize("sector", ["sector", "sector33_name", "industry"])
@pytest.mark.parametrize("segment", ["segment", "market_segment", None])
def test_sector_tables_are_taken_under_their_own_names(sector, segment):
    """The columns of the usual tables are known; what is absent is null."""
    table = pl.DataFrame({"code": ["1", "2"], sector: ["Banks", "n/a"]})
    if segment:
        table = table.with_columns(pl.lit("Prime").alias(segment))
    prices = prices_from_frame(bars(), sectors=table)
    level = "Prime" if segment else None
    assert prices.sectors.rows() == [(START, "1", "Banks", level), (START, "2", None, level)]
    # What is known today may not have been known then: that is said.
    words = "sector table without as_of: taken as known from the first day"
    noted = prices.quarantine.filter(pl.col("reason") == words)
    assert noted.select("verdict", "rows").rows() == [("noted", 2)]


def test_unknown_sectors_are_kept_and_counted():
    """Rows without sector stay; so do rows before the first snapshot of theirs."""
    table = pl.DataFrame({"as_of": [START + dt.timedelta(days=2)], "code": [1], "sector": ["A"]})
    prices = prices_from_frame(bars(), sectors=table)
    assert prices.frame.height == 12
    assert prices.quarantine.select("reason", "verdict", "rows").rows() == [
        ("code without sector: kept", "noted", 6),
        ("before the first sector snapshot: kept", "noted", 2),
    ]


def test_a_code_with_two_sectors_at_once_is_refused():
    """A contradiction in the sector table is an error that names it."""
    table = pl.DataFrame({"as_of": ["2024-01-01"] * 2, "code": ["1"] * 2, "sector": ["A", "B"]})
    with pytest.raises(DataError, match="two different rows for code '1' as of 2024-01-01"):
        prices_from_frame(bars(), sectors=table)
    with pytest.raises(DataError, match=r"^the sector table has no sector column, "):
        prices_from_frame(bars(), sectors=table.drop("sector"))


INDEX = pl.DataFrame(
    {
        "date": [START, START, START + dt.timedelta(days=1), START + dt.timedelta(days=9)],
        "code": ["N225", "N225", "N225", "TOPIX"],
        "close": [1.0, 2.0, 3.0, 4.0],
        "source": ["a", "b", "a", "c"],
    }
)


@pytest.mark.parametrize(
    ("options", "option", "found"),
    [
        ({}, "index_code is None", "'N225', 'TOPIX'"),
        ({"index_code": "N225"}, "index_source is None", "'a', 'b'"),
        ({"index_code": "DAX"}, "index_code is 'DAX'", "'N225', 'TOPIX'"),
    ],
)
def test_an_ambiguous_index_is_refused(options, option, found):
    """One sentence names what there is to choose from."""
    with pytest.raises(DataError) as caught:
        prices_from_frame(bars(), index=INDEX, **options)
    assert str(caught.value) == (
        f"{option}, expected one of {found} in the index table. "
        f"Choose one with {option.split()[0]}=."
    )


def test_an_index_is_chosen_by_code_and_source():
    """The chosen series comes through, on trading days."""
    prices = prices_from_frame(bars(), index=INDEX, index_code="N225", index_source="a")
    assert prices.index.rows() == [(START, 1.0), (START + dt.timedelta(days=1), 3.0)]
    prices = prices_from_frame(bars(), index=INDEX, index_code="TOPIX")
    assert prices.index.height == 0
    # An index that ends early, or never fits, is not replaced in silence.
    assert prices.quarantine.select("reason", "verdict", "rows").rows() == [
        ("index on no trading day of the prices: left out", "noted", 1),
        ("trading day without index: the market's mean return instead", "noted", 6),
    ]


def test_an_index_with_two_closes_a_day_is_refused():
    """Without a source column a contradiction cannot be chosen away."""
    table = INDEX.filter(pl.col("code") == "N225").drop("code", "source")
    with pytest.raises(DataError, match="two different closes on 2024-01-01"):
        prices_from_frame(bars(), index=table)


def test_an_empty_frame_is_refused():
    """No row in, one clear error."""
    with pytest.raises(DataError, match=r"^the frame has 0 rows, "):
        prices_from_frame(bars().clear())
