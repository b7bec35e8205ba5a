"""Several forecasts of many days side by side: IC, RankIC, ICIR and Sharpe, with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl
from rich.table import Table

from flatline.data.panel import Panel
from flatline.errors import DataError
from flatline.evaluation.books import book_figures
from flatline.metrics.bootstrap import Interval
from flatline.metrics.table import summarise

__all__ = ["Pooled", "pool", "pooled_table"]

KEYS = ["date", "code", "horizon"]


@dataclass(frozen=True, slots=True)
class Pooled:
    """How one forecast did on one horizon, over all days.

    Args:
        name: Of the forecast.
        horizon: In trading days.
        rows: Rows that all forecasts scored.
        days: Days with a label.
        undefined_days: Days without an IC.
        ic: Mean daily IC: of the scores and the returns.
        rank_ic: Mean daily RankIC.
        icir: Mean daily IC over its spread.
        sharpe: Annual, of a dollar-neutral book, net of costs.
        seconds: Of an epoch, or of the whole fit of a reference learner.
    """

    name: str
    horizon: int
    rows: int
    days: int
    undefined_days: int
    ic: Interval
    rank_ic: Interval
    icir: float | None
    sharpe: float | None
    seconds: float | None


def pool(
    frames: Mapping[str, pl.DataFrame],
    panel: Panel,
    *,
    seconds: Mapping[str, float],
    cost: float = 0.001,
) -> list[Pooled]:
    """Figures of several forecasts on the rows that all of them scored.

    Args:
        frames: As `predict` gives them, by name.
        panel: Dates, codes and daily returns.
        seconds: What each forecast took.
        cost: Of each unit of value that the books trade, as a fraction.

    Raises:
        DataError: No row is scored by all.
    """
    shared = None
    for frame in frames.values():
        keys = frame.select(KEYS)
        shared = keys if shared is None else shared.join(keys, on=KEYS)
    if shared is None or shared.is_empty():
        raise DataError("rows scored by all forecasts are 0, expected some. Score the same days.")
    found = []
    for name, frame in frames.items():
        rows = frame.join(shared, on=KEYS, how="semi").with_columns(target=pl.col("return"))
        rows = rows.select(*KEYS, "score", "target")
        books = {row["horizon"]: row for row in book_figures(rows, panel, cost=cost).to_dicts()}
        for row in summarise(rows).to_dicts():
            interval = {
                metric: Interval(row[metric], row[f"{metric}_low"], row[f"{metric}_high"], 0.95,
                                 row["days"] - row["undefined_days"], 0)
                for metric in ("ic", "rank_ic")
            }  # fmt: skip
            found.append(
                Pooled(
                    name=name,
                    horizon=row["horizon"],
                    rows=row["rows"],
                    days=row["days"],
                    undefined_days=row["undefined_days"],
                    ic=interval["ic"],
                    rank_ic=interval["rank_ic"],
                    icir=row["icir"],
                    sharpe=books[row["horizon"]]["sharpe"],
                    seconds=seconds.get(name),
                )
            )
    return sorted(found, key=lambda one: one.horizon)


def pooled_table(pooled: Sequence[Pooled], *, missing_days: int = 0) -> Table:
    """The figures as rich prints them; intervals at 95 % by block bootstrap over days."""
    title = "all test days, on the rows that all forecasts scored"
    if missing_days:
        title += f"; {missing_days} test days have no predictions"
    table = Table(title=title, title_justify="left")
    table.add_column("h", justify="right")
    table.add_column("forecast")
    for heading in ("days", "undef.", "IC", "RankIC", "ICIR", "Sharpe, net", "s"):
        table.add_column(heading, justify="right", no_wrap=True)
    for k, one in enumerate(pooled):
        table.add_row(
            str(one.horizon),
            one.name,
            str(one.days),
            str(one.undefined_days),
            _interval(one.ic, ".3f"),
            _interval(one.rank_ic, ".3f"),
            "-" if one.icir is None else f"{one.icir:.2f}",
            "-" if one.sharpe is None else f"{one.sharpe:.2f}",
            "-" if one.seconds is None else f"{one.seconds:.1f}",
            end_section=k + 1 == len(pooled) or pooled[k + 1].horizon != one.horizon,
        )
    return table


def _interval(interval: Interval, style: str) -> str:
    if interval.mean is None:
        return "-"
    text = format(interval.mean, style)
    if interval.low is None or interval.high is None:
        return text
    return f"{text} [{interval.low:{style}}, {interval.high:{style}}]"
