"""What scores would have earned: daily books in overlapping tranches, net of costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from flatline.errors import SettingsError, ShapeError
from flatline.metrics.blocks import Floats, as_days
from flatline.metrics.pairs import ROUNDING
from flatline.metrics.ranks import rank_rows, tile_weight

__all__ = ["Backtest", "backtest", "portfolio_weights", "to_wide"]

Book = Literal["long_short", "rank", "top", "top_bottom"]
BOOKS = ("long_short", "rank", "top", "top_bottom")


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
        empty_days: Days whose scores gave no book: constant, missing or not finite.
        unfilled: Share of the wanted value that could not be traded, its stock not
            having a return on the day of the trade; it stays cash.
        days: Days the book was open; the summary is over these.
        sharpe: Mean over spread of net daily returns, times the root of the days a year.
        sharpe_gross: The same before costs.
        annual_return: Mean net return times the days a year.
        annual_volatility: Spread of net returns times the root of the days a year.
        max_drawdown: Deepest fall of the summed net returns below their peak, as a
            positive fraction of capital.
        mean_turnover: Mean of the daily turnover.
    """

    gross: Floats
    net: Floats
    turnover: Floats
    empty_days: int
    unfilled: float | None
    days: int
    sharpe: float | None
    sharpe_gross: float | None
    annual_return: float | None
    annual_volatility: float | None
    max_drawdown: float | None
    mean_turnover: float | None


def to_wide(
    values: ArrayLike, day: ArrayLike, stock: ArrayLike
) -> tuple[Floats, NDArray[np.generic], NDArray[np.generic]]:
    """Rows as a table of days and stocks, NaN where there is no row.

    Args:
        values: Shape (rows,).
        day: Day of every row, integers or dates. Shape (rows,).
        stock: Stock of every row, any ids. Shape (rows,).

    Returns:
        The table (days, stocks), the day ids and the stock ids, both ascending.

    Raises:
        ShapeError: The arrays disagree, or a stock has two rows on one day.

    Example:
        >>> to_wide([0.1, 0.2, 0.3], [1, 1, 2], ["a", "b", "a"])[0]
        array([[0.1, 0.2],
               [0.3, nan]])
    """
    days, x, stocks = as_days(day), np.asarray(values, dtype=np.float64), np.asarray(stock)
    if x.shape != days.shape or stocks.shape != days.shape:
        raise ShapeError(
            f"values has shape {x.shape} and stock {stocks.shape}, expected {days.shape}: one per "
            "row of day. Take all three from the same frame."
        )
    day_ids, of_day = np.unique(days, return_inverse=True)
    stock_ids, of_stock = np.unique(stocks, return_inverse=True)
    wide = np.full((day_ids.size, stock_ids.size), np.nan)
    seen = np.bincount(of_day * stock_ids.size + of_stock)
    if seen.max() > 1:
        twice = int(seen.argmax())
        raise ShapeError(
            f"stock {stock_ids[twice % stock_ids.size]} has {seen.max()} rows on day "
            f"{day_ids[twice // stock_ids.size]}, expected one. Drop the duplicates."
        )
    wide[of_day, of_stock] = x
    return wide, day_ids, stock_ids


def portfolio_weights(score: ArrayLike, *, book: Book = "long_short", top: float = 0.1) -> Floats:
    """Portfolio weights from the scores of each day.

    Args:
        score: NaN where a stock is not scored. Shape (days, stocks).
        book: "long_short" weighs by the score less the day's mean, "rank" by the rank
            less the mean rank: both dollar-neutral with absolute weights that add up
            to 1. "top" holds the best stocks in equal parts, long 1. "top_bottom" adds
            the worst, short: one half long, one half short.
        top: Share of the day's stocks in a tile of "top" and "top_bottom", at most one
            half; a number of stocks from 1 on. Tied stocks share the border.

    Returns:
        Weights; zero all over a day whose scores are constant or infinite. Shape
        (days, stocks).

    Raises:
        SettingsError: An option is out of range.

    Example:
        >>> portfolio_weights(np.array([[1.0, 2.0, 3.0]]))
        array([[-0.5,  0. ,  0.5]])
        >>> portfolio_weights(np.array([[1.0, 2.0, 3.0]]), book="top", top=1)
        array([[0., 0., 1.]])
    """
    x = np.asarray(score, dtype=np.float64)
    if book not in BOOKS or top <= 0 or (0.5 < top < 1):
        raise SettingsError(
            f"book is {book!r} and top is {top}, expected one of {list(BOOKS)} and a share of at "
            "most 0.5 or a number of stocks. Give top=0.1 for a tenth."
        )
    scored = ~np.isnan(x)
    names = scored.sum(1)
    sound = ~np.isinf(x).any(1) & (names > 1)
    held = np.where(scored & sound[:, None], x, 0.0)
    if book == "long_short":
        raw = np.where(scored, held - held.sum(1, keepdims=True) / _column(names), 0.0)
        flat = np.abs(raw).max(1) <= ROUNDING * np.abs(held).max(1)
    else:
        ranked = rank_rows(held, scored)
        raw, flat = ranked.centred, ~(ranked.centred != 0).any(1)
        if book != "rank":
            part = np.where(names > 0, names * top, 1) if top < 1 else np.full(names.size, top)
            tiles = np.maximum(names, 1) / np.minimum(part, np.maximum(names / 2, 1))
            best, worst = tile_weight(ranked, names, tiles)
            raw = best if book == "top" else best - worst
    raw = np.where((sound & ~flat)[:, None], raw, 0.0)
    gross = np.abs(raw).sum(1, keepdims=True)
    return np.asarray(raw / np.where(gross > 0, gross, 1.0))


