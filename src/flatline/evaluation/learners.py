"""Reference learners on the same features and split: ridge, boosted trees, naive scores.

The learners see the newest day's features only, and learn the rank of the target
within its day; scikit-learn is the extra `learners`. The naive scores learn nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from flatline.data.panel import Panel
from flatline.data.within_day import day_rank
from flatline.errors import DataError, SettingsError
from flatline.evaluation.predict import to_frame

__all__ = ["LEARNERS", "learn_and_predict", "low_volatility", "naive_composite", "score_panel"]

# More training rows than this add minutes, not skill, to 32 weak features.
MOST_ROWS = 1_500_000


class Learner(Protocol):
    """What is used of a scikit-learn regressor."""

    def fit(self, x: NDArray[np.float32], y: NDArray[np.float32]) -> object:
        """Learn from rows of features and targets."""
        ...

    def predict(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """One number per row."""
        ...


def _ridge(seed: int) -> Learner:
    from sklearn.linear_model import Ridge  # noqa: PLC0415 (an extra)

    return Ridge(alpha=100.0, random_state=seed)  # type: ignore[no-any-return]


def _boosted_trees(seed: int) -> Learner:
    from sklearn.ensemble import HistGradientBoostingRegressor  # noqa: PLC0415 (an extra)

    return HistGradientBoostingRegressor(  # type: ignore[no-any-return]
        max_iter=150,
        learning_rate=0.05,
        max_leaf_nodes=31,
        min_samples_leaf=500,
        l2_regularization=10.0,
        random_state=seed,
    )


LEARNERS: Mapping[str, Callable[[int], Learner]] = {
    "ridge": _ridge,
    "boosted trees": _boosted_trees,
}


def learn_and_predict(
    name: str,
    panel: Panel,
    train: NDArray[np.int64],
    test: NDArray[np.int64],
    *,
    seed: int = 0,
) -> pl.DataFrame:
    """Fit a learner on the train days, one model per horizon, and score the test days.

    Args:
        name: One of `LEARNERS`.
        panel: Normalised features; unknown ones count as 0.
        train: Positions of the train days.
        test: Positions of the test days.
        seed: Seed of the learner, and of the draw where rows are too many.

    Returns:
        A frame as `predict` gives it.

    Raises:
        SettingsError: The learner is not known, or scikit-learn is missing.
        DataError: No labelled row is left to learn from.
    """
    if name not in LEARNERS:
        raise SettingsError(f"learner is {name!r}, expected one of {sorted(LEARNERS)}.")
    rows = np.argwhere(panel.present[train])
    day, stock = train[rows[:, 0]], rows[:, 1]
    if len(day) > MOST_ROWS:
        kept = np.random.default_rng(seed).choice(len(day), MOST_ROWS, replace=False)
        day, stock = day[np.sort(kept)], stock[np.sort(kept)]
    x = np.nan_to_num(panel.features[day, stock])
    # Ranks first, so that a drawn row keeps its place among all stocks of its day.
    ranks = day_rank(np.where(panel.present[train, :, None], panel.target[train], np.nan))
    y = ranks[np.searchsorted(train, day), stock]
    test_rows = np.argwhere(panel.present[test])
    test_day, test_stock = test[test_rows[:, 0]], test_rows[:, 1]
    test_x = np.nan_to_num(panel.features[test_day, test_stock])
    columns = []
    for horizon, target in zip(panel.horizons, y.T, strict=True):
        known = np.isfinite(target)
        if not known.any():
            raise DataError(f"horizon {horizon} has 0 labelled train rows, expected some.")
        try:
            learner = LEARNERS[name](seed)
        except ImportError as error:
            raise SettingsError(
                "scikit-learn is not installed, expected it for the reference learners. "
                "Install flatline[learners]."
            ) from error
        learner.fit(x[known], target[known])
        columns.append(learner.predict(test_x))
    target = panel.target[test_day, test_stock]
    return to_frame(panel, test_day, test_stock, score=np.stack(columns, 1), target=target)


def low_volatility(panel: Panel, test: NDArray[np.int64], *, window: int = 60) -> pl.DataFrame:
    """The naive score: less volatile stocks first, the same for every horizon.

    Volatility is the standard deviation of the last *window* daily returns.
    """
    first = max(0, int(test.min()) - window + 1)
    returns = panel.daily_return[first : int(test.max()) + 1].astype(np.float64)
    score = -_volatility(returns, window)[test - first]
    return score_panel(panel, test, np.repeat(score[:, :, None], len(panel.horizons), 2))


def naive_composite(
    panel: Panel,
    test: NDArray[np.int64],
    *,
    volatility: int = 60,
    reversal: int = 5,
    momentum: int = 126,
    skipped: int = 21,
) -> pl.DataFrame:
    """The naive composite: ranks of three known effects, added in equal parts.

    Low volatility (standard deviation of daily returns), short-term reversal (what fell
    in the last days comes first) and medium-term momentum (what rose over half a year,
    less its last month, comes first). Each is ranked within its day, among the stocks
    present; one that is not known for a stock counts as the middle rank. Nothing is
    learned, only returns up to the scored day are read, and the score is the same for
    every horizon.

    Args:
        panel: Dates, codes and daily returns.
        test: Positions of the days to score.
        volatility: Days that volatility is taken over.
        reversal: Days that reversal is taken over.
        momentum: Days that momentum reaches back.
        skipped: Days at the end of these that momentum leaves to reversal.

    Returns:
        A frame as `predict` gives it; a stock of which none of the three is known has no row.

    Raises:
        SettingsError: A window is too short, or momentum reaches back no further than is
            skipped.

    References:
        Ang, Hodrick, Xing and Zhang, The cross-section of volatility and expected returns,
        2006. Lehmann, Fads, martingales, and market efficiency, 1990 (reversal).
        Jegadeesh and Titman, Returns to buying winners and selling losers, 1993.
    """
    if min(volatility, reversal + 1, skipped + 2) < 2 or momentum <= skipped:
        raise SettingsError(
            f"volatility is {volatility}, reversal {reversal}, momentum {momentum} and skipped "
            f"{skipped}, expected at least 2, 1, more than is skipped, and 0. Give days."
        )
    first = max(0, int(test.min()) - max(volatility, reversal, momentum) + 1)
    returns = panel.daily_return[first : int(test.max()) + 1].astype(np.float64)
    growth = np.log1p(np.where(returns > -1.0, returns, np.nan))
    parts = np.stack(
        [
            -_volatility(returns, volatility),
            -_growth(growth, reversal),
            _growth(growth, momentum, skipped=skipped),
        ],
        axis=2,
    )[test - first]
    ranks = day_rank(np.where(panel.present[test, :, None], parts, np.nan))
    score = np.where(np.isfinite(ranks).any(2), np.nan_to_num(ranks).sum(2), np.nan)
    return score_panel(panel, test, np.repeat(score[:, :, None], len(panel.horizons), 2))


def _volatility(returns: NDArray[np.float64], window: int) -> NDArray[np.float64]:
    """Spread of the last returns of each stock; NaN where under a third of them is known."""
    known = np.isfinite(returns)
    held = np.where(known, returns, 0.0)
    n, s, q = (_trailing(a, window) for a in (known.astype(float), held, held**2))
    with np.errstate(invalid="ignore", divide="ignore"):
        spread = np.sqrt(np.maximum(q / n - (s / n) ** 2, 0.0))
    return np.where(n >= window // 3, spread, np.nan)


def _growth(logs: NDArray[np.float64], window: int, *, skipped: int = 0) -> NDArray[np.float64]:
    """Log growth over the last days less the newest; NaN where under a third is known."""
    known = np.isfinite(logs)
    held = np.where(known, logs, 0.0)

    def between(x: NDArray[np.float64]) -> NDArray[np.float64]:
        whole = _trailing(x, window)
        return whole - _trailing(x, skipped) if skipped else whole

    enough = between(known.astype(float)) >= max(1, (window - skipped) // 3)
    return np.where(enough, between(held), np.nan)


def score_panel(panel: Panel, days: NDArray[np.int64], score: NDArray[np.floating]) -> pl.DataFrame:
    """A frame as `predict` gives it, of scores that are at hand for whole days.

    Args:
        panel: Dates, codes and returns.
        days: Positions of the days.
        score: NaN where a stock is not scored. Shape (days, stocks, horizons).
    """
    rows = np.argwhere(panel.present[days] & np.isfinite(score).all(-1))
    day, stock = days[rows[:, 0]], rows[:, 1]
    given = score[rows[:, 0], stock]
    return to_frame(panel, day, stock, score=given, target=panel.target[day, stock])


def _trailing(x: NDArray[np.float64], window: int) -> NDArray[np.float64]:
    """Sum over the last *window* rows of each column, fewer at the start."""
    total = np.cumsum(x, 0)
    total[window:] -= total[:-window].copy()
    return total
