"""Quarantine: each defect that daily prices have, what becomes of it, and how it is counted."""

import datetime as dt

import polars as pl
import pytest

from flatline.data.prices import prices_from_frame
from flatline.data.quarantine import REASONS, PriceRules, quarantine_table
from flatline.errors import DataError, SettingsError

START = dt.date(2024, 1, 1)


def market(codes=4, days=10):
    """Good bars of several codes, none moving much."""
    dates = pl.DataFrame({"date": [START + dt.timedelta(days=day) for day in range(days)]})
    names = pl.DataFrame({"code": [str(1000 + code) for code in range(codes)]})
    rows = names.join(dates, how="cross")
    close = 100.0 + pl.int_range(pl.len()) % 7
    return rows.with_columns(
        open=close - 0.5, high=close + 1.0, low=close - 1.0, close=close, volume=pl.lit(1000)
    )


def spoilt(table, code, day, **values):
    """The table with other values in one row."""
    here = (pl.col("code") == code) & (pl.col("date") == START + dt.timedelta(days=day))
    return table.with_columns(
        pl.when(here).then(pl.lit(value)).otherwise(pl.col(name)).alias(name)
        for name, value in values.items()
    )


def found(prices):
    """Rows by reason."""
    return dict(prices.quarantine.select("reason", "rows").iter_rows())


NAN, INFINITE = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"volume": 0}, "no trade"),
        ({"open": 0.0}, "missing price"),
        ({"high": 0.0}, "missing price"),
        ({"close": None}, "missing price"),
        ({"close": NAN}, "missing price"),
        ({"low": -1.0}, "negative value"),
        ({"high": INFINITE}, "negative value"),
        ({"volume": -5}, "negative value"),
        ({"volume": None}, "missing volume"),
        ({"high": 95.0, "low": 105.0}, "high below low"),
        ({"open": 130.0}, "bar contradicts itself"),
        ({"low": 20.0}, "bar too wide"),
        (dict.fromkeys(("open", "high", "low", "close"), 1.0), "unconfirmed jump"),
        ({"date": None}, "no date or code"),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(map(str, value)),
)
def test_a_bad_row_is_put_aside_and_counted(values, reason):
    """One spoilt row is held under its reason, and every other row is untouched."""
    table = market()
    prices = prices_from_frame(spoilt(table, "1001", 5, **values))
    assert prices.quarantine.drop("example").rows() == [
        (reason, "quarantined", 1, 1, 0 if "date" in values else 1)
    ]
    clean = prices_from_frame(table).frame
    here = (pl.col("code") == "1001") & (pl.col("date") == START + dt.timedelta(days=5))
    assert prices.frame.equals(clean.filter(~here))
    assert prices.held["reason"].to_list() == [reason]


def test_an_example_names_code_and_day():
    """Each line of the account says where to look."""
    prices = prices_from_frame(spoilt(market(), "1002", 3, volume=0))
    assert prices.quarantine["example"].to_list() == ["1002 2024-01-04"]


def test_a_high_that_leaves_out_the_close_is_widened():
    """A small contradiction within the bar is repaired and counted, and the row is kept."""
    table = market()
    close = table.filter(pl.col("code") == "1001")["close"][5]
    prices = prices_from_frame(spoilt(table, "1001", 5, high=close - 0.2))
    assert prices.quarantine.select("verdict", "rows").rows() == [("repaired", 1)]
    assert prices.frame.height == table.height
    assert (prices.frame["high"] >= prices.frame["close"]).all()


def test_a_day_without_any_volume_is_no_trading_day():
    """A holiday with carried prices is in no calendar."""
    holiday = START + dt.timedelta(days=4)
    table = market().with_columns(
        volume=pl.when(pl.col("date") == holiday).then(0).otherwise("volume")
    )
    prices = prices_from_frame(table)
    assert found(prices) == {"no trading day": 4}
    assert holiday not in prices.calendar


def test_a_day_with_volume_for_nearly_none_is_no_trading_day():
    """From 97 % of the stocks without volume on, the day's other bars are put aside too."""
    day = START + dt.timedelta(days=4)
    for idle, lost in ((97, 100), (96, 0)):
        table = market(codes=100).with_columns(
            volume=pl.when((pl.col("date") == day) & (pl.col("code") < str(1000 + idle)))
            .then(0)
            .otherwise("volume")
        )
        assert found(prices_from_frame(table)).get("no trading day", 0) == lost


def test_a_day_with_few_of_the_usual_stocks_is_thin():
    """Two of forty stocks are an accident of the source; twenty are not."""
    day = START + dt.timedelta(days=7)
    for kept, lost in ((2, {"thin day": 2}), (20, {})):
        table = market(codes=40).filter(
            (pl.col("date") != day) | (pl.col("code") < str(1000 + kept))
        )
        assert found(prices_from_frame(table)) == lost


def test_equal_duplicates_leave_one_row():
    """Copies are dropped and counted."""
    table = market()
    twice = table.filter(pl.col("code") == "1001")[2:4]
    prices = prices_from_frame(pl.concat([table, twice, twice]))
    assert found(prices) == {"equal duplicate": 4}
    assert prices.frame.equals(prices_from_frame(table).frame)


