"""What a daily metric returns: a number per day and horizon, and which of them mean anything."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flatline.metrics.blocks import Bools, Floats, Ints
from flatline.metrics.pairs import Why

__all__ = ["Daily", "DailyMetric"]


@dataclass(frozen=True, slots=True, eq=False)
class DailyMetric:
    """One number per day and horizon, where it is defined, and what it was computed on.

    Args:
        name: What the number is.
        value: NaN where undefined. Shape (days, horizons).
        why: A `Why` for every number. Shape (days, horizons), int8.
        day: Day ids, ascending. Shape (days,).
        names: Labelled stocks. Shape (days, horizons).
        score_std: Standard deviation of the labelled stocks' scores within the day, in
            units of the score; NaN where they are not finite. Shape (days, horizons).
    """

    name: str
    value: Floats
    why: NDArray[np.int8]
    day: NDArray[np.generic]
    names: Ints
    score_std: Floats

    @property
    def defined(self) -> Bools:
        """True where the value means something. Shape (days, horizons)."""
        # A metric that was not asked for is NaN on days that are sound.
        return np.asarray((self.why == Why.DEFINED) & ~np.isnan(self.value))

    @property
    def undefined_days(self) -> Ints:
        """How many days are undefined, per horizon. Shape (horizons,)."""
        return np.asarray((~self.defined).sum(0))

    def reasons(self) -> dict[str, list[int]]:
        """How many days are undefined for each reason, per horizon; reasons met only."""
        counts = {why: (self.why == why).sum(0) for why in Why if why != Why.DEFINED}
        return {why.name.lower(): n.tolist() for why, n in counts.items() if n.any()}

    def mean(self) -> Floats:
        """Mean over the defined days, NaN where there is none. Shape (horizons,)."""
        days = self.defined.sum(0)
        total = np.where(self.defined, self.value, 0.0).sum(0)
        return np.where(days > 0, total / np.maximum(days, 1), np.nan)

    def std(self) -> Floats:
        """Spread over the defined days (n - 1), NaN below two of them. Shape (horizons,)."""
        days = self.defined.sum(0)
        away = np.where(self.defined, self.value - self.mean(), 0.0)
        return np.where(days > 1, np.sqrt((away**2).sum(0) / np.maximum(days - 1, 1)), np.nan)


@dataclass(frozen=True, slots=True, eq=False)
class Daily:
    """The daily metrics of one set of scores; the same days and stocks in each.

    Args:
        ic: Pearson correlation of score and target, in [-1, 1].
        rank_ic: Spearman correlation, average ranks on ties, in [-1, 1].
        hit_rate: Share of stocks that score and target put in the same half of the
            day, by rank; the middle counts one half. 0.5 is chance.
        tile_spread: Mean target of the top tile less that of the bottom tile, in
            units of the target.
    """

    ic: DailyMetric
    rank_ic: DailyMetric
    hit_rate: DailyMetric
    tile_spread: DailyMetric
