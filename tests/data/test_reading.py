"""Reading: every form of input that is accepted, and one clear sentence for each that is not."""

import datetime as dt
import gzip
import re

import polars as pl
import pytest

from flatline.data.prices import prices_from_frame, read_prices
from flatline.data.reading import find_files, typed, typed_dates
from flatline.errors import DataError

DAYS = [dt.date(2024, 1, 4), dt.date(2024, 1, 5), dt.date(2024, 1, 9)]


def bars(code="7203", **changes):
    """Three good days of one code."""
    columns = {
        "date": DAYS,
        "code": code if isinstance(code, list) else [code] * 3,
        "open": [10.0, 10.5, 11.0],
        "high": [11.0, 11.5, 12.0],
        "low": [9.0, 9.5, 10.0],
        "close": [10.5, 11.0, 11.5],
        "volume": [100, 200, 300],
    }
    return pl.DataFrame(columns | changes)


def refuses(message, call, *args, **options):
    """The call fails with a DataError of exactly this text."""
    with pytest.raises(DataError) as caught:
        call(*args, **options)
    assert re.fullmatch(message, str(caught.value)), str(caught.value)


def test_parquet_and_csv_give_the_same_prices(tmp_path):
    """The file format makes no difference, compressed or not."""
    bars().write_parquet(tmp_path / "a.parquet")
    bars().write_csv(tmp_path / "a.csv")
    (tmp_path / "b.csv.gz").write_bytes(gzip.compress((tmp_path / "a.csv").read_bytes()))
    expected = prices_from_frame(bars()).frame
    for name in ("a.parquet", "a.csv", "b.csv.gz"):
        assert read_prices(tmp_path / name).frame.equals(expected), name


def test_many_files_a_glob_and_a_folder_are_one_table(tmp_path):
    """However several files are named, their rows are read as one table."""
    bars("1").write_parquet(tmp_path / "x1.parquet")
    bars("2").write_parquet(tmp_path / "x2.parquet")
    expected = prices_from_frame(pl.concat([bars("1"), bars("2")])).frame
    named = [tmp_path / "x2.parquet", str(tmp_path / "x1.parquet")]
    for paths in (named, str(tmp_path / "x*.parquet"), tmp_path):
        assert read_prices(paths).frame.equals(expected)


def test_files_may_differ_in_their_optional_columns(tmp_path):
    """Where one file lacks adj_close, its rows continue from close."""
    bars("1").with_columns(adj_close=pl.col("close")).write_parquet(tmp_path / "x1.parquet")
    bars("2").write_parquet(tmp_path / "x2.parquet")
    prices = read_prices(tmp_path)
    assert prices.frame["adj_close"].equals(prices.frame["close"])


def test_csv_codes_keep_their_leading_zeros(tmp_path):
    """A code that looks like a number stays the text it is."""
    bars("0050").write_csv(tmp_path / "a.csv")
    assert read_prices(tmp_path / "a.csv").frame["code"].unique().to_list() == ["0050"]


def test_whole_number_codes_become_text():
    """Integers as codes are taken as their digits."""
    assert prices_from_frame(bars(7203)).frame["code"].unique().to_list() == ["7203"]


def test_columns_are_mapped(tmp_path):
    """A file's own column names are taken through the mapping."""
    own = bars().rename({"close": "Last", "code": "Ticker"})
    own.write_csv(tmp_path / "a.csv")
    prices = read_prices(tmp_path / "a.csv", columns={"close": "Last", "code": "Ticker"})
    assert prices.frame.equals(prices_from_frame(bars()).frame)


@pytest.mark.parametrize(
    "written",
    [
        ["2024-01-04", "2024-01-05", "2024-01-09"],
        ["2024/1/4", "2024/1/5", "2024/1/9"],
        ["20240104", "20240105", "20240109"],
        ["2024-01-04 00:00:00", "2024-01-05T09:00:00", "2024/01/09 15:00:00"],
        ["2024-01-04", "2024/1/5", "20240109"],
        [20240104, 20240105, 20240109],
        [dt.datetime(2024, 1, 4), dt.datetime(2024, 1, 5, 9), dt.datetime(2024, 1, 9)],
    ],
    ids=["iso", "slashes", "digits", "times", "mixed", "integers", "datetimes"],
)
def test_dates_are_read_as_people_write_them(written):
    """The usual ways to write a date give the same dates."""
    assert typed_dates(pl.Series("date", written), origin="x").to_list() == DAYS


