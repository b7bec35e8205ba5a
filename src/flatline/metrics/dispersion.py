"""Which kind of flat a model's scores are, if any.

That scores have a positive standard deviation says little: they may move with the
market only, stand still in time, follow dropout noise, or hold two values. The rules
here tell these apart by name. The training guard runs them every few steps, the
harness on a trained subject.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import ArrayLike

from flatline.errors import ShapeError
from flatline.metrics.blocks import Bools, Floats, as_columns, as_days
from flatline.metrics.flat_kinds import SCALE_FLOOR, Flat, FlatFinding, Scores
from flatline.metrics.flat_spread import (
    constant_in_time,
    identical_horizons,
    input_independent,
    spread,
)
from flatline.metrics.flat_values import (
    few_values,
    not_finite,
    quantiles_alive,
    second_sigmoid,
)
from flatline.metrics.variance import VarianceSplit, rounding_floor, split_variance

__all__ = [
    "SCALE_FLOOR",
    "Flat",
    "FlatFinding",
    "VarianceSplit",
    "find_flat",
    "rounding_floor",
    "split_variance",
]

WORST_FIRST = {kind: k for k, kind in enumerate(Flat)}


def find_flat(
    score: ArrayLike,
    day: ArrayLike,
    *,
    stock: ArrayLike | None = None,
    target: ArrayLike | None = None,
    quantiles: ArrayLike | None = None,
    probability: bool = False,
    noise_floor: ArrayLike | None = None,
    repeated: ArrayLike | None = None,
    shuffled: ArrayLike | None = None,
    horizons: Sequence[int] | None = None,
) -> list[FlatFinding]:
    """Every way in which scores are flat, worst first; empty when they are healthy.

    Each optional array lets more kinds be told. Where every day has one stock, the
    scores are judged as one series in time.

    Args:
        score: Model output in evaluation mode. Shape (rows,) or (rows, horizons).
        day: Day of every row, integers or dates. Shape (rows,).
        stock: Stock of every row: tells scores that stand still in time. Shape (rows,).
        target: In units of the scores, NaN without label: tells a vanished scale. With
            *probability*, the class (0 or 1), or a return whose sign is the class. Leave
            it out where the loss does not fix the scale of the scores. Shape as *score*.
        quantiles: Levels ascending. Shape (rows, horizons, levels) or (rows, levels).
        probability: Scores are probabilities.
        noise_floor: Standard deviation that means nothing, in units of the score; that of
            float32 rounding (`rounding_floor`) if None. A number, or shape (horizons,).
        repeated: A second evaluation on the same inputs: its difference is noise, and
            scores that do not agree with it are nothing else. Shape as *score*.
        shuffled: Scores of the same rows for inputs shuffled among the stocks of each
            day. Scores that do not move with that do not depend on the inputs. Shape as
            *score*.
        horizons: What to call the columns; 0, 1, ... if None.

    Raises:
        ShapeError: The arrays disagree.

    Example:
        >>> healthy = np.random.default_rng(0).standard_normal(40)
        >>> day = np.repeat([1, 2], 20)
        >>> find_flat(healthy, day)
        []
        >>> [finding.kind.value for finding in find_flat(np.where(day == 1, 0.1, 0.2), day)]
        ['constant within the day']
    """
    days = as_days(day)
    (columns,) = as_columns(days.size, score=score)
    names = list(range(len(columns))) if horizons is None else list(horizons)
    if len(names) != len(columns):
        raise ShapeError(f"horizons is {names}, expected {len(columns)} of them: one per column.")
    kept: Bools = np.asarray(np.isfinite(columns).all(0))
    found = list(not_finite(columns, names))
    scores = Scores.of(
        columns,
        days,
        horizons=names,
        target=target,
        repeated=repeated,
        shuffled=shuffled,
        probability=probability,
        noise_floor=noise_floor,
        kept=kept,
    )
    if scores is not None and scores.rows > 1:
        levels = _levels(quantiles, days.size, len(columns))
        found += _judge(scores, _ids(stock, kept), None if levels is None else levels[kept])
    return sorted(found, key=lambda f: (WORST_FIRST[f.kind], names.index(f.horizon)))


def _judge(s: Scores, stock: np.ndarray | None, quantiles: Floats | None) -> Iterator[FlatFinding]:
    pressed = list(second_sigmoid(s))
    yield from pressed
    # Pressed against the wall of a second sigmoid, they have hardly a spread left.
    why = {finding.horizon for finding in pressed}
    for finding in spread(s):
        if finding.kind != Flat.VANISHED_SCALE or finding.horizon not in why:
            yield finding
    yield from input_independent(s)
    if stock is not None:
        yield from constant_in_time(s, stock)
    yield from few_values(s)
    yield from identical_horizons(s)
    if quantiles is not None:
        yield from quantiles_alive(s, quantiles)


def _ids(stock: ArrayLike | None, kept: Bools) -> np.ndarray | None:
    if stock is None:
        return None
    ids = np.asarray(stock)
    if ids.shape != kept.shape:
        raise ShapeError(
            f"stock has shape {ids.shape}, expected {kept.shape}: one id per row of day. "
            "Take both from the same batch."
        )
    return ids[kept]


def _levels(quantiles: ArrayLike | None, rows: int, horizons: int) -> Floats | None:
    if quantiles is None:
        return None
    q = np.asarray(quantiles, dtype=np.float64)
    q = q[:, None] if q.ndim == 2 else q
    if q.ndim != 3 or q.shape[:2] != (rows, horizons):
        raise ShapeError(
            f"quantiles has shape {q.shape}, expected ({rows}, {horizons}, levels). Give one "
            "column per horizon and level."
        )
    return q
