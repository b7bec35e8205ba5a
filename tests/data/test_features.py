"""Features: what they are, against slow loops, and that they never see the future."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bars import assert_same_bits, prices_of, random_bars, random_index, random_sectors
from flatline.data import features as features_module
from flatline.data.feature_rows import Feature
from flatline.data.feature_windows import lag, spread, window
from flatline.data.features import ALL_FEATURES, FEATURES, build_features, describe_features
from flatline.errors import DataError, SettingsError
from slow_features import NAN, OWN, TEXTBOOK, SlowGroups, slow_column

ALL = tuple(ALL_FEATURES)
MUST_HAVE = (
    "volume_ratio_20",
    "gap",
    "close_location",
    "range",
    "range_ratio_20",
    "body",
    "return_1",
    "return_5",
    "volatility_20",
    "log_turnover",
)

LONG = random_bars(seed=3, stocks=3, days=300)
COMPUTED = build_features(prices_of(LONG), features=[*OWN, *TEXTBOOK])


@pytest.mark.parametrize("name", [*OWN, *TEXTBOOK])
def test_is_what_a_slow_loop_over_the_stocks_own_rows_finds(name):
    """Every feature of a stock's own bars equals its formula, row by row."""
    np.testing.assert_allclose(COMPUTED[name], slow_column(LONG, name), rtol=2e-6, atol=1e-7)


@pytest.mark.parametrize("name", [*OWN, *TEXTBOOK])
def test_is_unknown_until_its_history_is_full(name):
    """A feature is NaN, never 0, exactly as long as the stock has too few rows."""
    age = LONG.select(pl.int_range(pl.len()).over("code")).to_series().to_numpy()
    expected = age < ALL_FEATURES[name].history - 1
    np.testing.assert_array_equal(np.isnan(COMPUTED[name].to_numpy()), expected)


# --- groups ------------------------------------------------------------------------------


def test_group_features_are_what_slow_loops_over_days_find():
    """Market, sector and index features equal their formulas on a market with gaps."""
    frame = random_bars(seed=5, stocks=7, days=100, missing=0.03)
    sectors, index = random_sectors(frame), random_index(frame)
    dates = frame["date"].unique().sort().to_list()
    names = [f.name for f in features_module.GROUP_FEATURES]
    found = build_features(prices_of(frame, sectors=sectors, index=index), features=names)
    slow = SlowGroups(frame, sectors, index, dates)
    expected = {name: [] for name in names}
    for _, bars in frame.group_by("code", maintain_order=True):
        for i in range(bars.height):
            for name, value in slow.row(bars.to_dict(as_series=False), i).items():
                expected[name].append(value)
    for name in names:
        np.testing.assert_allclose(found[name], expected[name], rtol=2e-5, atol=1e-7, err_msg=name)
        assert found[name].is_not_nan().mean() > 0.3, name


def test_a_stock_without_sector_has_no_sector_features():
    """Before the first entry of the sector table, and without a table, they are unknown."""
    frame = random_bars()
    sectors = random_sectors(frame)
    names = ["sector_return_1", "sector_dispersion", "sector_relative_1"]
    known = build_features(prices_of(frame, sectors=sectors), features=names)
    early = known.filter(pl.col("date") < sectors["as_of"].min())
    assert early.height
    assert early.select(pl.all_horizontal(pl.col(names).is_nan()).all()).item()
    none = build_features(prices_of(frame), features=names)
    assert none.select(pl.all_horizontal(pl.col(names).is_nan()).all()).item()


def test_a_lone_stock_is_not_compared_with_itself():
    """With one stock there is no market to be relative to: unknown, not 0."""
    found = build_features(prices_of(random_bars(stocks=1)), features=["market_relative_5"])
    assert found["market_relative_5"].is_nan().all()


# --- no future ---------------------------------------------------------------------------


@pytest.mark.parametrize("last_day", [0, 1, 26, 45, 70, 133, 148])
def test_truncating_the_future_changes_no_bit_of_the_past(last_day):
    """Features up to day t are the same bits whether or not later days exist."""
    frame = random_bars(seed=8, days=150)
    index, sectors = random_index(frame), random_sectors(frame)
    dates = frame["date"].unique().sort()
    whole = build_features(prices_of(frame, sectors=sectors, index=index), features=ALL)

    def until(table, column="date"):
        return table.filter(pl.col(column) <= dates[last_day])

    part = prices_of(until(frame), sectors=until(sectors, "as_of"), index=until(index))
    assert_same_bits(build_features(part, features=ALL), until(whole))


