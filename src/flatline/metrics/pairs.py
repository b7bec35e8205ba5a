"""Scores and targets of some days side by side, centred, with what is wrong with each day."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from flatline.metrics.blocks import Block, Bools, Floats, Ints

__all__ = ["Centred", "Pair", "Why", "cosine"]

# Sums of squares of a million values between these neither overflow nor vanish.
TINY, HUGE = 1e-140, 1e140
# A range this small beside the values themselves is what float64 rounding leaves of a constant.
ROUNDING = 16 * float(np.finfo(np.float64).eps)


class Why(IntEnum):
    """Why a day is undefined."""

    DEFINED = 0
    TOO_FEW_NAMES = 1
    NOT_FINITE = 2
    CONSTANT_SCORE = 3
    CONSTANT_TARGET = 4


@dataclass(frozen=True, slots=True, eq=False)
class Centred:
    """Values less their day's mean.

    Args:
        value: In units of *unit*; 0 where a cell does not count. Shape (days, width).
        constant: True where a day is constant up to rounding. Shape (days,).
        unit: One, but for days whose values are so large or small that their squares
            would leave float64. Shape (days, 1).
    """

    value: Floats
    constant: Bools
    unit: Floats

    @classmethod
    def of(cls, x: Floats, counted: Bools | None, names: Ints) -> Centred:
        """Centre each row of *x*, which is 0 where it does not count."""
        count = np.maximum(names, 1)[:, None]
        largest = _largest(x)
        unit = np.ones_like(largest)
        if not ((largest > TINY) & (largest < HUGE)).all():
            unit = np.where((largest > 0) & np.isfinite(largest), largest, 1.0)
            x, largest = x / unit, largest / unit
        value = x - x.sum(1, keepdims=True) / count
        if counted is not None:
            value *= counted
        spread = _largest(value)
        constant = spread <= ROUNDING * largest
        if not (spread[~constant] > TINY).all():
            again = np.where(constant, 1.0, spread)
            value, unit = value / again, unit * again
        return cls(value, constant[:, 0], unit)

    def std(self, names: Ints) -> Floats:
        """Standard deviation (divided by n) in the units of the values. Shape (days,)."""
        square = np.einsum("dw,dw->d", self.value, self.value) / np.maximum(names, 1)
        return np.asarray(self.unit[:, 0] * np.sqrt(square))


def _largest(x: Floats) -> Floats:
    """Largest absolute value of each row. Shape (days, 1)."""
    return np.asarray(np.maximum(x.max(1, keepdims=True), -x.min(1, keepdims=True)))


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """One column of scores and one of targets, over the days of a block.

    Args:
        score: 0 where not labelled or not finite. Shape (days, width).
        target: 0 where not labelled or not finite. Shape (days, width).
        labelled: True where there is a target; None when everywhere. Shape (days, width).
        names: Labelled stocks. Shape (days,).
        finite: False where a labelled score or target is not finite. Shape (days,).
    """

    score: Floats
    target: Floats
    labelled: Bools | None
    names: Ints
    finite: Bools

    @classmethod
    def of(cls, block: Block, score: Floats, target: Floats) -> Pair:
        """The pair of two columns of rows."""
        scores, targets = block.take(score), block.take(target)
        # A sum is finite only where all of its terms are: the common case costs one pass.
        if block.present is None and np.isfinite(scores.sum() + targets.sum()):
            whole = np.full(len(scores), scores.shape[1])
            return cls(scores, targets, None, whole, np.ones(len(scores), dtype=bool))
        labelled = ~np.isnan(targets)
        if block.present is not None:
            labelled &= block.present
        sound = np.isfinite(scores) & np.isfinite(targets)
        names = labelled.sum(1)
        everywhere = bool(labelled.all())
        finite = np.asarray(~(labelled & ~sound).any(1))
        keep = labelled & sound
        kept_scores, kept_targets = np.where(keep, scores, 0.0), np.where(keep, targets, 0.0)
        return cls(kept_scores, kept_targets, None if everywhere else labelled, names, finite)

    def centred(self) -> tuple[Centred, Centred]:
        """Score and target less their day's means."""
        return (
            Centred.of(self.score, self.labelled, self.names),
            Centred.of(self.target, self.labelled, self.names),
        )

    def why(self, score: Centred, target: Centred, min_names: int) -> NDArray[np.int8]:
        """What is wrong with each day: a `Why`. Shape (days,)."""
        why = np.full(self.names.shape, Why.DEFINED, dtype=np.int8)
        # The last to hold wins: what makes a day undefined first is written last.
        why[target.constant] = Why.CONSTANT_TARGET
        why[score.constant] = Why.CONSTANT_SCORE
        why[~self.finite] = Why.NOT_FINITE
        why[self.names < min_names] = Why.TOO_FEW_NAMES
        return why


def cosine(a: Floats, b: Floats) -> Floats:
    """Cosine between the rows of two arrays, 0 where one of them is zero. Shape (days,)."""
    spread = np.sqrt(np.einsum("dw,dw->d", a, a)) * np.sqrt(np.einsum("dw,dw->d", b, b))
    ratio = np.einsum("dw,dw->d", a, b) / np.where(spread > 0, spread, 1.0)
    return np.asarray(np.clip(ratio, -1.0, 1.0))
