"""Prices: what the line of data starts from, daily bars that were judged and adjusted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import polars as pl

from flatline.data.judging import Finding, account, count, judge_rows
from flatline.data.quarantine import PriceRules
from flatline.data.reading import Paths, find_files, read_table, typed
from flatline.data.reference import Table, read_index, read_sectors
from flatline.errors import DataError

__all__ = ["Prices", "prices_from_frame", "read_prices"]

NEEDED: Final = ("open", "high", "low", "close", "volume")
OPTIONAL: Final = ("adj_close", "split_coefficient")
COLUMNS: Final = ("date", "code", *NEEDED, *OPTIONAL)


@dataclass(frozen=True, slots=True, eq=False)
class Prices:
    """Daily bars fit for use, and an account of those that are not.

    Splits and dividends are applied forward: the first row of a code keeps its price and
    later rows are multiplied, so no row depends on what comes after it.

    Args:
        frame: One good row per code and date, sorted by these: date (Date), code (String),
            open, high, low, close (Float64, adjusted for splits), volume (Float64, shares,
            adjusted for splits), adj_close (Float64, adjusted for splits and dividends).
        quarantine: One row per finding: reason, verdict (quarantined, repaired or noted), rows,
            codes, days (counts) and example. Rows read = rows of *frame* + rows quarantined.
        held: One row per quarantined row: date, code, reason.
        sectors: as_of (Date), code, sector, segment (String, null where unknown), sorted by code
            and as_of; a row holds from its as_of until the code's next. None without a table.
        index: date (Date), close (Float64), sorted by date. None without an index.
        calendar: The trading days, ascending, Date.
    """

    frame: pl.DataFrame
    quarantine: pl.DataFrame
    held: pl.DataFrame
    sectors: pl.DataFrame | None
    index: pl.DataFrame | None
    calendar: pl.Series


def read_prices(
    paths: Paths,
    *,
    columns: Mapping[str, str] | None = None,
    sectors: Table | None = None,
    index: Table | None = None,
    index_code: str | None = None,
    index_source: str | None = None,
    rules: PriceRules | None = None,
) -> Prices:
    """Read daily bars from Parquet or CSV files, judge and adjust them.

    Args:
        paths: A file, a folder, a glob, or a list of these; read as one table.
        columns: From our name (date, code, open, high, low, close, volume, adj_close,
            split_coefficient) to the file's, where they differ.
        sectors: A frame or file with code, sector and, if it changes over time, as_of.
        index: A frame or file with date, close and, if it holds several series, code and source.
        index_code: Which index of that file.
        index_source: Which source of that index.
        rules: The limits by which bars are judged.

    Raises:
        DataError: A file is missing, empty or unreadable; a column is missing or of a wrong
            type; several index series fit; no row is left.
    """
    check_mapping(columns)
    source = [(columns or {}).get(name, name) for name in COLUMNS]
    # Typed file by file, so that an error can name the file and its row.
    parts = [
        bars_of(read_table(path, keep=source), origin=str(path), columns=columns)
        for path in find_files(paths)
    ]
    return judge(
        pl.concat(parts, how="diagonal"),
        sectors=sectors,
        index=index,
        index_code=index_code,
        index_source=index_source,
        rules=rules or PriceRules(),
    )


def prices_from_frame(
    frame: pl.DataFrame,
    *,
    columns: Mapping[str, str] | None = None,
    sectors: Table | None = None,
    index: Table | None = None,
    index_code: str | None = None,
    index_source: str | None = None,
    rules: PriceRules | None = None,
) -> Prices:
    """Judge and adjust daily bars that are in memory already; as `read_prices` otherwise.

    Raises:
        DataError: A column is missing or of a wrong type, or no row is left.

    Example:
        >>> bars = pl.DataFrame({
        ...     "date": ["2024-01-04", "2024-01-05", "2024-01-08"],
        ...     "code": [7203, 7203, 7203],
        ...     "open": [10, 10, 11], "high": [11, 10, 12], "low": [9, 10, 11],
        ...     "close": [10, 10, 11], "volume": [500, 0, 800],
        ... })
        >>> prices = prices_from_frame(bars)
        >>> prices.frame["close"].to_list()
        [10.0, 11.0]
        >>> prices.quarantine.select("reason", "rows").rows()
        [('no trading day', 1)]
    """
    check_mapping(columns)
    if frame.height == 0:
        raise DataError("the frame has 0 rows, expected at least one. Check how it was made.")
    return judge(
        bars_of(frame, origin="the frame", columns=columns),
        sectors=sectors,
        index=index,
        index_code=index_code,
        index_source=index_source,
        rules=rules or PriceRules(),
    )


def check_mapping(columns: Mapping[str, str] | None) -> None:
    """Refuse a mapping to a name that we do not know."""
    for name in columns or {}:
        if name not in COLUMNS:
            raise DataError(
                f"columns= names {name!r}, expected some of {', '.join(COLUMNS)}. "
                "Map from our name to the file's."
            )


def bars_of(table: pl.DataFrame, *, origin: str, columns: Mapping[str, str] | None) -> pl.DataFrame:
    """The columns of a price table, named and typed as ours."""
    asked = columns or {}
    optional = [name for name in OPTIONAL if name in asked or name in table.columns]
    numbers = (*NEEDED, *optional)
    return typed(
        table, origin=origin, dates=("date",), texts=("code",), numbers=numbers, columns=columns
    )


def judge(
    rows: pl.DataFrame,
    *,
    sectors: Table | None,
    index: Table | None,
    index_code: str | None,
    index_source: str | None,
    rules: PriceRules,
) -> Prices:
    """Typed bars to Prices."""
    good, held, findings = judge_rows(rows, rules)
    if good.height == 0:
        worst = max(findings, key=lambda finding: finding.rows)
        raise DataError(
            f"no row is left of {rows.height}, {worst.rows} were put aside as {worst.reason!r} "
            f"(such as {worst.example}), expected at least one good row. Check the input."
        )
    calendar = good["date"].unique().sort()
    sector_table = index_table = None
    if sectors is not None:
        sector_table, dated = read_sectors(sectors, since=calendar[:1])
        findings += sector_findings(good, sector_table)
        if not dated:
            words = "sector table without as_of: taken as known from the first day"
            findings.append(count(sector_table.rename({"as_of": "date"}), words, "noted"))
    if index is not None:
        series, unusable = read_index(index, code=index_code, source=index_source)
        index_table = series.filter(
            (pl.col("date") < calendar[0]) | pl.col("date").is_in(calendar.implode())
        )
        off = series.join(index_table, on="date", how="anti").with_columns(code=pl.lit("index"))
        findings.append(count(off, "index on no trading day of the prices: left out", "noted"))
        findings.append(
            Finding("index without a value: left out", "noted", unusable, 1, 0, "index")
        )
        lacking = calendar.filter(~calendar.is_in(index_table["date"].implode()))
        days = lacking.rename("date").to_frame().with_columns(code=pl.lit("index"))
        words = "trading day without index: the market's mean return instead"
        findings.append(count(days, words, "noted"))
    findings = [finding for finding in findings if finding.rows]
    return Prices(good, account(findings), held, sector_table, index_table, calendar)


def sector_findings(good: pl.DataFrame, sectors: pl.DataFrame) -> list[Finding]:
    """Rows that are kept although their sector is unknown: never, or not yet on their date."""
    known = sectors.drop_nulls("sector").group_by("code").agg(since=pl.col("as_of").min())
    rows = good.select("date", "code").join(known, on="code", how="left", maintain_order="left")
    never = rows.filter(pl.col("since").is_null())
    early = rows.filter(pl.col("since") > pl.col("date"))
    return [
        count(never, "code without sector: kept", "noted"),
        count(early, "before the first sector snapshot: kept", "noted"),
    ]
