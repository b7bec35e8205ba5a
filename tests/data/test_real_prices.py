"""Real prices: every defect that is known of the files is met, and counted as known."""

import datetime as dt

import numpy as np
import polars as pl
import pytest

from flatline.data.prices import read_prices
from flatline.errors import DataError

pytestmark = pytest.mark.real

TOKYO = "jp_tse_prices_*.parquet"
HOLIDAYS_2017 = ["07-17", "08-11", "09-18", "10-09", "11-03", "11-23"]
HOLIDAYS_2018 = [
    *("01-01", "01-02", "01-03", "01-08", "02-12", "03-21", "04-30", "05-03", "05-04", "07-16"),
    *("09-17", "09-24", "10-08", "11-23", "12-24", "12-31"),
]
PHANTOM = {f"2017-{day}" for day in HOLIDAYS_2017} | {f"2018-{day}" for day in HOLIDAYS_2018}
VOLUME_LOST = {"2015-12-25", "2016-07-11"}
UNIT_ERRORS = [
    ("9425", "2013-03-18"),
    ("4845", "2013-07-12"),
    ("3760", "2013-05-07"),
    ("3760", "2013-06-05"),
    ("7983", "2017-10-31"),
    ("3133", "2017-01-30"),
    ("3477", "2017-11-30"),
]


def balance(prices):
    """Rows that the account says were read."""
    aside = prices.quarantine.filter(pl.col("verdict") == "quarantined")["rows"].sum()
    return prices.frame.height + aside


def rows_of(prices, reason):
    """Rows counted under a reason."""
    return prices.quarantine.filter(pl.col("reason").str.starts_with(reason))["rows"].sum()


def largest_move(prices, *codes):
    """Largest close-to-close log move of these codes, or of all."""
    frame = prices.frame.filter(pl.col("code").is_in(codes)) if codes else prices.frame
    moves = frame.select(pl.col("close").log().diff().over("code").abs())
    return moves["close"].max()


@pytest.fixture(scope="module")
def tokyo(real_data):
    """The Tokyo panel, both files."""
    return read_prices(
        str(real_data / TOKYO),
        sectors=real_data / "jp_sectors.parquet",
        index=real_data / "jp_index_daily.parquet",
        index_code="TOPIX",
    )


def test_tokyo_accounts_for_every_row(tokyo):
    """2,788,648 + 3,310,605 rows are good or quarantined."""
    assert balance(tokyo) == 2_788_648 + 3_310_605
    assert tokyo.frame.height > 5_900_000


def test_tokyo_holidays_and_days_without_volume_are_no_trading_days(tokyo):
    """The 22 phantom days and the 2 days whose volume is lost, and no other."""
    closed = tokyo.held.filter(pl.col("reason") == "no trading day")["date"].unique()
    assert {str(day) for day in closed} == PHANTOM | VOLUME_LOST
    assert not closed.is_in(tokyo.calendar.implode()).any()
    assert dt.date(2020, 10, 1) not in tokyo.calendar
    assert dt.date(2024, 12, 25) not in tokyo.calendar
    assert rows_of(tokyo, "thin day") == 2


def test_tokyo_stale_rows_are_out(tokyo):
    """104,387 further rows without volume, in 1,157 codes."""
    line = tokyo.quarantine.filter(pl.col("reason") == "no trade")
    assert line.select("rows", "codes").rows() == [(104_387, 1_157)]


@pytest.mark.parametrize(("code", "day"), UNIT_ERRORS)
def test_tokyo_unit_errors_are_not_in_the_good_rows(tokyo, code, day):
    """Each named row is held, and the rows around it see no jump."""
    day = dt.date.fromisoformat(day)
    here = tokyo.frame.filter(pl.col("code") == code)
    assert day not in here["date"]
    near = here.filter((pl.col("date") - day).abs() < pl.duration(days=10))
    assert near.height >= 4
    assert near["close"].log().diff().abs().max() < 0.5