def test_a_feature_that_sees_the_future_is_caught(monkeypatch):
    """The comparison of bits can fail: a mean over all rows shows in the past."""
    centred = Feature("gap", 1, "leaks", lambda r: r.close / r.close.mean())
    monkeypatch.setitem(ALL_FEATURES, "gap", centred)
    frame = random_bars(seed=8)
    past = frame.filter(pl.col("date") < pl.date(2024, 4, 1))
    whole = build_features(prices_of(frame), features=["gap"])
    with pytest.raises(AssertionError, match="gap"):
        assert_same_bits(
            build_features(prices_of(past), features=["gap"]),
            whole.filter(pl.col("date") < pl.date(2024, 4, 1)),
        )


def test_another_stock_changes_no_bit_of_a_stocks_own_features():
    """Only market, sector and index features know of other stocks."""
    frame = random_bars(seed=9, days=150)
    own = [*OWN, *TEXTBOOK]
    others = frame.filter(pl.col("code") != "1000")
    alone = build_features(prices_of(others), features=own)
    among = build_features(prices_of(frame), features=own)
    assert_same_bits(alone, among.filter(pl.col("code") != "1000"))


def test_working_in_blocks_changes_no_bit(monkeypatch):
    """How many stocks are computed at a time is of no consequence."""
    prices = prices_of(random_bars(seed=10), sectors=random_sectors(random_bars(seed=10)))
    whole = build_features(prices, features=ALL)
    monkeypatch.setattr(features_module, "BLOCK_ROWS", 100)
    assert_same_bits(build_features(prices, features=ALL), whole)


# --- dividends ---------------------------------------------------------------------------


def test_a_dividend_is_part_of_the_return():
    """A price fall by the dividend paid is no loss."""
    frame = two_rows(close=[100.0, 98.0], adj_close=[98.0, 98.0])
    assert build_features(prices_of(frame), features=["return_1"])["return_1"][1] == 0.0


@pytest.mark.parametrize("adj_close", [[0.0, 98.0], [-3.0, 98.0], [98.0, 9.0], [1.0, 98.0], None])
def test_a_senseless_adjusted_close_is_not_used(adj_close):
    """Where the adjustment cannot be a dividend, the plain close gives the return."""
    frame = two_rows(close=[100.0, 98.0], adj_close=adj_close or [None, None])
    found = build_features(prices_of(frame), features=["return_1"])["return_1"][1]
    assert found == pytest.approx(-0.02)


def two_rows(*, close, adj_close):
    """A stock of two days whose bars are their closes."""
    dates = np.array(["2024-01-04", "2024-01-05"], "datetime64[D]")
    bar = {"date": dates, "code": ["A", "A"]}
    bar |= dict.fromkeys(("open", "high", "low", "close"), close)
    frame = pl.DataFrame(bar | {"volume": [1.0, 1.0], "adj_close": adj_close})
    return frame.with_columns(pl.col("adj_close").cast(pl.Float64))


def test_a_later_dividend_leaves_earlier_features_alone():
    """Adjusted closes are rescaled by every later dividend; only their ratios enter."""
    frame = random_bars(seed=11)
    rescaled = frame.with_columns(pl.col("adj_close") * 0.5)
    assert_same_bits(
        build_features(prices_of(rescaled), features=ALL),
        build_features(prices_of(frame), features=ALL),
    )


# --- degenerate bars ---------------------------------------------------------------------


def test_a_flat_stock_gets_no_infinity():
    """Bars without height, move or trade give the middle, 0 or unknown, never infinity."""
    flat = random_bars(stocks=1, days=70, missing=0.0).with_columns(
        *(pl.lit(10.0).alias(name) for name in ("open", "high", "low", "close", "adj_close")),
        volume=pl.lit(0.0),
    )
    found = build_features(prices_of(flat), features=ALL)
    values = found.drop("date", "code").to_numpy()
    assert not np.isinf(values).any()
    assert (found["close_location"] == 0.5).all()
    assert found["volatility_20"][-1] == 0.0
    for unknown in ("reversal_5", "rsi_14", "range_ratio_20", "log_turnover", "volume_ratio_20"):
        assert found[unknown].is_nan().all(), unknown


