"""Two tables or arrays of a user's own, held against each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import polars as pl
import polars.selectors as cs

from flatline.errors import DataError
from flatline.harness.checks.columns import columns_on_one_scale, columns_vary
from flatline.harness.checks.drift import (
    distributions_hold,
    features_in_support,
    levels_hold,
    spreads_hold,
)
from flatline.harness.drift.compare import ColumnDrift, compare
from flatline.harness.drift.sample import Sample, sample_of
from flatline.harness.statistics import CHANCE
from flatline.harness.verdicts import Status, Verdict

__all__ = ["Drift", "drift"]


@dataclass(frozen=True, slots=True)
class Drift:
    """What became of the columns of a later period.

    Args:
        verdicts: On constant columns, on the scale of the train rows, and on levels, spreads,
            distributions and support of the later ones.
        columns: The numbers behind the last four.
    """

    verdicts: tuple[Verdict, ...]
    columns: tuple[ColumnDrift, ...]

    @property
    def failed(self) -> tuple[Verdict, ...]:
        """The verdicts that failed; each names its columns as the culprit."""
        return tuple(verdict for verdict in self.verdicts if verdict.status == Status.FAIL)

    def table(self) -> pl.DataFrame:
        """One row per column: level, spread, gap with their bounds, psi, wasserstein, outside."""
        rows = [asdict(column) for column in self.columns]
        frame = pl.DataFrame([{k: v for k, v in row.items() if k != "days"} for row in rows])
        return frame.sort(pl.col("level").abs(), descending=True, nulls_last=True)


def drift(
    train: Any,  # noqa: ANN401 (a frame, or anything that numpy can read)
    later: Any,  # noqa: ANN401
    *,
    day: str | tuple[Any, Any] = "date",
    columns: Sequence[str] | None = None,
    chance: float = CHANCE,
) -> Drift:
    """Hold the features of a later period against those of the train days.

    Rows of a day are not independent, and days follow each other: what chance reaches is read
    off blocks of train days, so that a panel with strong and persistent day effects is quiet.

    Args:
        train: A polars frame with one row per stock and day, or an array of shape
            (rows, columns).
        later: The same of the later period.
        day: Name of the column of days; for arrays the days of the rows of both, each of
            shape (rows,).
        columns: Names of the columns to compare, or of those of the arrays; by default all
            numeric ones but the day.
        chance: Probability that a stationary panel fails one of the verdicts, each.

    Raises:
        DataError: A column is missing, or there is no row.
        ShapeError: Arrays, days and names do not fit each other.

    Example:
        >>> import numpy as np
        >>> draw, day = np.random.default_rng(0), np.repeat(np.arange(600), 20)
        >>> price, ratio = draw.normal(day // 500 * 2), draw.normal(size=12_000)
        >>> frame = pl.DataFrame({"date": day, "price": price, "ratio": ratio})
        >>> found = drift(frame.filter(pl.col("date") < 400), frame.filter(pl.col("date") >= 500))
        >>> [(verdict.check, verdict.culprit.path) for verdict in found.failed]
        [('feature_levels_hold', 'price'), ('feature_distributions_hold', 'price')]
    """
    before, after = _samples(train, later, day, columns)
    found = compare(before, after, chance=chance)
    return Drift(
        verdicts=(
            columns_vary(before.values, before.names),
            columns_on_one_scale(before.values, before.names),
            levels_hold(found, chance=chance),
            spreads_hold(found, chance=chance),
            distributions_hold(found, chance=chance),
            features_in_support(found),
        ),
        columns=found,
    )


def _samples(
    train: Any,  # noqa: ANN401
    later: Any,  # noqa: ANN401
    day: str | tuple[Any, Any],
    columns: Sequence[str] | None,
) -> tuple[Sample, Sample]:
    if isinstance(day, str):
        chosen = _numeric(train, day) if columns is None else list(columns)
        return _sample(train, day, chosen), _sample(later, day, chosen)
    return sample_of(train, day[0], columns), sample_of(later, day[1], columns)


def _numeric(frame: Any, day: str) -> list[str]:  # noqa: ANN401
    _check_frame(frame, [day])
    return [name for name in frame.select(cs.numeric()).columns if name != day]


def _sample(frame: Any, day: str, columns: Sequence[str]) -> Sample:  # noqa: ANN401
    _check_frame(frame, [day, *columns])
    values = frame.select(pl.col(columns).cast(pl.Float64)).to_numpy()
    when = frame[day]
    days = when.to_numpy() if when.dtype.is_integer() else when.cast(pl.Date).to_numpy()
    return sample_of(values, days, columns)


def _check_frame(frame: Any, columns: Sequence[str]) -> None:  # noqa: ANN401
    if not isinstance(frame, pl.DataFrame):
        raise DataError(
            f"periods are {type(frame).__name__}, expected polars frames with a column of days. "
            "Give the days of arrays as day=(train_days, later_days)."
        )
    missing = [name for name in columns if name not in frame.columns]
    if missing:
        raise DataError(
            f"a period has the columns {frame.columns}, expected {missing[0]!r} among them. "
            "Name the column of days with day=, and features with columns=."
        )
