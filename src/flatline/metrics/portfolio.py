"""What scores would have earned: books traded a day after their scores, net of costs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from flatline.errors import SettingsError, ShapeError
from flatline.metrics.blocks import Floats
from flatline.metrics.portfolio_calendar import Rebalancing, decision_days
from flatline.metrics.portfolio_ledger import Ledger, keep_ledger
from flatline.metrics.portfolio_sharpe import sharpe
from flatline.metrics.portfolio_weights import Book, portfolio_weights

__all__ = ["Backtest", "backtest"]


@dataclass(frozen=True, slots=True, eq=False)
class Backtest:
    """The daily results of a book of fixed capital, and their summary.

    Capital is kept at 1: gains are set aside, so returns add up and do not compound.
    A figure that is undefined is None.

    Args:
        gross: Return of each day before costs, as a fraction of capital. Shape (days,).
        net: The same after costs. Shape (days,).
        turnover: Value bought and sold each day, both sides counted, as a fraction of
            capital. Replacing a book of gross exposure 1 is 2. Shape (days,).
        held: Value of each stock after the trades of the day, as a fraction of capital,
            negative where short. Shape (days, stocks).
        first: Position of the day of the first trade; the number of days without any. The
            summary is over the days from here on.
        empty_days: Days whose scores gave no book: constant, missing or not finite.
        unfilled: Share of the wanted value that could not be traded, its stock not
            having a return on the day of the trade; it stays cash.
        stale: Share of the value up for sale whose stock had no return on that day; it is
            sold at its last price.
        days: Days the book was open.
        sharpe: Mean over spread of net daily returns, times the root of the days a year.
        sharpe_gross: The same before costs.
        sortino: Mean over downside deviation of net daily returns (root of the mean square
            of the losses, over all days), times the root of the days a year.
        hit_rate: Share of gains among the days with a net gain or loss.
        annual_return: Mean net return times the days a year.
        annual_volatility: Spread of net returns times the root of the days a year.
        max_drawdown: Deepest fall of the summed net returns below their peak, as a
            positive fraction of capital.
        mean_turnover: Mean of the daily turnover.
    """

    gross: Floats
    net: Floats
    turnover: Floats
    held: Floats
    first: int
    empty_days: int
    unfilled: float | None
    stale: float | None
    days: int
    sharpe: float | None
    sharpe_gross: float | None
    sortino: float | None
    hit_rate: float | None
    annual_return: float | None
    annual_volatility: float | None
    max_drawdown: float | None
    mean_turnover: float | None


def backtest(
    score: ArrayLike,
    returns: ArrayLike,
    *,
    horizon: int = 1,
    rebalance: Rebalancing = "tranches",
    dates: ArrayLike | None = None,
    book: Book = "long_short",
    top: float = 0.1,
    cost: float = 0.0,
    days_per_year: int = 252,
) -> Backtest:
    """Trade scores a day after they are known, and hold what they say.

    The scores of day t, known after its close, are traded at the close of t + 1 and earn
    from the close of t + 1 on, as the targets do. By default the capital is split in
    *horizon* tranches, one of which is renewed each day and held for the horizon; the
    others drift with their stocks. Returns are thus those of days, which do not overlap,
    whatever the horizon. With weekly or monthly rebalancing the whole book is renewed
    with the scores of the last trading day of the week or month; see `decision_days`.

    Args:
        score: NaN where a stock is not scored. Shape (days, stocks).
        returns: Return of each stock from its previous close to this one, as a fraction;
            NaN where it did not trade, which leaves its value alone. Shape (days, stocks).
        horizon: In trading days; the number of tranches.
        rebalance: "tranches", "daily", "weekly" or "monthly".
        dates: Of the days, datetime64, for weekly and monthly rebalancing. Shape (days,).
        book: How scores become weights; see `portfolio_weights`.
        top: Size of a tile; see `portfolio_weights`.
        cost: Of each unit of value bought or sold, as a fraction: 0.001 is ten basis
            points for each side. Borrowing shares costs nothing here.
        days_per_year: Trading days that the annual figures stand for.

    Raises:
        ShapeError: The tables or dates differ in shape.
        SettingsError: An option is out of range.

    References:
        Jegadeesh and Titman, Returns to buying winners and selling losers, 1993
        (overlapping tranches). Sharpe, The Sharpe ratio, 1994. Sortino and Price,
        Performance measurement in a downside risk framework, 1994.

    Example:
        >>> score = np.tile([1.0, 0.0], (4, 1))
        >>> result = backtest(score, np.tile([0.01, -0.01], (4, 1)), cost=0.001)
        >>> result.gross, result.turnover.round(4)
        (array([0.  , 0.  , 0.01, 0.01]), array([0.  , 1.  , 0.01, 0.01]))
    """
    r = np.asarray(returns, dtype=np.float64)
    wanted = portfolio_weights(score, book=book, top=top)
    if r.shape != wanted.shape:
        raise ShapeError(
            f"returns has shape {r.shape}, expected {wanted.shape}: (days, stocks) as score has. "
            "Lay both out with to_wide over the same days and stocks."
        )
    days = np.arange(len(wanted)) if dates is None else np.asarray(dates)
    if len(days) != len(wanted):
        raise ShapeError(
            f"dates has {len(days)} days, expected {len(wanted)} as score has. Give one per day."
        )
    if horizon < 1 or cost < 0 or days_per_year < 1:
        raise SettingsError(
            f"horizon is {horizon}, cost is {cost} and days_per_year is {days_per_year}, expected "
            "at least 1, 0 and 1. Give cost as a fraction of the traded value."
        )
    ledger = keep_ledger(wanted, r, decision_days(days, rebalance=rebalance, horizon=horizon))
    empty = int((~(wanted != 0).any(1)).sum())
    return _summary(ledger, cost=cost, days_per_year=days_per_year, empty=empty)


def _summary(ledger: Ledger, *, cost: float, days_per_year: int, empty: int) -> Backtest:
    net = ledger.gross - cost * ledger.turnover
    opened = np.flatnonzero(ledger.turnover > 0)
    first = int(opened[0]) if opened.size else net.size
    live, year = net[first:], float(np.sqrt(days_per_year))
    curve = np.r_[0.0, np.cumsum(live)]
    downside = float(np.sqrt((np.minimum(live, 0.0) ** 2).mean())) if live.size else 0.0
    moved = int((live != 0).sum())
    return Backtest(
        gross=ledger.gross,
        net=net,
        turnover=ledger.turnover,
        held=ledger.held,
        first=first,
        empty_days=empty,
        unfilled=ledger.unfilled,
        stale=ledger.stale,
        days=live.size,
        sharpe=sharpe(live, days_per_year=days_per_year),
        sharpe_gross=sharpe(ledger.gross[first:], days_per_year=days_per_year),
        # Without a loss there is nothing to divide by.
        sortino=float(live.mean() / downside * year) if downside > 0 else None,
        hit_rate=float((live > 0).sum() / moved) if moved else None,
        annual_return=float(live.mean() * days_per_year) if live.size else None,
        annual_volatility=float(live.std(ddof=1) * year) if live.size > 1 else None,
        max_drawdown=float((np.maximum.accumulate(curve) - curve).max()) if live.size else None,
        mean_turnover=float(ledger.turnover[first:].mean()) if live.size else None,
    )
