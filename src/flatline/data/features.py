"""Point-in-time features from daily bars.

Windows count a stock's own good rows and end on the row's day. A feature
whose window is not full is NaN, never 0. Returns include dividends. Groups
(market, sector) are equal-weight means of one-day returns over all stocks.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from flatline.data.attributes import categories
from flatline.data.feature_days import DayTables, day_tables
from flatline.data.feature_group import GROUP_FEATURES
from flatline.data.feature_price import PRICE_FEATURES
from flatline.data.feature_rows import Feature, Layout, StockRows, gross_returns, lay_out
from flatline.data.feature_volume import VOLUME_FEATURES
from flatline.data.panel import Attribute
from flatline.data.prices import Prices
from flatline.errors import SettingsError

__all__ = ["ALL_FEATURES", "FEATURES", "build_features", "describe_features"]

ALL_FEATURES: dict[str, Feature] = {
    feature.name: feature for feature in (*PRICE_FEATURES, *VOLUME_FEATURES, *GROUP_FEATURES)
}

# Nearly copies of a neighbour: there for the asking.
ON_REQUEST = frozenset(
    {
        "return_2",
        "return_10",
        "downside_volatility_20",
        "distance_mean_5",
        "volume_ratio_60",
        "turnover_ratio_20",
        "sector_return_5",
    }
)

FEATURES: tuple[str, ...] = tuple(name for name in ALL_FEATURES if name not in ON_REQUEST)

# Columns of this many rows stay in the cache, and the allocator keeps their memory.
BLOCK_ROWS = 100_000


def describe_features(names: Sequence[str] = FEATURES) -> pl.DataFrame:
    """What each feature is: name, history (own rows needed), meaning.

    Example:
        >>> describe_features(["gap"]).row(0)
        ('gap', 2, 'open over the close before, less 1')
    """
    chosen = choose_features(names)
    return pl.DataFrame(
        [(f.name, f.history, f.meaning) for f in chosen],
        schema=["name", "history", "meaning"],
        orient="row",
    )


def choose_features(names: Sequence[str]) -> tuple[Feature, ...]:
    """The features of these names.

    Raises:
        SettingsError: There is no such feature, a name comes twice, or there are none.
    """
    for name in names:
        if name not in ALL_FEATURES:
            near = difflib.get_close_matches(name, ALL_FEATURES, n=1, cutoff=0.0)[0]
            raise SettingsError(
                f"feature is {name!r}, expected one of the {len(ALL_FEATURES)} known. "
                f"Did you mean {near!r}?"
            )
    if len(set(names)) < len(names) or not names:
        raise SettingsError(
            f"features are {list(names)}, expected at least one name, each once. "
            "Leave doubled names out."
        )
    return tuple(ALL_FEATURES[name] for name in names)


def build_features(prices: Prices, *, features: Sequence[str] = FEATURES) -> pl.DataFrame:
    """Point-in-time features of every good row.

    Args:
        prices: Validated daily bars.
        features: Names of the columns, of `ALL_FEATURES`.

    Returns:
        date, code and one Float32 column per feature, NaN where unknown; the rows and
        their order are those of `prices.frame`.

    Raises:
        SettingsError: There is no feature of that name.
        DataError: The prices are empty or out of order.

    Example:
        >>> from datetime import date
        >>> from flatline.data.prices import prices_from_frame
        >>> bar = {"open": 10.0, "high": 11.0, "low": 10.0, "close": 11.0, "volume": 100}
        >>> days = [date(2024, 1, 4), date(2024, 1, 5)]
        >>> prices = prices_from_frame(pl.DataFrame([{"date": d, "code": "A"} | bar for d in days]))
        >>> build_features(prices, features=["body", "return_1"])["return_1"].to_list()
        [nan, 0.0]
    """
    chosen = choose_features(features)
    context = read_context(prices)
    blocks = [block for _, block in feature_blocks(context, chosen)]
    columns = np.concatenate(blocks)
    named = {feature.name: columns[:, j] for j, feature in enumerate(chosen)}
    return prices.frame.select("date", "code").with_columns(**named)


@dataclass(frozen=True, slots=True, eq=False)
class Context:
    """What all features of one set of prices share.

    Args:
        frame: The bars.
        layout: The place of every row.
        gross: Total return to the stock's row before, as a ratio. Shape (rows,).
        daily: Return since the trading day before, NaN where the stock has no row on
            it. Shape (rows,).
        sector: Position of the sector of each row, -1 where unknown. Shape (rows,).
        attributes: Sector and segment of every stock on every date.
        tables: Market, sectors and index by day.
    """

    frame: pl.DataFrame
    layout: Layout
    gross: NDArray[np.float64]
    daily: NDArray[np.float64]
    sector: NDArray[np.int16]
    attributes: dict[str, Attribute]
    tables: DayTables


def read_context(prices: Prices) -> Context:
    """Lay the rows out and sum up each day."""
    frame = prices.frame
    layout = lay_out(frame, prices.calendar.to_numpy())
    gross = gross_returns(column(frame, "close"), column(frame, "adj_close"), layout.age)
    # A stock's return over a suspension says nothing about the day it came back.
    daily = np.where(np.diff(layout.date, prepend=-1) == 1, gross - 1.0, np.nan)

    attributes = categories(prices.sectors, layout.dates, layout.codes)
    known = attributes.get("sector")
    none = np.full(frame.height, -1, np.int16)
    sector = none if known is None else known.code[layout.date, layout.stock]
    tables = day_tables(
        layout.date,
        sector,
        daily,
        dates=len(layout.dates),
        sectors=0 if known is None else len(known.levels),
        index_close=None if prices.index is None else _on_calendar(prices.index, layout.dates),
    )
    return Context(frame, layout, gross, daily, sector, attributes, tables)


def column(frame: pl.DataFrame, name: str) -> NDArray[np.float64]:
    """A column as float64, NaN for null."""
    return frame[name].cast(pl.Float64).fill_null(float("nan")).to_numpy()


def _on_calendar(index: pl.DataFrame, dates: NDArray[np.datetime64]) -> NDArray[np.float64]:
    """Close of the index on each trading day, NaN where it has none."""
    days = pl.DataFrame({"date": dates}).with_columns(pl.col("date").cast(pl.Date))
    joined = days.join(index.select("date", "close"), on="date", how="left", maintain_order="left")
    return column(joined, "close")


def feature_blocks(
    context: Context, chosen: Sequence[Feature]
) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """The features of a few whole stocks at a time, so that working memory stays small.

    Yields:
        The rows, and their features. Shape (rows, features), float32.
    """
    offsets = context.layout.offsets
    first = 0
    while first < len(offsets) - 1:
        full = int(np.searchsorted(offsets, offsets[first] + BLOCK_ROWS, side="right")) - 1
        end = max(full, first + 1)
        rows = slice(int(offsets[first]), int(offsets[end]))
        yield rows, _compute(context, rows, chosen)
        first = end


def _compute(context: Context, rows: slice, chosen: Sequence[Feature]) -> NDArray[np.float32]:
    bars = context.frame[rows]
    stocks = StockRows(
        date=context.layout.date[rows],
        age=context.layout.age[rows],
        sector=context.sector[rows],
        open=column(bars, "open"),
        high=column(bars, "high"),
        low=column(bars, "low"),
        close=column(bars, "close"),
        volume=column(bars, "volume"),
        gross=context.gross[rows],
        tables=context.tables,
    )
    out = np.empty((len(stocks.age), len(chosen)), np.float32)
    # Divisions by zero and logs of zero mean "unknown" and become NaN below.
    with np.errstate(all="ignore"):
        for j, feature in enumerate(chosen):
            out[:, j] = feature.compute(stocks)
    out[~np.isfinite(out)] = np.nan
    return out
