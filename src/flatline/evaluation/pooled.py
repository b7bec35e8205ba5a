"""Several forecasts of many days side by side: IC, RankIC, ICIR and Sharpe, with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray
from rich.table import Table

from flatline.data.panel import Panel
from flatline.errors import DataError
from flatline.evaluation.books import BookRules, KeptBook, keep_books
from flatline.evaluation.shown import with_ends
from flatline.metrics.bootstrap import Interval, block_length, bootstrap_mean
from flatline.metrics.daily import Why, daily_metrics
from flatline.metrics.daily_values import DailyMetric
from flatline.metrics.portfolio_sharpe import SharpeInterval, sharpe_difference, sharpe_interval

__all__ = ["Pooled", "judged_days", "pool", "pooled_tables"]

KEYS = ["date", "code", "horizon"]


@dataclass(frozen=True, slots=True)
class Pooled:
    """How one forecast did on one horizon, over all days.

    Args:
        name: Of the forecast.
        horizon: In trading days.
        rows: Rows that all forecasts scored.
        days: Days with labels enough to judge by.
        undefined_days: Those of them on which the forecast has no IC.
        ic: Mean daily IC of the scores and the returns, over the other days.
        rank_ic: Mean daily RankIC.
        icir: Mean daily IC over its spread across days, not annualised.
        sharpe: Annual, of a dollar-neutral book in tranches, net of costs.
        sharpe_ahead: Sharpe ratio of the first forecast less that of this one; None for
            the first itself.
        seconds: Of an epoch of a model, or of the whole fit of a reference learner.
    """

    name: str
    horizon: int
    rows: int
    days: int
    undefined_days: int
    ic: Interval
    rank_ic: Interval
    icir: SharpeInterval
    sharpe: SharpeInterval
    sharpe_ahead: SharpeInterval | None
    seconds: float | None


def pool(
    frames: Mapping[str, pl.DataFrame],
    panel: Panel,
    *,
    seconds: Mapping[str, float] | None = None,
    cost: float = 0.001,
    seed: int = 0,
) -> list[Pooled]:
    """Figures of several forecasts on the rows that all of them scored.

    Args:
        frames: As `predict` gives them, by name; the first is compared with each other one.
        panel: Dates, codes and daily returns.
        seconds: What each forecast took.
        cost: Of each unit of value that the books trade, as a fraction.
        seed: Of the resampling for the intervals.

    Returns:
        One entry per horizon and forecast, horizons ascending.

    Raises:
        DataError: No row is scored by all.
        SettingsError: The cost is negative.
    """
    shared = None
    for frame in frames.values():
        keys = frame.select(KEYS)
        shared = keys if shared is None else shared.join(keys, on=KEYS)
    if shared is None or shared.is_empty():
        raise DataError("rows scored by all forecasts are 0, expected some. Score the same days.")
    rules, found = BookRules(cost=cost), []
    first: dict[int, KeptBook] = {}
    for name, frame in frames.items():
        rows = frame.join(shared, on=KEYS, how="semi")
        for book in keep_books(rows, panel, rules):
            part = rows.filter(pl.col("horizon") == book.horizon)
            found.append(
                _pooled(name, part, book, first.get(book.horizon), (seconds or {}).get(name), seed)
            )
            first.setdefault(book.horizon, book)
    return sorted(found, key=lambda one: one.horizon)


def _pooled(  # noqa: PLR0917 (what one row is made of)
    name: str,
    rows: pl.DataFrame,
    book: KeptBook,
    first: KeptBook | None,
    seconds: float | None,
    seed: int,
) -> Pooled:
    score, target = (
        rows[column].cast(pl.Float64).fill_null(np.nan).to_numpy() for column in ("score", "return")
    )
    day = rows["date"].to_physical().to_numpy()
    daily = daily_metrics(score, target, day, metrics=("ic", "rank_ic"))
    judged = judged_days(daily.ic)[:, 0]
    ic, rank_ic = daily.ic.value[judged, 0], daily.rank_ic.value[judged, 0]
    known, horizon = ic[np.isfinite(ic)], book.horizon
    block = block_length(known, horizon=horizon) if known.size else None
    ahead = None
    if first is not None and first.result.days and book.result.days:
        # Over the days on which both books are open.
        start = max(first.result.first, book.result.first)
        ahead = sharpe_difference(first.result.net[start:], book.result.net[start:], seed=seed)
    return Pooled(
        name=name,
        horizon=horizon,
        rows=len(rows),
        days=int(judged.sum()),
        undefined_days=int(judged.sum()) - known.size,
        ic=bootstrap_mean(ic, horizon=horizon, seed=seed),
        rank_ic=bootstrap_mean(rank_ic, horizon=horizon, seed=seed),
        icir=sharpe_interval(known, block=block, days_per_year=1, seed=seed),
        sharpe=sharpe_interval(book.result.net[book.result.first :], seed=seed),
        sharpe_ahead=ahead,
        seconds=seconds,
    )


def judged_days(metric: DailyMetric) -> NDArray[np.bool_]:
    """Days that can tell something of a forecast: with labels, which differ.

    Returns:
        Shape (days, horizons).
    """
    return ~np.isin(metric.why, (Why.TOO_FEW_NAMES, Why.CONSTANT_TARGET))


def pooled_tables(pooled: Sequence[Pooled], *, missing_days: int = 0) -> list[Table]:
    """The figures as rich prints them; intervals at 95 % by block bootstrap over days."""
    title = "all test days, on the rows that all forecasts scored"
    if missing_days:
        title += f"; {missing_days} further test days have no predictions"
    skill = _table(title, ("days", "undefined", "IC", "RankIC", "ICIR"))
    first = pooled[0].name if pooled else "first"
    books = _table(
        "dollar-neutral books in tranches, net of costs", ("Sharpe", f"{first} ahead by", "seconds")
    )
    for k, one in enumerate(pooled):
        last = k + 1 == len(pooled) or pooled[k + 1].horizon != one.horizon
        name = (str(one.horizon), one.name)
        skill.add_row(
            *name,
            str(one.days),
            str(one.undefined_days),
            _shown(one.ic.mean, one.ic, ".3f"),
            _shown(one.rank_ic.mean, one.rank_ic, ".3f"),
            _shown(one.icir.value, one.icir, ".2f"),
            end_section=last,
        )
        ahead = one.sharpe_ahead
        books.add_row(
            *name,
            _shown(one.sharpe.value, one.sharpe, ".2f"),
            "" if ahead is None else _shown(ahead.value, ahead, ".2f"),
            "-" if one.seconds is None else f"{one.seconds:.1f}",
            end_section=last,
        )
    books.caption = "seconds: of an epoch of the model, of the whole fit of a reference"
    return [skill, books]


def _table(title: str, headings: tuple[str, ...]) -> Table:
    table = Table(title=title, title_justify="left", caption_justify="left")
    table.add_column("h", justify="right")
    table.add_column("forecast", no_wrap=True)
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def _shown(value: float | None, ends: Interval | SharpeInterval, style: str) -> str:
    return with_ends(value, ends.low, ends.high, style)
