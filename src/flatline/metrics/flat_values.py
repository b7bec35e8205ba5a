"""Rules on the values that scores, probabilities and quantiles take."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.special import ndtri

from flatline.metrics.blocks import Floats
from flatline.metrics.flat_kinds import SCALE_FLOOR, SIGMAS, Flat, FlatFinding, Scores
from flatline.metrics.variance import rounding_floor

__all__ = ["few_values", "not_finite", "quantiles_alive", "second_sigmoid"]

# Fewer values than six bits hold. Continuous scores of a day are all distinct.
FEW = 64
# Below this many stocks a day, a handful of values is what one would expect.
ENOUGH_NAMES = 8
# Continuous scores have two stocks at the ends of a day; dead units put most stocks there.
AT_THE_ENDS = 0.5
# A head that sorts its quantiles never crosses; heads trained apart do on odd rows.
CROSSING = 0.01
# Probabilities pressed against one half show as such only in numbers.
FEWEST_PROBABILITIES = 40
SIGMOID_OF_ONE = 1 / (1 + np.exp(-1.0))
# Calibrated probabilities of a class of base rate 0.3, put through a sigmoid, average this.
SIGMOID_OF_RARE = 1 / (1 + np.exp(-0.3))


def not_finite(columns: Floats, horizons: list[int]) -> Iterator[FlatFinding]:
    """Some scores are NaN or infinite."""
    for column, horizon in zip(columns, horizons, strict=True):
        bad = int(column.size - np.isfinite(column).sum())
        if bad:
            yield FlatFinding(
                Flat.NOT_FINITE,
                horizon,
                bad,
                0,
                "scores",
                f"{bad} of {column.size} scores are NaN or infinite",
            )


def few_values(s: Scores) -> Iterator[FlatFinding]:
    """Two-valued or saturated scores; scores of few distinct values."""
    names = s.rows / s.blocks.count
    series = not s.cross_section
    if (s.rows if series else names) < ENOUGH_NAMES:
        return
    of_day, a_day = ("", "") if series else (" of their day", " a day")
    size = f"{s.rows} days" if series else f"{names:.0f} stocks a day"
    for k, horizon in enumerate(s.horizons):
        if k in s.dead:
            continue
        distinct, ends = _distinct_and_ends(s, k)
        few = min(FEW, (s.rows if series else names) / 4)
        if ends >= AT_THE_ENDS:
            yield FlatFinding(
                Flat.TWO_VALUED,
                horizon,
                ends,
                AT_THE_ENDS,
                "share of rows",
                f"{ends:.0%} of the scores sit at the lowest or highest value{of_day} "
                f"({distinct:.1f} distinct values{a_day}): a saturated output",
            )
        elif distinct < few:
            yield FlatFinding(
                Flat.FEW_VALUES,
                horizon,
                distinct,
                few,
                f"distinct scores{a_day}",
                f"{distinct:.1f} distinct scores for {size}, expected at least {few:.0f}: low "
                "precision or a coarse output",
            )


def _distinct_and_ends(s: Scores, k: int) -> tuple[float, float]:
    """Mean number of distinct scores a day, and the share of rows at either end of theirs."""
    if not s.cross_section:
        ordered = np.sort(s.columns[k])[None]
        distinct, ends = _of_sorted(ordered, np.array([s.rows]), float(s.floor[k]))
        return float(distinct[0]), float(ends[0]) / s.rows
    total_distinct = total_ends = 0.0
    for block in s.blocks.blocks:
        x = block.take(s.columns[k])
        if block.present is not None:
            x = np.where(block.present, x, np.inf)
        names = s.blocks.lengths[block.days]
        distinct, ends = _of_sorted(np.sort(x, axis=1), names, float(s.floor[k]))
        total_distinct += float(distinct.sum())
        total_ends += float(ends.sum())
    return total_distinct / s.blocks.count, total_ends / s.rows


def _of_sorted(x: Floats, names: np.ndarray, floor: float) -> tuple[Floats, Floats]:
    """Of each sorted row, whose absent cells are infinite: distinct values; names at the ends."""
    days = np.arange(len(x))
    present = np.arange(x.shape[1]) < names[:, None]
    distinct = ((x[:, 1:] > x[:, :-1]) & present[:, 1:]).sum(1) + 1.0
    low, high = x[:, 0], x[days, names - 1]
    # In units of the middle half, so that one outlier does not make all others look equal.
    middle = x[days, (3 * (names - 1)) // 4] - x[days, (names - 1) // 4]
    near = np.maximum(floor, 1e-3 * middle)
    at_low = (x <= (low + near)[:, None]) & present
    at_high = (x >= (high - near)[:, None]) & present
    return distinct, (at_low | at_high).sum(1).astype(np.float64)


def second_sigmoid(s: Scores) -> Iterator[FlatFinding]:
    """All probabilities lie where a sigmoid of a probability must: in [0.5, 0.731]."""
    if not s.probability or s.rows < FEWEST_PROBABILITIES:
        return
    for k, horizon in enumerate(s.horizons):
        p = s.columns[k]
        low, high = float(p.min()), float(p.max())
        outside = low < 0.5 - s.floor[k] or high > SIGMOID_OF_ONE + s.floor[k]
        if k in s.dead or outside:
            continue
        if _piled_up(p) or _above_the_base_rate(s, k):
            yield FlatFinding(
                Flat.SECOND_SIGMOID,
                horizon,
                low,
                0.5,
                "lowest probability",
                f"all probabilities lie between {low:.3f} and {high:.3f}, inside [0.5, 0.731], "
                "where the sigmoid of a probability lies: a sigmoid is applied twice",
            )


def _piled_up(p: Floats) -> bool:
    """Whether none lies below one half though, by their spread, many should.

    A model trained through two sigmoids presses its probabilities against the wall at
    one half. Of n bell-shaped ones that near to it, none below has a chance of e**-14.
    """
    near = -float(ndtri(14 / p.size))
    return bool(p.mean() - 0.5 < near * p.std())


def _above_the_base_rate(s: Scores, k: int) -> bool:
    """Whether their mean is that of a second sigmoid and not that of the class."""
    mean = float(s.columns[k].mean())
    if mean < SIGMOID_OF_RARE:
        return False
    if s.label_mean is None or s.label_mean_error is None:
        return True
    base = float(s.label_mean[k])
    nearer = abs(mean - 1 / (1 + np.exp(-base))) < abs(mean - base)
    return nearer and mean - base > SIGMAS * float(s.label_mean_error[k])


def quantiles_alive(s: Scores, quantiles: Floats) -> Iterator[FlatFinding]:
    """Quantiles that fell onto each other, or that cross.

    Args:
        s: The scores of the same rows.
        quantiles: Shape (rows, horizons, levels), levels ascending.
    """
    if quantiles.shape[2] < 2:
        return
    for k, horizon in enumerate(s.horizons):
        q = quantiles[:, k]
        bad = int(q.size - np.isfinite(q).sum())
        if bad:
            yield FlatFinding(
                Flat.NOT_FINITE,
                horizon,
                bad,
                0,
                "quantiles",
                f"{bad} of {q.size} quantiles are NaN or infinite",
            )
            continue
        gaps = np.diff(q, axis=1)
        floor = float(rounding_floor(q).max())
        bound = floor if s.label_std is None else max(floor, SCALE_FLOOR * float(s.label_std[k]))
        narrow = float(np.abs(gaps).mean(0).min())
        crossing = float((gaps < -floor).any(1).mean())
        if narrow <= bound:
            yield FlatFinding(
                Flat.COLLAPSED_QUANTILES,
                horizon,
                narrow,
                bound,
                "mean gap of two quantiles",
                f"two neighbouring quantiles lie {narrow:.2g} apart on average, no more than "
                f"{bound:.2g}: they tell no distribution",
            )
        elif crossing > CROSSING:
            yield FlatFinding(
                Flat.CROSSING_QUANTILES,
                horizon,
                crossing,
                CROSSING,
                "share of rows",
                f"a quantile lies below a lower one on {crossing:.1%} of the rows",
            )
