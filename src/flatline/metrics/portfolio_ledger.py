"""What a book holds, earns and trades from day to day."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from flatline.metrics.blocks import Bools, Floats, Ints

__all__ = ["Ledger", "keep_ledger"]


@dataclass(frozen=True, slots=True, eq=False)
class Ledger:
    """A book of fixed capital, day by day, before costs.

    Args:
        gross: Return of each day, as a fraction of capital. Shape (days,).
        turnover: Value bought and sold at the close of each day, both sides counted, as a
            fraction of capital. Shape (days,).
        held: Value of each stock after the trades at the close of the day, as a fraction
            of capital, negative where short. Shape (days, stocks).
        unfilled: Share of the wanted value that could not be bought; None without any.
        stale: Share of the value up for sale whose stock did not trade on that day and
            was sold at its last price; None without any.
    """

    gross: Floats
    turnover: Floats
    held: Floats
    unfilled: float | None
    stale: float | None


def keep_ledger(wanted: Floats, returns: Floats, decisions: Sequence[Ints]) -> Ledger:
    """Trade the weights of the decision days at the next close, and let them drift between.

    The capital is kept at 1: each trade starts from the weights again, and gains are set
    aside. A stock without a return on the day of the trade is not bought, its part stays
    cash; if it is held, it is sold at its last price.

    Args:
        wanted: Weights of each day. Shape (days, stocks).
        returns: Return of each stock from its previous close to this one, as a fraction;
            NaN where it did not trade. Shape (days, stocks).
        decisions: Days whose weights are traded, for each equal part of the capital.
    """
    days = len(wanted)
    traded = np.isfinite(returns)
    grown = np.where(traded, returns, 0.0)
    book = Ledger(np.zeros(days), np.zeros(days), np.zeros_like(wanted), None, None)
    asked = bought = sold = unpriced = 0.0
    for decided in decisions:
        on = decided[decided < days - 1] + 1
        whole = wanted[on - 1] / len(decisions)
        fresh = np.where(traded[on], whole, 0.0)
        asked, bought = asked + np.abs(whole).sum(), bought + np.abs(fresh).sum()
        left, lost = _drift(book, fresh, on, grown, traded)
        sold, unpriced = sold + np.abs(left).sum(), unpriced + lost
        before = np.zeros_like(fresh)
        before[1:] = left
        book.turnover[on] += np.abs(fresh - before).sum(1)
    return Ledger(
        gross=book.gross,
        turnover=book.turnover,
        held=book.held,
        unfilled=float(1 - bought / asked) if asked else None,
        stale=float(unpriced / sold) if sold else None,
    )


def _drift(
    book: Ledger, fresh: Floats, on: Ints, grown: Floats, traded: Bools
) -> tuple[Floats, float]:
    """Hold what is bought until the next purchase: all purchases at once, an age at a time.

    Returns:
        What is left of each purchase but the last on the day of the next one, and how much
        of that is in stocks that do not trade then.
    """
    # Of the last purchase no end is known: it is held on the last day too.
    until = np.r_[on[1:], len(grown)]
    value, rows = fresh.copy(), np.arange(len(on))
    book.held[on] += fresh
    age = 1
    while True:
        rows = rows[on[rows] + age <= np.minimum(until[rows], len(grown) - 1)]
        if not rows.size:
            break
        day = on[rows] + age
        book.gross[day] += np.einsum("ds,ds->d", value[rows], grown[day])
        value[rows] *= 1 + grown[day]
        kept = day < until[rows]
        book.held[day[kept]] += value[rows[kept]]
        age += 1
    left = value[:-1]
    return left, float(np.abs(np.where(traded[on[1:]], 0.0, left)).sum())
