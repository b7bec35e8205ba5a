"""From the scores of a day to the weights of a book."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from flatline.errors import SettingsError
from flatline.metrics.blocks import Floats
from flatline.metrics.pairs import ROUNDING
from flatline.metrics.ranks import rank_rows, tile_weight

__all__ = ["BOOKS", "Book", "portfolio_weights"]

Book = Literal["long_short", "rank", "top", "top_bottom", "universe"]
BOOKS: tuple[Book, ...] = get_args(Book)


def portfolio_weights(score: ArrayLike, *, book: Book = "long_short", top: float = 0.1) -> Floats:
    """Portfolio weights from the scores of each day.

    Args:
        score: NaN where a stock is not scored. Shape (days, stocks).
        book: "long_short" weighs by the score less the day's mean, "rank" by the rank
            less the mean rank: both dollar-neutral with absolute weights that add up
            to 1. "top" holds the best stocks in equal parts, long 1. "top_bottom" adds
            the worst, short: one half long, one half short. "universe" holds every scored
            stock in equal parts, long 1, whatever the scores: the benchmark.
        top: Share of the day's stocks in a tile of "top" and "top_bottom", at most one
            half; a number of stocks from 1 on. Tied stocks share the border.

    Returns:
        Weights; zero all over a day without two scores, with an infinite one, or, but for
        "universe", with constant ones. Shape (days, stocks).

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
    if book == "universe":
        raw, flat = scored.astype(np.float64), np.zeros(names.size, dtype=np.bool_)
    elif book == "long_short":
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
