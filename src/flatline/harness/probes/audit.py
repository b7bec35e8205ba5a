"""An evaluation tried on scores whose skill is known: what it says of each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from flatline.errors import ShapeError
from flatline.harness.isolation import isolated
from flatline.harness.measures import Measure, column_of, measures_of
from flatline.harness.panels import Overlapping, Trial, make_overlapping, make_trial
from flatline.metrics.daily import daily_metrics

__all__ = [
    "SHUFFLES",
    "STRETCH",
    "Audited",
    "Evaluate",
    "Floats",
    "Numbers",
    "numbers_of",
    "try_out",
]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Numbers = Mapping[str, float]
Evaluate = Callable[[Floats, Floats, Ints], Mapping[str, Any]]

SHUFFLES = 8
# A power of two, so that nothing is rounded.
STRETCH = 4.0
# Share of the days that are made undefined.
FLATTENED = 0.6


@dataclass(frozen=True, slots=True, eq=False)
class Audited:
    """What an evaluation said of scores whose skill is known; NaN where undefined.

    Args:
        measures: What each number is.
        said: Its numbers in each situation, by what was done to good scores.
        shuffled: Its numbers for scores shuffled within the day, once for each shuffle.
        definition: What numbers that have a common definition should be for tied scores.
        flattened: Days that were given constant scores.
        overlapping: Its numbers for a steady edge over several horizons; None for one.
        daily: True Sharpe ratio of that edge, of one day.
        horizons: What the score columns are called.
        one_a_day: Whether a day has one row.
        unit: Size of a score.
        logits: Whether scores are logits and not in units of the target.
    """

    measures: Mapping[str, Measure]
    said: Mapping[str, Numbers]
    shuffled: tuple[Numbers, ...]
    definition: Numbers
    flattened: int
    overlapping: Numbers | None
    daily: float
    horizons: tuple[int, ...]
    one_a_day: bool
    unit: float
    logits: bool

    def number(self, situation: str, name: str) -> float:
        """One number, NaN where the evaluation is silent about it."""
        return self.said[situation].get(name, float("nan"))

    def judged(self, *measures: Measure) -> list[str]:
        """The names of the numbers that are one of *measures*."""
        return [name for name, measure in self.measures.items() if measure in measures]


@dataclass(frozen=True, slots=True)
class _Evaluation:
    """An evaluation that is given arrays of its own, in the shape it takes."""

    evaluate: Evaluate
    flat: bool
    seed: int

    def __call__(self, score: Floats, target: Floats, day: Ints) -> Numbers:
        x, y = (a[:, 0].copy() if self.flat else a.copy() for a in (score, target))
        with isolated(self.seed), np.errstate(all="ignore"):
            return numbers_of(self.evaluate(x, y, day.copy()))

    def loud(self, score: Floats, target: Floats, day: Ints) -> Numbers:
        """The same where raising is as good as saying that a number is undefined."""
        try:
            return self(score, target, day)
        except Exception:  # noqa: BLE001 (any way of refusing will do)
            return {}


def try_out(
    evaluate: Evaluate,
    *,
    horizons: Sequence[int] | None = None,
    measures: Mapping[str, str] | None = None,
    axis: Literal["stocks", "time"] = "stocks",
    values: Floats | None = None,
    event: Callable[[Floats], NDArray[np.bool_]] | None = None,
    seed: int = 0,
) -> Audited:
    """Run an evaluation on a few dozen small panels.

    Args:
        evaluate: From scores, targets (NaN where not known) and days to numbers by name.
        horizons: What the score columns are called, in trading days; None gives scores
            and targets of shape (rows,) instead of (rows, horizons).
        measures: What its numbers are, where their names do not tell.
        axis: Whether a day has many stocks or one row.
        values: Labels whose distribution the targets shall have. Shape (labels, horizons).
        event: From the targets to whether each is of the class that scores are logits of.
        seed: Of everything drawn.

    Raises:
        ShapeError: The evaluation returns no number.
    """
    columns = (1,) if horizons is None else tuple(horizons)
    run = _Evaluation(evaluate, horizons is None, seed)
    trial = make_trial(
        len(columns), values=values, one_a_day=axis == "time", event=event, seed=seed
    )
    said = dict(_situations(run, trial, np.random.default_rng(seed + 1)))
    if not said["good"]:
        raise ShapeError(
            "evaluate returns no number, expected a mapping from names to numbers. "
            "Return such as {'rank_ic': 0.03, 'undefined_days': 2}."
        )
    draw = np.random.default_rng(seed + 2)
    shuffled = [_within(draw, trial, trial.score) for _ in range(SHUFFLES)]
    long = make_overlapping(columns) if len(columns) > 1 and axis == "stocks" else None
    kinds = measures_of(said["good"], measures)
    return Audited(
        measures=kinds,
        said=said,
        shuffled=tuple(run(score, trial.target, trial.day) for score in shuffled),
        definition=_definition(trial, kinds, columns),
        flattened=int(_flat_days(trial).sum()),
        overlapping=None if long is None else _long(run, long, kinds),
        daily=float("nan") if long is None else long.daily,
        horizons=columns,
        one_a_day=axis == "time",
        unit=trial.unit,
        logits=event is not None,
    )


def _situations(
    run: _Evaluation, trial: Trial, draw: np.random.Generator
) -> Iterator[tuple[str, Numbers]]:
    score, target, day = trial.score, trial.target, trial.day
    """What was done to the scores, and what the evaluation said of it."""
    yield "good", run(score, target, day)
    yield "noise", run(trial.unit * draw.standard_normal(score.shape), target, day)
    yield "perfect", run(trial.ideal, target, day)
    yield "inverted", run(-score, target, day)
    yield "stretched", run(STRETCH * score, target, day)
    yield "both stretched", run(STRETCH * score, STRETCH * target, day)
    level = trial.unit * draw.standard_normal((int(trial.within.max()) + 1, score.shape[1]))
    yield "day shifted", run(score + level[trial.within], target, day)
    tied = _tied(trial)
    order = draw.permutation(len(day))
    yield "tied", run(tied, target, day)
    yield "tied, other order", run(tied[order], target[order], day[order])
    # Not 0: whoever subtracts a rounded mean is left with a spread.
    yield "constant", run.loud(np.full_like(score, 0.1 * trial.unit), target, day)
    yield "day constant", run.loud(level[trial.within], target, day)
    gone = draw.random(len(day)) < 0.1
    yield "gaps", run.loud(score, np.where(gone[:, None], np.nan, target), day)
    yield "without gaps", run(score[~gone], target[~gone], day[~gone])
    flat = _flat_days(trial)[trial.within]
    yield "some flat", run.loud(np.where(flat[:, None], trial.unit, score), target, day)
    yield "only others", run(score[~flat], target[~flat], day[~flat])
    yield "good again", run(score, target, day)


def _flat_days(trial: Trial) -> NDArray[np.bool_]:
    groups = int(trial.within.max()) + 1
    # A single series is one group, and cannot be flat in part.
    return np.arange(groups) % 5 < 5 * FLATTENED if groups > 1 else np.zeros(1, bool)


def _within(draw: np.random.Generator, trial: Trial, score: Floats) -> Floats:
    """The scores of each day dealt out anew among its stocks."""
    order = np.lexsort((draw.random(len(score)), trial.within))
    return score[order]


def _definition(
    trial: Trial, kinds: Mapping[str, Measure], columns: tuple[int, ...]
) -> dict[str, float]:
    """Mean daily IC and RankIC as `flatline.metrics` has them, for scores with ties."""
    daily = daily_metrics(
        _tied(trial), trial.target, trial.within, metrics=("ic", "rank_ic"), threads=1
    )
    known = {Measure.IC: daily.ic.mean(), Measure.RANK_IC: daily.rank_ic.mean()}
    found: dict[str, float] = {}
    for name, measure in kinds.items():
        if measure in known:
            column = column_of(name, columns)
            # One number for all horizons is their mean.
            found[name] = float(known[measure].mean() if column is None else known[measure][column])
    return found


def _tied(trial: Trial) -> Floats:
    return trial.unit * np.round(trial.score / trial.unit)


def _long(run: _Evaluation, long: Overlapping, kinds: Mapping[str, Measure]) -> Numbers | None:
    if Measure.SHARPE not in kinds.values():
        return None
    return run(long.score, long.target, long.day)


def numbers_of(returned: Mapping[str, Any]) -> dict[str, float]:
    """The numbers an evaluation returned, one for each column where it gave several.

    Example:
        >>> numbers_of({"ic": 0.5, "mae": [1.0, 2.0], "note": "fine", "r2": None})
        {'ic': 0.5, 'mae[0]': 1.0, 'mae[1]': 2.0, 'r2': nan}
    """
    if not isinstance(returned, Mapping):
        raise ShapeError(
            f"evaluate returns a {type(returned).__name__}, expected a mapping from names to "
            "numbers. Return such as {'rank_ic': 0.03, 'undefined_days': 2}."
        )
    found: dict[str, float] = {}
    for name, value in returned.items():
        if value is None:
            found[str(name)] = float("nan")
            continue
        try:
            array = np.asarray(value, dtype=np.float64)
        except (TypeError, ValueError):
            continue  # A text is no number, and nothing is asked of it.
        if array.ndim == 0:
            found[str(name)] = float(array)
        else:
            found |= {f"{name}[{k}]": float(x) for k, x in enumerate(array.ravel())}
    return found
