"""What the scores would have earned: the book of each horizon, net of costs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from flatline.data.panel import Panel
from flatline.errors import DataError, SettingsError
from flatline.evaluation.predict import positions
from flatline.metrics.portfolio import Backtest, backtest
from flatline.metrics.portfolio_calendar import REBALANCINGS, Rebalancing
from flatline.metrics.portfolio_exposure import GroupExposure, group_exposure
from flatline.metrics.portfolio_sharpe import sharpe_interval
from flatline.metrics.portfolio_weights import BOOKS, Book
from flatline.section import nearest

__all__ = ["BookRules", "KeptBook", "book_figures", "figures_of", "keep_books"]

TILED = ("top", "top_bottom")


@dataclass(frozen=True, slots=True, kw_only=True)
class BookRules:
    """How scores are traded.

    Args:
        book: How scores become weights: "long_short" and "rank" by score and by rank,
            dollar-neutral; "top" the best alone, long; "top_bottom" the best long and the
            worst short; "universe" all alike, long.
        top: Share of the stocks, or number of them from 1 on, that "top" and "top_bottom"
            hold on a side; None for a tenth.
        rebalance: "tranches" held for the horizon, of which one is renewed each day, or
            the whole book "daily", "weekly" or "monthly".
        cost: Of each unit of value bought or sold, as a fraction: 0.001 is ten basis points.

    Raises:
        SettingsError: A value is not known or out of range, or would change nothing.

    Example:
        >>> BookRules(book="top", top=20, rebalance="weekly").cost
        0.001
    """

    book: Book = "long_short"
    top: float | None = None
    rebalance: Rebalancing = "tranches"
    cost: float = 0.001

    def __post_init__(self) -> None:
        for name, given, known in (
            ("book", self.book, BOOKS),
            ("rebalance", self.rebalance, REBALANCINGS),
        ):
            if given not in known:
                raise SettingsError(
                    f"{name} is {given!r}, expected one of {list(known)}. {nearest(given, known)}"
                )
        if not self.cost >= 0:
            raise SettingsError(
                f"cost is {self.cost}, expected a fraction of the traded value from 0 on. "
                "Give 0.001 for ten basis points."
            )
        if self.top is not None and self.book not in TILED:
            raise SettingsError(
                f"top is {self.top} but changes nothing, expected an effect: a {self.book} book "
                f"holds all stocks. Choose a book of {list(TILED)}, or drop it."
            )
        if self.top is not None and not (0 < self.top <= 0.5 or 1 <= self.top < np.inf):
            raise SettingsError(
                f"top is {self.top}, expected a share of at most 0.5 or a number of stocks. "
                "Give 0.1 for a tenth."
            )


@dataclass(frozen=True, slots=True, eq=False)
class KeptBook:
    """The book of one horizon's scores.

    Args:
        horizon: In trading days.
        dates: From the first scored day to the last. Shape (days,), datetime64[D].
        result: What it earned on them.
        sectors: Names of the sectors, the last one for those not known; empty without any.
        exposure: Value in each sector; None without sectors.
    """

    horizon: int
    dates: NDArray[np.datetime64]
    result: Backtest
    sectors: tuple[str, ...]
    exposure: GroupExposure | None


def keep_books(frame: pl.DataFrame, panel: Panel, rules: BookRules | None = None) -> list[KeptBook]:
    """Trade the scores of each horizon, from its first scored day to its last.

    Args:
        frame: Columns date, code, horizon (trading days) and score, as `predict` gives them.
        panel: Dates, codes, daily returns and, if it has them, sectors.
        rules: How to trade; a dollar-neutral book in tranches by default.

    Returns:
        One per horizon, ascending.

    Raises:
        DataError: There is no row, or one has a date or code that the panel lacks.
        ShapeError: A stock has two rows on a day.
    """
    rules = rules or BookRules()
    if frame.is_empty():
        raise DataError("scores have 0 rows, expected some. Choose dates that were scored.")
    kept = []
    for (horizon,), part in frame.sort("horizon").partition_by("horizon", as_dict=True).items():
        day, stock = _places(part, panel)
        first, last = int(day.min()), int(day.max())
        score = np.full((last - first + 1, len(panel.codes)), np.nan)
        score[day - first, stock] = part["score"].cast(pl.Float64).fill_null(np.nan).to_numpy()
        span = slice(first, last + 1)
        found = backtest(
            score,
            panel.daily_return[span],
            horizon=int(horizon),
            rebalance=rules.rebalance,
            dates=panel.dates[span],
            book=rules.book,
            top=0.1 if rules.top is None else rules.top,
            cost=rules.cost,
        )
        sectors: tuple[str, ...] = ()
        exposure, sector = None, panel.attributes.get("sector")
        if sector is not None:
            sectors = (*sector.levels, "unknown")
            exposure = group_exposure(found.held, sector.code[span], groups=len(sector.levels))
        kept.append(KeptBook(int(horizon), panel.dates[span], found, sectors, exposure))
    return kept


def _places(part: pl.DataFrame, panel: Panel) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Positions of the rows in the panel, which must have them all."""
    day, stock = positions(part, panel)
    found_date = panel.dates[np.minimum(day, len(panel.dates) - 1)] == part["date"].to_numpy()
    found_code = panel.codes[np.minimum(stock, len(panel.codes) - 1)] == part["code"].to_numpy()
    missing = np.flatnonzero(~(found_date & found_code))
    if missing.size:
        row = part.row(int(missing[0]), named=True)
        raise DataError(
            f"{missing.size} of {len(part)} scored rows are not in the prices, expected all; the "
            f"first is {row['code']} on {row['date']}. Give the prices that were scored."
        )
    if len(np.unique(day * len(panel.codes) + stock)) < len(part):
        raise DataError(
            f"horizon {part['horizon'][0]} has two scores of one stock on one day, expected one. "
            "Drop the duplicates."
        )
    return day, stock