def _column(names: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.maximum(names, 1)[:, None]


def backtest(
    score: ArrayLike,
    returns: ArrayLike,
    *,
    horizon: int = 1,
    book: Book = "long_short",
    top: float = 0.1,
    cost: float = 0.0,
    days_per_year: int = 252,
) -> Backtest:
    """Trade the scores of every day, each for its horizon, in overlapping tranches.

    The scores of day t are traded at the close of t + 1 and closed at the close of
    t + 1 + horizon, as the targets are. The capital is split in *horizon* tranches;
    each day one of them is rebalanced, the others drift with their stocks. Returns are
    thus those of days, which do not overlap, whatever the horizon.

    Args:
        score: NaN where a stock is not scored. Shape (days, stocks).
        returns: Return of each stock from its previous close to this one, as a fraction;
            NaN where it did not trade, which leaves its value alone. Shape (days, stocks).
        horizon: In trading days.
        book: How scores become weights; see `portfolio_weights`.
        top: Size of a tile; see `portfolio_weights`.
        cost: Of each unit of value bought or sold, as a fraction: 0.001 is ten basis
            points for each side.
        days_per_year: Trading days that the annual figures stand for.

    Raises:
        ShapeError: The tables differ in shape.
        SettingsError: An option is out of range.

    References:
        Jegadeesh and Titman, Returns to buying winners and selling losers, 1993
        (overlapping tranches). Sharpe, The Sharpe ratio, 1994.

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
    if horizon < 1 or cost < 0 or days_per_year < 1:
        raise SettingsError(
            f"horizon is {horizon}, cost is {cost} and days_per_year is {days_per_year}, expected "
            "at least 1, 0 and 1. Give cost as a fraction of the traded value."
        )
    gross, turnover, unfilled = _run(wanted, r, horizon)
    return _summary(
        gross,
        turnover,
        cost=cost,
        days_per_year=days_per_year,
        wanted=wanted,
        unfilled=unfilled,
    )


def _run(wanted: Floats, returns: Floats, horizon: int) -> tuple[Floats, Floats, float | None]:
    """Gross return and traded value of each day: all days at once, one tranche age at a time."""
    days = len(wanted)
    traded = np.isfinite(returns)
    grown = np.where(traded, returns, 0.0)
    bought = np.zeros_like(wanted)
    bought[1:] = np.where(traded[1:], wanted[:-1], 0.0) / horizon
    asked = np.abs(wanted[:-1]).sum() / horizon
    gross, held = np.zeros(days), bought
    for age in range(1, horizon + 1):
        # Row u: what was bought at the close of day u - age, before the returns of day u.
        held = np.vstack([np.zeros((1, held.shape[1])), held[:-1]])
        gross += np.einsum("ds,ds->d", held, grown)
        held = held * (1 + grown)
        if age == horizon:
            break
    turnover = np.abs(bought - held).sum(1)
    missed = None if asked == 0 else float(1 - np.abs(bought).sum() / asked)
    return gross, turnover, missed


def _summary(
    gross: Floats,
    turnover: Floats,
    *,
    cost: float,
    days_per_year: int,
    wanted: Floats,
    unfilled: float | None,
) -> Backtest:
    net = gross - cost * turnover
    open_days = np.flatnonzero(turnover > 0)
    live = slice(int(open_days[0]), None) if open_days.size else slice(0, 0)
    year = float(np.sqrt(days_per_year))
    days = net[live].size
    curve = np.r_[0.0, np.cumsum(net[live])]
    spread = float(net[live].std(ddof=1)) if days > 1 else None
    return Backtest(
        gross=gross,
        net=net,
        turnover=turnover,
        empty_days=int((~(wanted != 0).any(1)).sum()),
        unfilled=unfilled,
        days=days,
        sharpe=_sharpe(net[live], year),
        sharpe_gross=_sharpe(gross[live], year),
        annual_return=float(net[live].mean() * days_per_year) if days else None,
        annual_volatility=None if spread is None else spread * year,
        max_drawdown=float((np.maximum.accumulate(curve) - curve).max()) if days else None,
        mean_turnover=float(turnover[live].mean()) if days else None,
    )


def _sharpe(x: Floats, year: float) -> float | None:
    if x.size < 2:
        return None
    spread = float(x.std(ddof=1))
    # Of a constant, rounding leaves a spread that would make any mean look certain.
    return None if spread <= ROUNDING * float(np.abs(x).max()) else float(x.mean() / spread * year)
