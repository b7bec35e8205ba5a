"""Where the variance of scores comes from, and how much of it is rounding."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from flatline.metrics.blocks import DayBlocks, Floats, Ints, as_columns

__all__ = ["VarianceSplit", "rounding_floor", "split_variance", "within_day"]

FLOAT32_EPS = 2.0**-23
# Rounding errors of a sum of 64 terms add up like a random walk: the square root of 64.
ROUNDING_STEPS = 8.0


@dataclass(frozen=True, slots=True, eq=False)
class VarianceSplit:
    """The scores' variance in three parts that add up to the whole.

    Args:
        days: Variance of the day means: the market level. Shape (horizons,).
        stocks: What the stocks' own levels explain beyond that. Shape (horizons,).
        rest: What is left: stocks that change place from day to day. Shape (horizons,).
    """

    days: Floats
    stocks: Floats
    rest: Floats

    @property
    def total(self) -> Floats:
        """Variance over all rows (divided by n). Shape (horizons,)."""
        return self.days + self.stocks + self.rest

    @property
    def shares(self) -> Floats:
        """Days, stocks and rest as fractions of the total; NaN if it is 0. Shape (3, horizons)."""
        parts = np.stack([self.days, self.stocks, self.rest])
        total = self.total
        return np.divide(parts, total, out=np.full_like(parts, np.nan), where=total > 0)


def within_day(columns: Floats, blocks: DayBlocks) -> Floats:
    """Columns less the mean of their day: (horizons, rows) to (horizons, rows)."""
    return columns - _means(columns, blocks.index, blocks.lengths)[:, blocks.index]


def _means(columns: Floats, index: Ints, counts: NDArray[np.int64]) -> Floats:
    horizons, size = columns.shape[0], counts.size
    flat = (index + size * np.arange(horizons)[:, None]).ravel()
    totals = np.bincount(flat, weights=columns.ravel(), minlength=horizons * size)
    return totals.reshape(horizons, size) / np.maximum(counts, 1)


def split_variance(
    score: ArrayLike, day: ArrayLike, stock: ArrayLike, *, sweeps: int = 50
) -> VarianceSplit:
    """Two-way split of the scores' variance: between days, between stocks, and the rest.

    Days come first, stocks take what days leave. Where every stock is there every
    day, one sweep is exact; where rows are missing, day and stock effects are fitted
    together by sweeping over both in turn until nothing moves.

    Args:
        score: Finite scores. Shape (rows,) or (rows, horizons).
        day: Day of every row. Shape (rows,).
        stock: Stock of every row, any ids. Shape (rows,).
        sweeps: Sweeps at most.

    References:
        Scheffé, The Analysis of Variance, 1959, section 4.4 (two-way, unequal numbers).

    Example:
        >>> split = split_variance([1.0, 2.0, 11.0, 12.0], [1, 1, 2, 2], [7, 8, 7, 8])
        >>> split.days, split.stocks, split.rest
        (array([25.]), array([0.25]), array([0.]))
    """
    blocks = DayBlocks.of(day)
    (columns,) = as_columns(blocks.rows, score=score)
    # Without the mean first, what is left of a large level is rounding.
    columns = columns - columns.mean(1, keepdims=True)
    _, of_stock, per_stock = np.unique(stock, return_inverse=True, return_counts=True)
    within = within_day(columns, blocks)
    scale = (within**2).mean(1)
    rest, last = within, scale
    for _ in range(sweeps):
        rest = rest - _means(rest, of_stock, per_stock)[:, of_stock]
        rest = within_day(rest, blocks)
        left = (rest**2).mean(1)
        # Still where it no longer shrinks, or where nothing but rounding is left of it.
        still = (last - left <= 1e-6 * last) | (left <= 1e-24 * scale)
        last = left
        if bool(still.all()):
            break
    total = (columns**2).mean(1)
    return VarianceSplit(np.maximum(total - scale, 0.0), np.maximum(scale - last, 0.0), last)


def rounding_floor(score: ArrayLike, *, eps: float = FLOAT32_EPS) -> Floats:
    """Standard deviation that rounding alone may give scores of this size.

    A score is a sum of some sixty terms in float32. Each addition errs by up to eps of
    the running sum, the errors add up like a random walk, so the score errs by about
    `eps * sqrt(64)` of its own size: about one part in a million.

    Args:
        score: Finite scores. Shape (rows,) or (rows, horizons).
        eps: Relative spacing of the numbers the model computes with: 2**-23 for
            float32, 2**-8 for bfloat16.

    Returns:
        In units of the score. Shape (horizons,).

    References:
        Higham, Accuracy and Stability of Numerical Algorithms, 2002, section 4.2.

    Example:
        >>> float(rounding_floor([1.0, -1.0])[0]) == 8 * 2.0**-23
        True
    """
    values = np.asarray(score, dtype=np.float64)
    wide = values if values.ndim == 2 else values[:, None]
    return np.asarray(ROUNDING_STEPS * eps * np.sqrt((wide**2).mean(0)))
