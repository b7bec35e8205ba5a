"""What a RankIC looks like when there is no skill: the null distribution and its floor.

The RankIC of a day of n stocks scored at random has mean 0 and variance
1 / (n - 1). Averaged over days it shrinks; the best of several looks (epochs,
settings, seeds) grows again. A floor for a RankIC is a quantile of that null.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr, ndtri

from flatline.errors import SettingsError

__all__ = ["RankIcNull", "effective_days", "rank_ic_null"]


def effective_days(days: int, *, horizon: int = 1, persistence: float = 1.0) -> float:
    """How many independent days the mean over *days* consecutive days is worth.

    Labels of horizon h on days k apart share h - k of their h returns, so their
    correlation is 1 - k / h; a score of lag-one autocorrelation rho keeps rho**k of
    itself. Daily RankICs correlate as the product of the two. For scores that hardly
    move this is close to days / h; for scores drawn anew each day it is *days*.

    Args:
        days: Consecutive days in the mean.
        horizon: Horizon of the target, in trading days.
        persistence: Autocorrelation of a stock's score from day to day, in [0, 1]; 1 is
            the cautious choice.

    References:
        Hansen and Hodrick, Forward exchange rates as optimal predictors of future spot
        rates, 1980 (the covariance of overlapping forecast errors).

    Example:
        >>> effective_days(100), round(effective_days(100, horizon=5), 1)
        (100.0, 20.3)
    """
    if days < 1 or horizon < 1 or not 0 <= persistence <= 1:
        raise SettingsError(
            f"days is {days}, horizon is {horizon} and persistence is {persistence}, expected at "
            "least 1, at least 1 and a number in [0, 1]. Count the days that are defined."
        )
    apart = np.arange(1, min(horizon, days))
    shared = (1 - apart / horizon) * persistence**apart
    return float(days**2 / (days + 2 * ((days - apart) * shared).sum()))


@dataclass(frozen=True, slots=True)
class RankIcNull:
    """The distribution of the best mean daily RankIC among several looks at noise.

    Args:
        std: Standard deviation of one look's mean daily RankIC.
        looks: Looks of which the best is taken.
        days: Effective number of independent days.
    """

    std: float
    looks: int
    days: float

    def floor(self, false_alarm_rate: float) -> float:
        """The RankIC that noise reaches with this probability.

        Raises:
            SettingsError: The rate is not between 0 and 1.
        """
        if not 0 < false_alarm_rate < 1:
            raise SettingsError(
                f"false_alarm_rate is {false_alarm_rate}, expected a number between 0 and 1. "
                "Give 0.001 for one in a thousand."
            )
        # 1 - (1 - rate)**(1 / looks), without the cancellation at small rates.
        tail = -np.expm1(np.log1p(-false_alarm_rate) / self.looks)
        return float(-self.std * ndtri(tail))

    def false_alarm_rate(self, rank_ic: float) -> float:
        """How often noise reaches *rank_ic* or more: the p-value of the best look."""
        return float(-np.expm1(self.looks * np.log1p(-ndtr(-rank_ic / self.std))))

    @property
    def mean(self) -> float:
        """What the best look at noise averages; 0 for one look."""
        x = np.linspace(-9.0, 9.0, 4001)
        below = ndtr(x) ** self.looks
        # E[X] is the integral of 1 - F above zero less that of F below.
        above_zero = np.where(x > 0, 1.0 - below, -below)
        return float(self.std * np.trapezoid(above_zero, x))


def rank_ic_null(
    days: int,
    names: ArrayLike,
    *,
    looks: int = 1,
    horizon: int = 1,
    persistence: float = 1.0,
    day_std: float | None = None,
) -> RankIcNull:
    """The null distribution of the best mean daily RankIC.

    Looks are taken to be independent, which is cautious: epochs of one training
    resemble each other, and the best of correlated looks is smaller (Slepian 1962).
    The normal approximation is good from about 50 rows (days times stocks) on.

    Args:
        days: Defined, consecutive days in the mean.
        names: Stocks of a day, or of every day: a number or an array.
        looks: Epochs, settings or seeds of which the best is reported.
        horizon: Horizon of the target, in trading days.
        persistence: Autocorrelation of a stock's score from day to day.
        day_std: Standard deviation of the RankIC of one day, where it is known from data.
            Stocks that move together (sectors, a factor the scores load on) make it
            larger than the 1 / sqrt(n - 1) of independent stocks.

    Raises:
        SettingsError: An argument is out of range.

    References:
        Kendall and Gibbons, Rank Correlation Methods, 1990, section 4.14 (the variance).

    Example:
        >>> null = rank_ic_null(12, 300, looks=20)
        >>> round(null.mean, 3), round(null.floor(0.001), 3)
        (0.031, 0.065)
    """
    sizes = np.atleast_1d(np.asarray(names, dtype=np.float64))
    if looks < 1 or sizes.size == 0 or bool((sizes < 2).any()):
        raise SettingsError(
            f"looks is {looks} and the smallest day has {sizes.min(initial=np.inf):g} names, "
            "expected at least 1 and at least 2. Leave days without a pair of stocks out."
        )
    one_day = sqrt(float((1 / (sizes - 1)).mean())) if day_std is None else day_std
    independent = effective_days(days, horizon=horizon, persistence=persistence)
    return RankIcNull(one_day / sqrt(independent), looks, independent)