# --- windows -----------------------------------------------------------------------------


@given(st.data())
def test_a_window_combines_exactly_its_own_rows(data):
    """Window, lag and spread equal loops over slices, on stocks of any length."""
    lengths = data.draw(st.lists(st.integers(1, 12), min_size=1, max_size=4))
    rows = data.draw(st.integers(1, 9))
    age = np.concatenate([np.arange(n, dtype=np.int32) for n in lengths])
    x = data.draw(
        st.lists(st.floats(-1e3, 1e3), min_size=len(age), max_size=len(age)).map(np.array)
    )
    for i, own in enumerate(age):
        part = x[i - rows + 1 : i + 1] if own >= rows - 1 else np.array([NAN])
        assert window(x, age, rows)[i] == pytest.approx(part.sum(), abs=1e-9, nan_ok=True)
        highest = window(x, age, rows, np.maximum)[i]
        assert highest == pytest.approx(part.max(), abs=0, nan_ok=True)
        earlier = x[i - rows] if own >= rows else NAN
        assert lag(x, age, rows)[i] == pytest.approx(earlier, abs=0, nan_ok=True)
        if rows > 1 and own >= rows - 1:
            size = np.abs(part).max()
            assert spread(x, age, rows)[i] == pytest.approx(
                part.std(ddof=1), abs=1e-5 * size + 1e-9
            )


def test_a_wild_value_leaves_no_trace_behind_its_window():
    """A window's sum is the same bits whether or not an enormous value came before."""
    age = np.arange(50, dtype=np.int32)
    calm = np.random.default_rng(0).normal(size=50)
    wild = calm.copy()
    wild[10] = 1e18
    np.testing.assert_array_equal(window(wild, age, 20)[30:], window(calm, age, 20)[30:])


# --- names and errors --------------------------------------------------------------------


def test_the_table_of_features_is_complete():
    """About 32 by default, each with one line of meaning; the planted names are among them."""
    assert len(FEATURES) == 32
    assert set(MUST_HAVE) <= set(FEATURES)
    table = describe_features(ALL)
    assert table["name"].to_list() == list(ALL)
    assert (table["meaning"].str.len_chars() > 5).all()
    assert table["meaning"].n_unique() == len(ALL)
    assert set(ALL) == {*OWN, *TEXTBOOK, *(f.name for f in features_module.GROUP_FEATURES)}


def test_an_unknown_feature_is_refused_with_the_nearest_name():
    """A slip in a name costs no search."""
    message = (
        r"feature is 'volume_ratio_2', expected one of the 39 known\. "
        r"Did you mean 'volume_ratio_20'\?"
    )
    with pytest.raises(SettingsError, match=message):
        describe_features(["volume_ratio_2"])


@pytest.mark.parametrize("names", [[], ["gap", "gap"]])
def test_no_feature_or_one_twice_is_refused(names):
    """The names of a panel's columns are a set of at least one."""
    with pytest.raises(SettingsError, match=r"expected at least one name, each once\. Leave"):
        build_features(prices_of(random_bars()), features=names)


def test_rows_out_of_order_are_refused():
    """Rows that are not sorted by code and date would give nonsense in silence."""
    frame = random_bars()
    message = "price rows are out of order or doubled, expected one row per code and date, sorted"
    for wrong in (
        frame.reverse(),
        pl.concat([frame[:1], frame]),
        pl.concat([frame[9:], frame[:9]]),
    ):
        with pytest.raises(DataError, match=message):
            build_features(prices_of(wrong, calendar=frame["date"].unique().sort()))


def test_a_date_outside_the_calendar_is_refused():
    """Frame and calendar belong together."""
    frame = random_bars()
    calendar = frame["date"].unique().sort()
    with pytest.raises(DataError, match=r"price date is 2024-01-01, expected a day of the calen"):
        build_features(prices_of(frame, calendar=calendar[1:]))
    with pytest.raises(DataError, match="prices have 0 rows"):
        build_features(prices_of(frame[:0], calendar=calendar))
