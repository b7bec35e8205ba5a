"""Days of stocks whose truth is known, to try an evaluation on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr, ndtr, ndtri

__all__ = ["Overlapping", "Trial", "make_overlapping", "make_trial"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

DAYS, FEWEST, MOST = 40, 24, 36
SERIES_DAYS = 400
# Shares of the variance: what moves the market, and what sets its stocks apart.
MARKET, OWN = 0.5, 0.5
# What good scores hold of the latter, and what they hold beside it.
SIGNAL, NOISE = 0.7, 0.5


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """Scores and targets of a few weeks, with skill that is known.

    Args:
        score: Good, but not perfect. Shape (rows, columns).
        ideal: What a model that knows the targets would put out. Shape (rows, columns).
        target: Shape (rows, columns).
        day: Ascending, in steps that differ. Shape (rows,).
        within: The rows that are compared with each other: those of a day, or all. Shape (rows,).
        unit: Size of a score.
    """

    score: Floats
    ideal: Floats
    target: Floats
    day: Ints
    within: Ints
    unit: float


def make_trial(
    columns: int,
    *,
    values: Floats | None = None,
    one_a_day: bool = False,
    event: Callable[[Floats], NDArray[np.bool_]] | None = None,
    seed: int = 0,
) -> Trial:
    """A panel with a strong market move in scores and targets alike.

    Whoever pools the days takes the market's move for skill.

    Args:
        columns: Score columns.
        values: Labels whose distribution the targets shall have, column by column; normal
            ones of spread 0.02 if None. Shape (labels, columns).
        one_a_day: A single series instead of the stocks of each day.
        event: From the targets to whether each is of the class that the scores are logits
            of; None where scores are in units of the target.
        seed: Of everything drawn.

    Example:
        >>> trial = make_trial(2)
        >>> trial.score.shape == trial.target.shape, np.unique(trial.day).size
        (True, 40)
    """
    draw = np.random.default_rng(seed)
    if one_a_day:
        lengths = np.ones(SERIES_DAYS, np.int64)
    else:
        lengths = draw.integers(FEWEST, MOST, DAYS, endpoint=True)
    index = np.repeat(np.arange(len(lengths)), lengths)
    shape = (len(index), columns)
    market = draw.standard_normal((len(lengths), columns))[index]
    own = draw.standard_normal(shape)
    latent = np.sqrt(MARKET) * market + np.sqrt(OWN) * own
    noise = draw.standard_normal(shape)
    seen = np.sqrt(MARKET) * market + np.sqrt(OWN) * (SIGNAL * own + NOISE * noise)
    given = 0.02 * draw.standard_normal((1000, columns)) if values is None else values
    target = np.stack([np.quantile(v, ndtr(z)) for v, z in zip(given.T, latent.T, strict=True)], 1)
    if event is None and bool((target < 0).any(0).all()):
        # A book that is long alone earns nothing from the market on the whole.
        target = target - target.mean(0)
    if event is None:
        unit = float(target.std())
        score, ideal = target.mean(0) + target.std(0) * seen, target
    else:
        comes = event(target)
        unit, score, ideal = 1.0, _log_odds(seen, comes.mean(0)), np.where(comes, 8.0, -8.0)
    return Trial(
        score=score,
        ideal=ideal,
        target=target,
        day=(7 * index + index % 3).astype(np.int64),
        within=np.zeros_like(index) if one_a_day else index,
        unit=unit,
    )


def _log_odds(seen: Floats, share: Floats) -> Floats:
    """Log odds that a class of this share comes, for who has *seen* that much: (rows, columns).

    They are calibrated: a Brier score punishes who takes a rare class for a common one.
    """
    known = MARKET + SIGNAL * OWN
    spread = MARKET + OWN * (SIGNAL**2 + NOISE**2)
    left = np.sqrt(1 - known**2 / spread)
    # A class that always comes, or never, leaves nothing to be known.
    edge = ndtri(np.clip(share, 1e-3, 1 - 1e-3))
    beyond = (known / spread * seen + edge) / left
    return np.asarray(log_ndtr(beyond) - log_ndtr(-beyond))


@dataclass(frozen=True, slots=True, eq=False)
class Overlapping:
    """Days on which the same stocks are always the better ones, and targets that overlap.

    Args:
        score: The same every day. Shape (rows, horizons).
        target: Return over the horizon. Shape (rows, horizons).
        day: Shape (rows,).
        daily: Sharpe ratio, not annualised, of the day-by-day book of all stocks.
    """

    score: Floats
    target: Floats
    day: Ints
    daily: float


def make_overlapping(horizons: tuple[int, ...], *, days: int = 1200, seed: int = 0) -> Overlapping:
    """Twenty stocks with a steady edge, and their returns over every horizon.

    The edge of a day is the same whichever horizon it is counted over; so is its yearly
    Sharpe ratio.

    Args:
        horizons: In trading days.
        days: Days that are scored.
        seed: Of everything drawn.
    """
    draw = np.random.default_rng(seed)
    stocks = 20
    edge = np.where(np.arange(stocks) < stocks // 2, -1.0, 1.0)
    daily = 0.01 * (draw.standard_normal((days + max(horizons), stocks)) + 0.03 * edge)
    total = np.concatenate([np.zeros((1, stocks)), daily.cumsum(0)])
    target = np.stack([total[h : h + days] - total[:days] for h in horizons], -1)
    score = 0.01 * edge + 1e-4 * np.arange(stocks)
    book = daily[:days] @ edge
    return Overlapping(
        score=np.broadcast_to(score[None, :, None], target.shape).reshape(-1, len(horizons)).copy(),
        target=target.reshape(-1, len(horizons)),
        day=np.repeat(np.arange(days), stocks),
        daily=float(book.mean() / book.std()),
    )
