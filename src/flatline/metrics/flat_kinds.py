"""The kinds of flat, what is found of them, and the scores as the rules look at them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from flatline.errors import ShapeError
from flatline.metrics.blocks import Bools, DayBlocks, Floats, as_columns
from flatline.metrics.variance import rounding_floor, within_day

__all__ = ["SCALE_FLOOR", "SIGMAS", "Flat", "FlatFinding", "Scores"]

# A calibrated forecast of correlation r has std(yhat) / std(y) = r. Over ten million rows (ten
# years of four thousand stocks) the standard error of a correlation is 0.0003: a forecast that
# claims less than 0.001 claims nothing that could be measured. Healthy ones claim 0.02 to 0.3.
SCALE_FLOOR = 1e-3
# Five standard errors: one false alarm in three million looks.
SIGMAS = 5.0


class Flat(StrEnum):
    """The ways in which scores die, worst first."""

    NOT_FINITE = "not finite"
    CONSTANT = "constant"
    CLASS_PRIOR = "class prior"
    CONSTANT_WITHIN_DAY = "constant within the day"
    INPUT_INDEPENDENT = "input-independent"
    SECOND_SIGMOID = "second sigmoid"
    CONSTANT_IN_TIME = "constant in time"
    TWO_VALUED = "two-valued or saturated"
    VANISHED_SCALE = "vanished scale"
    IDENTICAL_HORIZONS = "identical horizons"
    COLLAPSED_QUANTILES = "collapsed quantiles"
    CROSSING_QUANTILES = "crossing quantiles"
    FEW_VALUES = "few distinct values"


@dataclass(frozen=True, slots=True)
class FlatFinding:
    """One way in which the scores of one horizon are flat.

    Args:
        kind: Its name.
        horizon: The horizon, as `find_flat` was given it, or the column's position.
        measured: The number that gave it away.
        bound: The number it was held against.
        unit: Of both.
        sentence: What was measured and what it means.
    """

    kind: Flat
    horizon: int
    measured: float
    bound: float
    unit: str
    sentence: str


@dataclass(frozen=True, eq=False)
class Scores:
    """Scores, and all that is needed to judge them; rows that are not finite left out.

    Args:
        columns: Shape (horizons, rows).
        blocks: The days of the rows.
        horizons: Name of each column.
        floor: Standard deviation that rounding may give. Shape (horizons,).
        target: NaN without label. Shape (horizons, rows), or None.
        repeated: Scores of a second evaluation. Shape (horizons, rows), or None.
        shuffled: Scores for shuffled inputs. Shape (horizons, rows), or None.
        probability: Whether scores are probabilities.
    """

    columns: Floats
    blocks: DayBlocks
    horizons: Sequence[int]
    floor: Floats
    target: Floats | None
    repeated: Floats | None
    shuffled: Floats | None
    probability: bool

    @classmethod
    def of(
        cls,
        columns: Floats,
        day: ArrayLike,
        *,
        horizons: Sequence[int],
        target: ArrayLike | None,
        repeated: ArrayLike | None,
        shuffled: ArrayLike | None,
        probability: bool,
        noise_floor: ArrayLike | None,
        kept: Bools,
    ) -> Scores | None:
        """The rows that are *kept*; None when none is."""
        rows = kept.size

        def fitting(name: str, array: ArrayLike | None) -> Floats | None:
            if array is None:
                return None
            (found,) = as_columns(rows, **{name: array})
            if len(found) not in (1, len(columns)):
                raise ShapeError(
                    f"{name} has {len(found)} horizons, expected {len(columns)} as score has. "
                    "Give one column per horizon."
                )
            wide = np.broadcast_to(found, columns.shape)
            return np.asarray(wide if kept.all() else wide[:, kept])

        others = fitting("target", target), fitting("repeated", repeated)
        last = fitting("shuffled", shuffled)
        if not kept.any():
            return None
        whole = bool(kept.all())
        score = columns if whole else columns[:, kept]
        blocks = DayBlocks.of(day if whole else np.asarray(day)[kept])
        floor = rounding_floor(score.T) if noise_floor is None else np.asarray(noise_floor)
        wide_floor = np.broadcast_to(floor, len(score)).astype(np.float64)
        return cls(score, blocks, horizons, wide_floor, *others, last, probability)

    @property
    def rows(self) -> int:
        """Number of rows."""
        return int(self.columns.shape[1])

    @cached_property
    def cross_section(self) -> bool:
        """Whether a day holds two stocks: else all is one series in time."""
        return bool((self.blocks.lengths > 1).any())

    @property
    def where(self) -> str:
        """What the spread of `day_std` is taken over."""
        return "within the day" if self.cross_section else "in time"

    @cached_property
    def std(self) -> Floats:
        """Standard deviation over all rows. Shape (horizons,)."""
        return np.asarray(self.columns.std(1))

    def within(self, columns: Floats) -> Floats:
        """Columns less the mean of their day; of all rows for a single series."""
        if self.cross_section:
            return within_day(columns, self.blocks)
        return np.asarray(columns - columns.mean(1, keepdims=True))

    @cached_property
    def centred(self) -> Floats:
        """Scores less the mean of their day. Shape (horizons, rows)."""
        return self.within(self.columns)

    @cached_property
    def day_std(self) -> Floats:
        """Standard deviation within the day. Shape (horizons,)."""
        return _rms(self.centred)

    @cached_property
    def noise(self) -> Floats:
        """What differs between two evaluations of the same inputs, at least rounding."""
        if self.repeated is None:
            return self.floor
        between = _rms(self.within(self.repeated - self.columns)) / np.sqrt(2)
        # The standard error of a standard deviation over n rows is 1 / sqrt(2 n) of it.
        return np.asarray(np.maximum(self.floor, between * (1 + SIGMAS / np.sqrt(2 * self.rows))))

    @cached_property
    def agreement(self) -> Floats | None:
        """Correlation within the day of two evaluations of the same inputs. Shape (horizons,)."""
        if self.repeated is None:
            return None
        again = self.within(self.repeated)
        size = np.sqrt((again**2).sum(1) * (self.centred**2).sum(1))
        return np.asarray((again * self.centred).sum(1) / np.where(size > 0, size, 1.0))

    @cached_property
    def noise_only(self) -> frozenset[int]:
        """Columns whose two evaluations agree no better than chance."""
        if self.agreement is None:
            return frozenset()
        return frozenset(np.flatnonzero(self.agreement <= SIGMAS / np.sqrt(self.rows)).tolist())

    @cached_property
    def dead(self) -> frozenset[int]:
        """Columns without any variation within the day."""
        return frozenset(np.flatnonzero(self.day_std <= self.floor).tolist())

    @cached_property
    def vanished(self) -> frozenset[int]:
        """Columns whose variation within the day is nothing beside that of the labels."""
        if self.label_std is None:
            return frozenset()
        # An unknown label spread is NaN, which is no finding.
        small = self.day_std < SCALE_FLOOR * self.label_std
        return frozenset(np.flatnonzero(small).tolist())

    @cached_property
    def labels(self) -> Floats | None:
        """Targets in units of the scores: 0 or 1 where those are probabilities."""
        if self.target is None or not self.probability:
            return self.target
        known = np.isfinite(self.target)
        cut = 0.5 if np.isin(self.target[known], (0.0, 1.0)).all() else 0.0
        return np.where(known, self.target > cut, np.nan)

    @cached_property
    def label_mean(self) -> Floats | None:
        """Mean label: the base rate of a class. Shape (horizons,)."""
        if self.labels is None:
            return None
        known = np.isfinite(self.labels)
        rows = known.sum(1)
        total = np.where(known, self.labels, 0.0).sum(1)
        return np.where(rows > 0, total / np.maximum(rows, 1), np.nan)

    @cached_property
    def label_mean_error(self) -> Floats | None:
        """Standard error of the mean label, whole days being drawn. Shape (horizons,)."""
        if self.labels is None:
            return None
        known = np.isfinite(self.labels)
        days = self.blocks.count
        names = np.stack([np.bincount(self.blocks.index[row], minlength=days) for row in known])
        held = np.where(known, self.labels, 0.0)
        sums = np.stack([self.blocks.total(row) for row in held])
        rows = np.maximum(names.sum(1, keepdims=True), 1)
        mean = sums.sum(1, keepdims=True) / rows
        by_day = np.sqrt(((sums - names * mean) ** 2).sum(1)) / rows[:, 0]
        by_row = np.sqrt(mean * (1 - mean) / rows)[:, 0]
        return np.asarray(np.maximum(by_day, by_row))

    @cached_property
    def label_std(self) -> Floats | None:
        """Standard deviation of the labels within the day; NaN without. Shape (horizons,)."""
        if self.labels is None:
            return None
        known = np.isfinite(self.labels)
        index, days = self.blocks.index, self.blocks.count
        stds = np.full(len(self.labels), np.nan)
        for k, (label, here) in enumerate(zip(self.labels, known, strict=True)):
            of_day = index[here] if self.cross_section else np.zeros(int(here.sum()), np.int64)
            names = np.maximum(np.bincount(of_day, minlength=days), 1)
            away = label[here] - (np.bincount(of_day, label[here], days) / names)[of_day]
            stds[k] = np.sqrt((away**2).mean()) if away.size else np.nan
        return stds


def _rms(columns: Floats) -> Floats:
    return np.asarray(np.sqrt(np.einsum("hr,hr->h", columns, columns) / columns.shape[1]))
