"""Categories of every stock on every date: the newest entry on or before the date."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from flatline.data.panel import Attribute

__all__ = ["categories"]


def categories(
    table: pl.DataFrame | None, dates: NDArray[np.datetime64], codes: NDArray[np.str_]
) -> dict[str, Attribute]:
    """The columns `sector` and `segment` of a dated table, as they were known on each date.

    Args:
        table: as_of, code, sector and perhaps segment; a row holds from its as_of until the
            code's next. A column without any value is left out.
        dates: Trading days, ascending. Shape (dates,), datetime64[D].
        codes: Stock codes, ascending. Shape (stocks,), str.

    Returns:
        Attributes of shape (dates, stocks): -1 before the first entry of a code, for codes
        without one, and where the entry has no value.

    Example:
        >>> from datetime import date
        >>> table = pl.DataFrame({"as_of": [date(2024, 1, 5)], "code": ["A"], "sector": ["Bank"]})
        >>> days = np.arange("2024-01-04", "2024-01-07", dtype="datetime64[D]")
        >>> found = categories(table, days, np.array(["A", "B"]))
        >>> found["sector"].code.tolist()
        [[-1, -1], [0, -1], [0, -1]]
    """
    if table is None:
        return {}
    names: list[str] = [name for name in ("sector", "segment") if name in table.columns]
    # By as_of: of two entries that fall on one trading day the newer one counts.
    table = table.filter(pl.col("code").is_in(codes.tolist())).sort("as_of", maintain_order=True)
    entry = _newest_entry(table, dates, codes)
    found: dict[str, Attribute] = {}
    for name in names:
        levels = table[name].drop_nulls().unique().sort().to_list()
        if not levels:
            continue
        level = table[name].replace_strict(levels, range(len(levels)), default=-1)
        # One more, for the stocks and dates without entry.
        lookup = np.append(level.fill_null(-1).to_numpy(), -1).astype(np.int16)
        found[name] = Attribute(tuple(levels), lookup[entry])
    return found


def _newest_entry(
    table: pl.DataFrame, dates: NDArray[np.datetime64], codes: NDArray[np.str_]
) -> NDArray[np.int32]:
    """Row of *table* in force, -1 where none is. Shape (dates, stocks)."""
    as_of = table["as_of"].cast(pl.Date).to_numpy().astype("datetime64[D]")
    day = np.searchsorted(dates, as_of)
    stock = np.searchsorted(codes, table["code"].to_numpy().astype(codes.dtype))
    row = np.arange(table.height, dtype=np.int32)
    dated = day < len(dates)
    entry = np.full((len(dates), len(codes)), -1, np.int32)
    np.maximum.at(entry, (day[dated], stock[dated]), row[dated])
    # Rows are numbered by as_of, so the largest number so far is the newest entry.
    np.maximum.accumulate(entry, axis=0, out=entry)
    return entry
