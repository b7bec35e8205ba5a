"""Prices: what the data line starts from, validated daily bars."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

__all__ = ["Prices", "prices_from_frame"]

COLUMNS = ("date", "code", "open", "high", "low", "close", "volume", "adj_close")


@dataclass(frozen=True, slots=True, eq=False)
class Prices:
    """Daily bars fit for use, and an account of those that are not.

    Args:
        frame: One good row per (code, date), sorted by code and date: date (Date), code
            (String), open, high, low, close (Float64, adjusted for splits), volume
            (Float64, shares, adjusted for splits), adj_close (Float64, adjusted for
            splits and dividends).
        quarantine: One row per reason: reason, verdict, rows, codes, days, example.
        sectors: as_of (Date), code, sector, segment (String, null where unknown), sorted by
            code and as_of; a row holds from its as_of until the next. None if there is no table.
        index: date (Date), close (Float64), sorted by date. None if there is no index.
        calendar: The trading days, ascending. Date.
    """

    frame: pl.DataFrame
    quarantine: pl.DataFrame
    sectors: pl.DataFrame | None
    index: pl.DataFrame | None
    calendar: pl.Series


def prices_from_frame(
    frame: pl.DataFrame,
    *,
    sectors: pl.DataFrame | None = None,
    index: pl.DataFrame | None = None,
) -> Prices:
    """Check daily bars that are in memory already."""
    money = ("open", "high", "low", "close")
    if "adj_close" not in frame.columns:
        frame = frame.with_columns(adj_close=pl.col("close"))
    good = frame.select(
        pl.col("date").cast(pl.Date),
        pl.col("code").cast(pl.String),
        *(pl.col(name).cast(pl.Float64) for name in money),
        pl.col("volume").cast(pl.Float64),
        pl.col("adj_close").cast(pl.Float64),
    ).sort("code", "date")
    schema = {"reason": pl.String, "verdict": pl.String, "rows": pl.Int64, "codes": pl.Int64}
    quarantine = pl.DataFrame(schema=schema | {"days": pl.Int64, "example": pl.String})
    return Prices(good, quarantine, sectors, index, good["date"].unique().sort())
