"""The tables of a backtest as rich prints them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl
from rich.table import Table

from flatline.evaluation.books import TILED, BookRules
from flatline.evaluation.shown import with_ends

__all__ = ["figure_table", "sector_table", "year_table"]

# What a picture of the largest exposures shows of each book.
MOST_SECTORS = 5


def figure_table(figures: pl.DataFrame, rules: BookRules) -> Table:
    """A row per forecast and horizon; intervals at 95 % by block bootstrap over days."""
    size = ""
    if rules.book in TILED:
        top = 0.1 if rules.top is None else rules.top
        size = f" {top:.0%}" if top < 1 else f" {top:g} stocks"
    title = f"{rules.book}{size}, {rules.rebalance}, at a cost of {1e4 * rules.cost:g} bp a side"
    table = _table(title, "h", "forecast")
    lead = figures["forecast"][0]
    for heading in (
        "Sharpe, net", "gross", "Sortino", "return", "drawdown", "hits", "turnover",
        f"{lead} ahead by",
    ):  # fmt: skip
        table.add_column(heading, justify="right", no_wrap=heading == "Sharpe, net")
    rows = figures.to_dicts()
    for k, row in enumerate(rows):
        table.add_row(
            str(row["horizon"]),
            row["forecast"],
            _interval(row, "sharpe"),
            _number(row["sharpe_gross"], ".2f"),
            _number(row["sortino"], ".2f"),
            _number(row["annual_return"], ".1%"),
            _number(row["drawdown"], ".1%"),
            _number(row["book_hit_rate"], ".3f"),
            _number(row["turnover"], ".3f"),
            "" if row["forecast"] == lead else _interval(row, "ahead"),
            end_section=_ends(rows, k),
        )
    return table


def year_table(years: pl.DataFrame) -> Table:
    """Net return of each calendar year, a column a year."""
    table = _table("net return by calendar year", "h", "forecast")
    columns = sorted(years["year"].unique().to_list())
    for year in columns:
        table.add_column(str(year), justify="right")
    found = {(row["horizon"], row["forecast"], row["year"]): row["net"] for row in years.to_dicts()}
    rows = years.unique(["horizon", "forecast"], maintain_order=True).to_dicts()
    for k, row in enumerate(rows):
        who = row["horizon"], row["forecast"]
        cells = (_number(found.get((*who, year)), ".1%") for year in columns)
        table.add_row(str(who[0]), who[1], *cells, end_section=_ends(rows, k))
    return table


def sector_table(sectors: pl.DataFrame) -> Table:
    """The largest sectors of the first forecast's books, by mean gross value."""
    lead = sectors["forecast"][0]
    table = _table(f"largest sector exposures of {lead}, of capital", "h", "sector")
    for heading in ("gross, mean", "net, mean", "net, furthest from 0", "on"):
        table.add_column(heading, justify="right")
    own = sectors.filter(pl.col("forecast") == lead)
    rows = own.group_by("horizon", maintain_order=True).head(MOST_SECTORS).to_dicts()
    for k, row in enumerate(rows):
        table.add_row(
            str(row["horizon"]),
            row["sector"],
            _number(row["mean_gross"], ".3f"),
            _number(row["mean_net"], ".3f"),
            _number(row["largest_net"], ".3f"),
            str(row["on"]),
            end_section=_ends(rows, k),
        )
    return table


def _table(title: str, first: str, *names: str) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column(first, justify="right")
    for name in names:
        table.add_column(name)
    return table


def _ends(rows: list[dict[str, Any]], k: int) -> bool:
    return k + 1 == len(rows) or rows[k + 1]["horizon"] != rows[k]["horizon"]


def _number(value: float | None, style: str) -> str:
    return "-" if value is None else format(value, style)


def _interval(row: Mapping[str, Any], name: str) -> str:
    return with_ends(row[name], row[f"{name}_low"], row[f"{name}_high"], ".2f")