def test_tokyo_nonsense_adjustments_leave_no_trace(tokyo, real_data):
    """adj_close <= 0 is continued from close: the total return stays near the price's."""
    raw = pl.scan_parquet(str(real_data / TOKYO)).filter(pl.col("adj_close") <= 0)
    nonsense = raw.select("date", "code").collect()
    assert nonsense.height == 1_581
    kept = tokyo.frame.join(nonsense, on=["date", "code"], how="semi").height
    aside = tokyo.held.join(nonsense, on=["date", "code"], how="semi").height
    assert kept + aside == 1_581
    assert rows_of(tokyo, "adjusted close missing") == kept
    moves = tokyo.frame.filter(pl.col("code").is_in(["7944", "8919", "9421"])).select(
        (pl.col("adj_close") / pl.col("close")).log().diff().over("code")
    )
    assert moves["adj_close"].abs().max() < 0.1


@pytest.mark.parametrize("code", ["9090", "8919", "7564", "9204", "9225"])
def test_tokyo_second_lives_of_a_code_see_no_return_from_the_first(tokyo, code):
    """No move of a code that was used again crosses from one company to the next."""
    frame = tokyo.frame.filter(pl.col("code") == code)
    across = frame.select(
        move=pl.col("close").log().diff().abs(), gap=pl.col("date").diff().dt.total_days()
    ).filter(pl.col("gap") > 60)
    assert (across["move"] < 0.5).all()


def test_tokyo_sectors_and_index_come_along(tokyo):
    """The 11 codes without sector are kept and counted; TOPIX has no row on a closed day."""
    line = tokyo.quarantine.filter(pl.col("reason") == "code without sector: kept")
    assert line["codes"].to_list() == [11]
    assert tokyo.sectors["as_of"].n_unique() == 3
    assert dt.date(2020, 10, 1) not in tokyo.index["date"]
    assert rows_of(tokyo, "index on no trading day") == 3


def test_a_nikkei_without_source_is_refused(real_data):
    """N225 comes from three sources: one has to be chosen."""
    files = [str(real_data / "us_etf_prices_2005_2026.parquet")]
    options = {"index": real_data / "jp_index_daily.parquet", "index_code": "N225"}
    with pytest.raises(DataError, match="expected one of 'hjyssg', 'j-titan', 'suzuna'"):
        read_prices(files, **options)
    assert read_prices(files, index_source="suzuna", **options).index.height > 4_000


def test_sp500_splits_are_taken_out(real_data):
    """Raw prices with 473 splits: what jumps remain waited for confirmation."""
    path = real_data / "us_sp500_prices_1999_2021.parquet"
    prices = read_prices(path)
    assert balance(prices) == 2_402_891
    assert rows_of(prices, "no trade") == 187
    assert rows_of(prices, "split: applied") >= 465
    raw = pl.read_parquet(path, columns=["date", "code", "close"]).sort("code", "date")
    jumps = raw.select((pl.col("close").log().diff().over("code").abs() > 0.5).sum())
    assert jumps.item() == 431
    kept = prices.frame.select((pl.col("close").log().diff().over("code").abs() > 0.5).sum())
    assert kept.item() < 50
    # AAPL split 2:1 in 2000 and 2005, 7:1 in 2014, 4:1 in 2020.
    apple = prices.frame.filter((pl.col("code") == "AAPL") & (pl.col("date").dt.year() > 2000))
    assert apple["close"].log().diff().abs().max() < 0.25
    last = raw.filter(pl.col("code") == "AAPL")["close"][-1]
    assert apple["close"][-1] == pytest.approx(last * 2 * 2 * 7 * 4, rel=1e-5)
    assert largest_move(prices, "GNRC") < 0.5
    np.testing.assert_array_less(0, prices.frame["adj_close"].to_numpy())


def test_nasdaq_zeros_are_missing(real_data):
    """A bar with a zero in it is put aside; no zero is left."""
    prices = read_prices(
        real_data / "us_nasdaq_prices_2013_2017.parquet",
        sectors=real_data / "us_nasdaq_industry.parquet",
    )
    assert balance(prices) == 1_277_009
    assert rows_of(prices, "missing price") == 905
    assert prices.frame.select(pl.min_horizontal("open", "high", "low", "close")).min().item() > 0
    assert rows_of(prices, "missing price") + rows_of(prices, "no trade") == 905 + 318
    assert "n/a" not in prices.sectors["sector"]
    assert dt.date(2017, 12, 11) in prices.calendar
