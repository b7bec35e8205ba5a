"""Windows over the rows of each stock, as whole-column arithmetic.

All stocks lie behind each other in one flat array, each stock's rows in order
of time; *age* is the number of earlier rows of the same stock. A window of n
rows is put together from windows of 1, 2, 4, 8 ... rows, so it costs about
2 log2(n) passes, and, unlike a running sum, its value depends on its own n
rows alone: to the last bit, whatever came before or comes after.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

__all__ = ["lag", "pack", "smooth", "spread", "window", "window_mean"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]


def lag(x: Floats, age: Ints, rows: int) -> Floats:
    """The value *rows* rows earlier in the same stock, NaN where there is none.

    Example:
        >>> lag(np.array([1.0, 2.0, 3.0, 9.0]), np.array([0, 1, 2, 0], np.int32), 1)
        array([nan,  1.,  2., nan])
    """
    out = np.full_like(x, np.nan)
    out[rows:] = x[: max(len(x) - rows, 0)]
    out[age < rows] = np.nan
    return out


def window(x: Floats, age: Ints, rows: int, combine: Callable[..., Floats] = np.add) -> Floats:
    """Combine the last *rows* values of each stock, today's included.

    Args:
        x: Shape (rows,).
        age: Earlier rows of the same stock. Shape (rows,).
        rows: Length of the window, in rows of the stock.
        combine: An associative ufunc of two arrays: `np.add`, `np.maximum`.

    Returns:
        NaN where the stock has fewer than *rows* rows, or one of them is NaN. Shape (rows,).

    Example:
        >>> window(np.array([1.0, 2.0, 3.0, 9.0]), np.array([0, 1, 2, 0], np.int32), 2)
        array([nan,  3.,  5., nan])
    """
    out: Floats | None = None
    power, span, covered = x, 1, 0
    while covered < rows:
        if rows & span:
            out = power if out is None else _beside(out, power, covered, combine)
            covered += span
        if covered < rows:
            power = _beside(power, power, span, combine)
            span *= 2
    result = np.array(out)
    result[age < rows - 1] = np.nan
    return result


def _beside(x: Floats, earlier: Floats, rows: int, combine: Callable[..., Floats]) -> Floats:
    """Combine *x* with *earlier* as it was *rows* rows before."""
    out = np.full_like(x, np.nan)
    if rows < len(x):
        combine(x[rows:], earlier[:-rows], out=out[rows:])
    return out


def window_mean(x: Floats, age: Ints, rows: int) -> Floats:
    """Mean of the last *rows* values of each stock, NaN where there are fewer."""
    return window(x, age, rows) / rows


def spread(x: Floats, age: Ints, rows: int) -> Floats:
    """Sample standard deviation (n - 1) of the last *rows* values of each stock."""
    mean = window_mean(x, age, rows)
    square = window_mean(x * x, age, rows)
    variance = square - mean * mean
    # What is left of the square by rounding alone is no variance.
    variance[variance <= 1e-13 * square] = 0.0
    return np.sqrt(variance * (rows / (rows - 1)))


def pack(age: Ints) -> NDArray[np.bool_]:
    """Where each row lies in a matrix of one line per stock. Shape (stocks, longest).

    `matrix[pack(age)] = x` lays a flat column out, `matrix[pack(age)]` reads it back.
    """
    first = np.flatnonzero(age == 0)
    lengths = np.diff(np.append(first, len(age)))
    return np.arange(lengths.max(initial=0)) < lengths[:, None]


def smooth(x: Floats, age: Ints, weight: float, seed: Floats, seed_age: int) -> Floats:
    """Exponential smoothing: y(t) = weight x(t) + (1 - weight) y(t-1), per stock.

    Args:
        x: Shape (rows,).
        age: Earlier rows of the same stock. Shape (rows,).
        weight: Weight of the newest value, 0 to 1.
        seed: Its values at *seed_age* start the recursion. Shape (rows,).
        seed_age: Age of the first row with a value; NaN before. In rows of the stock.

    Returns:
        Shape (rows,).
    """
    where = pack(age)
    matrix = np.full(where.shape, np.nan)
    matrix[where] = x
    out = np.full(where.shape, np.nan)
    if where.shape[1] > seed_age:
        start = np.full(len(where), np.nan)
        start[where[:, seed_age]] = seed[age == seed_age]
        out[:, seed_age] = start
        kept = 1.0 - weight
        out[:, seed_age + 1 :] = lfilter(
            [weight], [1.0, -kept], matrix[:, seed_age + 1 :], zi=kept * start[:, None]
        )[0]
    return out[where]