def test_contradicting_duplicates_are_all_put_aside():
    """Of two closes for one key nobody knows the right one, however often one is repeated."""
    table = market()
    row = table.filter(pl.col("code") == "1001")[2:3]
    other = row.with_columns(pl.col("close") + 0.3)
    prices = prices_from_frame(pl.concat([table, row, other]))
    assert found(prices) == {"contradicting duplicate": 3}
    assert prices.frame.height == table.height - 1


def test_a_unit_error_that_reverts_costs_its_own_rows_only():
    """Three days at a hundredth, then back: three rows are held."""
    table = market()
    for day in (4, 5, 6):
        table = spoilt(table, "1000", day, open=1.04, high=1.06, low=1.03, close=1.05)
    assert found(prices_from_frame(table)) == {"unconfirmed jump": 3}


def test_a_crash_is_kept_once_it_lasted():
    """Five rows wait, then the new level is good and the fall is in the prices."""
    table = market(days=15).with_columns(
        pl.when((pl.col("code") == "1000") & (pl.col("date") >= START + dt.timedelta(days=5)))
        .then(pl.col(name) / 10)
        .otherwise(pl.col(name))
        .alias(name)
        for name in ("open", "high", "low", "close")
    )
    prices = prices_from_frame(table)
    assert found(prices) == {"unconfirmed jump": 5}
    assert prices.frame.filter(pl.col("code") == "1000")["close"][-1] < 11


def test_a_new_life_of_a_code_is_joined():
    """After months of stale rows another company trades at another level: no return of it."""
    table = market(days=120).with_columns(
        volume=pl.when(
            (pl.col("code") == "1000")
            & pl.col("date").is_between(START + dt.timedelta(10), START + dt.timedelta(90))
        )
        .then(0)
        .otherwise("volume")
    )
    late = (pl.col("code") == "1000") & (pl.col("date") > START + dt.timedelta(90))
    table = table.with_columns(
        pl.when(late).then(pl.col(name) * 30).otherwise(pl.col(name)).alias(name)
        for name in ("open", "high", "low", "close")
    )
    prices = prices_from_frame(table)
    assert found(prices) == {
        "no trade": 81,
        "unconfirmed jump": 5,
        "code back after a gap at another level: joined": 1,
    }
    moves = prices.frame.filter(pl.col("code") == "1000")["adj_close"].log().diff()
    assert moves.abs().max() < 0.1


def test_split_coefficients_pass_over_rows_put_aside():
    """A split dated on a day without trade counts from the next good row on."""
    table = market().with_columns(split_coefficient=pl.lit(1.0))
    table = spoilt(table, "1000", 4, split_coefficient=2.0, volume=0)
    late = (pl.col("code") == "1000") & (pl.col("date") >= START + dt.timedelta(days=4))
    table = table.with_columns(
        pl.when(late).then(pl.col(name) / 2).otherwise(pl.col(name)).alias(name)
        for name in ("open", "high", "low", "close")
    )
    prices = prices_from_frame(table)
    assert found(prices) == {"no trade": 1, "split: applied from this row on": 1}
    assert prices.frame["close"].min() > 99


def test_no_row_left():
    """Where nothing is good the error says why."""
    with pytest.raises(DataError) as caught:
        prices_from_frame(market().with_columns(volume=pl.lit(0)))
    assert str(caught.value) == (
        "no row is left of 40, 40 were put aside as 'no trading day' (such as 1000 2024-01-01), "
        "expected at least one good row. Check the input."
    )


def test_every_reason_is_reachable_in_the_order_given():
    """A row that fits two reasons counts once, under the first."""
    prices = prices_from_frame(spoilt(market(), "1001", 5, volume=0, open=0.0))
    assert found(prices) == {"missing price": 1}
    assert REASONS.index("missing price") < REASONS.index("no trade")


@pytest.mark.parametrize(("name", "value"), [("max_jump", 0.0), ("no_trade_share", 1.5)])
def test_a_limit_out_of_range_is_refused(name, value):
    """Limits are positive, shares at most 1."""
    with pytest.raises(SettingsError, match=f"^{name} is {value}, expected a "):
        PriceRules(**{name: value})


def test_limits_are_obeyed():
    """A wider limit lets a larger move through at once."""
    table = spoilt(market(), "1001", 5, open=40.0, high=41.0, low=39.0, close=40.0)
    assert found(prices_from_frame(table)) == {"unconfirmed jump": 1}
    assert found(prices_from_frame(table, rules=PriceRules(max_jump=1.5))) == {}


def test_the_account_is_printed_as_a_table():
    """The table has one row per finding and the columns of the account."""
    prices = prices_from_frame(spoilt(market(), "1001", 5, volume=0))
    table = quarantine_table(prices.quarantine)
    assert table.row_count == 1
    assert [column.header for column in table.columns] == prices.quarantine.columns
