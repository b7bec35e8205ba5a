"""What stands beside prices: the sector table and the index series."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import polars as pl

from flatline.data.reading import read_table, typed, typed_dates, typed_numbers, typed_texts
from flatline.errors import DataError

__all__ = ["Table", "read_index", "read_sectors"]

Table = pl.DataFrame | str | Path

# The first name that a table has is taken.
SECTOR_NAMES: Final = ("sector", "sector33_name", "industry")
SEGMENT_NAMES: Final = ("segment", "market_segment")


def load(table: Table, what: str) -> tuple[pl.DataFrame, str]:
    """A table and what to call it in an error."""
    if isinstance(table, pl.DataFrame):
        return table, f"the {what} table"
    return read_table(Path(table)), str(table)


def read_sectors(table: Table, *, since: pl.Series) -> tuple[pl.DataFrame, bool]:
    """A sector table as as_of, code, sector, segment, sorted by code and as_of; and if it is dated.

    Each row holds from its as_of on, until the code's next. The sector column may be called
    sector, sector33_name or industry, the segment column segment or market_segment.

    Args:
        table: A frame or file.
        since: One date, the as_of of a table that has no such column.

    Raises:
        DataError: A column is missing or of a wrong type, or a code has two sectors at once.
    """
    raw, origin = load(table, "sector")
    sector = next((name for name in SECTOR_NAMES if name in raw.columns), None)
    if sector is None:
        raise DataError(
            f"{origin} has no sector column, expected one of {', '.join(SECTOR_NAMES)} beside "
            f"{', '.join(repr(name) for name in raw.columns)}. Rename the column that holds it."
        )
    segment = next((name for name in SEGMENT_NAMES if name in raw.columns), None)
    made = typed(raw, origin=origin, texts=("code",))
    made = made.with_columns(
        as_of=typed_dates(raw["as_of"], origin=origin)
        if "as_of" in raw.columns
        else pl.lit(since.item(), pl.Date),
        sector=typed_texts(raw[sector], origin=origin).replace(["n/a", "N/A", "-"], None),
        segment=typed_texts(raw[segment], origin=origin)
        if segment
        else pl.lit(None, dtype=pl.String),
    )
    made = made.select("as_of", "code", "sector", "segment").drop_nulls(["as_of", "code"])
    made = made.unique().sort("code", "as_of", "sector", nulls_last=True)
    twice = made.filter(pl.struct("as_of", "code").is_duplicated())
    if twice.height:
        as_of, code = twice.row(0)[:2]
        raise DataError(
            f"{origin} has two different rows for code {code!r} as of {as_of}, expected one. "
            "Keep the one that is right."
        )
    return made, "as_of" in raw.columns


def read_index(
    table: Table, *, code: str | None = None, source: str | None = None
) -> tuple[pl.DataFrame, int]:
    """One index series as date, close, sorted by date; and how many rows without a value it had.

    Args:
        table: A frame or file with date, close and, where it holds several series, code and source.
        code: Which index.
        source: Which source of that index.

    Raises:
        DataError: Several series fit and none was chosen, or a date has two closes.
    """
    raw, origin = load(table, "index")
    for column, chosen in (("code", code), ("source", source)):
        raw = choose(raw, column, chosen, origin=origin)
    made = typed(raw, origin=origin, dates=("date",))
    made = made.with_columns(close=typed_numbers(column_of(raw, "close", origin), origin=origin))
    usable = made.filter(
        pl.col("date").is_not_null() & pl.col("close").is_finite() & (pl.col("close") > 0)
    )
    series = usable.unique().sort("date", "close")
    twice = series.filter(pl.col("date").is_duplicated())
    if twice.height:
        raise DataError(
            f"{origin} has two different closes on {twice['date'][0]}, expected one a date. "
            "Keep the one that is right."
        )
    if series.height == 0:
        raise DataError(
            f"{origin} has no row with a date and a positive close, expected an index series. "
            "Check index_code and index_source."
        )
    return series, made.height - usable.height


def column_of(raw: pl.DataFrame, name: str, origin: str) -> pl.Series:
    """A column that has to be there."""
    if name not in raw.columns:
        raise DataError(
            f"{origin} has no column {name!r}, expected one beside "
            f"{', '.join(repr(other) for other in raw.columns)}. Rename the column that holds it."
        )
    return raw[name]


def choose(raw: pl.DataFrame, column: str, chosen: str | None, *, origin: str) -> pl.DataFrame:
    """The rows of the chosen series; the only one where there is one."""
    option = f"index_{column}"
    if column not in raw.columns:
        if chosen is None:
            return raw
        raise DataError(
            f"{option} is {chosen!r} but {origin} has no column {column!r}, "
            f"expected one to choose by. Leave {option} out."
        )
    text = typed_texts(raw[column], origin=origin)
    found = sorted(text.drop_nulls().unique().to_list())
    if chosen is None and len(found) <= 1:
        return raw
    if chosen not in found:
        raise DataError(
            f"{option} is {chosen!r}, expected one of {', '.join(map(repr, found))} in {origin}. "
            f"Choose one with {option}=."
        )
    return raw.filter(text == chosen)