def test_unsorted_rows_are_sorted():
    """The order of rows in the input makes no difference."""
    table = pl.concat([bars("2"), bars("1")])
    shuffled = table.sample(fraction=1.0, shuffle=True, seed=1)
    assert prices_from_frame(shuffled).frame.equals(prices_from_frame(table).frame)


def test_no_such_file(tmp_path):
    """A path that matches nothing is named."""
    path = str(tmp_path / "no*.parquet")
    refuses(
        f"input is '{re.escape(path)}', expected a Parquet or CSV file, a folder or a glob that "
        "matches one. Check the path.",
        read_prices,
        path,
    )
    refuses("input is an empty list, .*", find_files, [])


def test_a_file_that_is_no_parquet(tmp_path):
    """A wrong content under the right name is named."""
    path = tmp_path / "a.parquet"
    path.write_text("date,code\n2024-01-04,1\n")
    refuses(
        rf"{re.escape(str(path))} is no Parquet file \(.*\), expected one that can be read. "
        "Write or copy the file again.",
        read_prices,
        path,
    )


def test_a_file_of_unknown_kind(tmp_path):
    """A name that tells no format is refused."""
    path = tmp_path / "a.xlsx"
    path.write_text("x")
    refuses(r".* is called 'a.xlsx', expected a name that ends in .*", read_prices, path)


@pytest.mark.parametrize(("name", "found"), [("a.csv", "0 bytes"), ("b.csv", "0 rows")])
def test_an_empty_file(tmp_path, name, found):
    """A file without bytes or without rows is named."""
    (tmp_path / "a.csv").write_text("")
    bars().clear().write_csv(tmp_path / "b.csv")
    refuses(rf".*{name} has {found}, expected .*", read_prices, tmp_path / name)


def test_a_missing_column(tmp_path):
    """The missing column and the file are named, beside what there is."""
    path = tmp_path / "a.parquet"
    bars().drop("close").write_parquet(path)
    refuses(
        rf"{re.escape(str(path))} has no column 'close', expected one beside 'date', 'code', "
        r"'open', 'high', 'low', 'volume'. Add it, or name the column that holds it with columns=.",
        read_prices,
        path,
    )


def test_a_mapping_from_an_unknown_name():
    """A mapping that no column of ours has is refused."""
    refuses("columns= names 'price', expected some of date, code, .*", prices_from_frame, bars(),
            columns={"price": "close"})  # fmt: skip


def test_a_wrong_cell_is_named_with_file_column_and_row(tmp_path):
    """Text where a number belongs is found in the third row."""
    path = tmp_path / "a.csv"
    bars(close=["10.5", "", "oops"]).write_csv(path)
    refuses(
        rf"column 'close' of {re.escape(str(path))} is 'oops' in row 3, expected a number. "
        "Correct the file, or map another column with columns=.",
        read_prices,
        path,
    )


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("date", ["2024-01-04", "soon", "2024-01-09"], r"column 'date' .* 'soon' in row 2, .*"),
        ("date", [1.5, 2.5, 3.5], r"column 'date' .* 1.5 \(Float64\) in row 1, expected a date .*"),
        ("code", [1.5, 2.5, 3.5], r"column 'code' .* 1.5 \(Float64\) in row 1, expected text .*"),
        ("volume", [True, True, False], r"column 'volume' .* True \(Boolean\) in row 1, .*"),
    ],
)
def test_a_wrong_type(column, values, message):
    """A column of a type that cannot be meant is named with its first row."""
    refuses(message, prices_from_frame, bars(**{column: values}))


def test_typed_leaves_other_columns_out():
    """Only the columns asked for come through."""
    made = typed(bars(), origin="x", dates=("date",), numbers=("volume",))
    assert made.schema == {"date": pl.Date, "volume": pl.Float64}