def figures_of(book: KeptBook, *, seed: int = 0) -> dict[str, int | float | None]:
    """The figures of a book, as plain numbers; what is undefined is None.

    Args:
        book: As `keep_books` gives it.
        seed: Of the resampling for the intervals.

    Returns:
        horizon; sharpe and sharpe_gross (annual), each with the ends `_low` and `_high` of
        its 95 % interval; sortino; annual_return and drawdown (fractions of capital);
        book_hit_rate; turnover (a day, both sides); book_days; empty_days; unfilled; stale.
    """
    found = book.result
    net, gross = (sharpe_interval(x[found.first :], seed=seed) for x in (found.net, found.gross))
    return {
        "horizon": book.horizon,
        "sharpe": net.value,
        "sharpe_low": net.low,
        "sharpe_high": net.high,
        "sharpe_gross": gross.value,
        "sharpe_gross_low": gross.low,
        "sharpe_gross_high": gross.high,
        "sortino": found.sortino,
        "annual_return": found.annual_return,
        "drawdown": found.max_drawdown,
        "book_hit_rate": found.hit_rate,
        "turnover": found.mean_turnover,
        "book_days": found.days,
        "empty_days": found.empty_days,
        "unfilled": found.unfilled,
        "stale": found.stale,
    }


def book_figures(
    frame: pl.DataFrame, panel: Panel, *, cost: float = 0.001, seed: int = 0
) -> pl.DataFrame:
    """Figures of a dollar-neutral book of each horizon's scores, in overlapping tranches.

    Stocks are weighed by their score less the day's mean; the scores of day t are
    traded at the close of t + 1 and held for the horizon, in overlapping tranches, so
    that returns are those of days whatever the horizon. For other books see `keep_books`.

    Args:
        frame: Scores as `predict` gives them.
        panel: Dates, codes and daily returns.
        cost: Of each unit of value bought or sold, as a fraction: 0.001 is ten basis points.
        seed: Of the resampling for the intervals.

    Returns:
        A row per horizon, ascending, with the columns of `figures_of`.

    Raises:
        SettingsError: The cost is negative.
    """
    books = keep_books(frame, panel, BookRules(cost=cost))
    return pl.DataFrame([figures_of(book, seed=seed) for book in books], infer_schema_length=None)
