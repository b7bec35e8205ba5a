"""A pipeline run again and again, some prices changed each time: what moves, and when."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flatline.errors import DataError
from flatline.harness.case import Case
from flatline.harness.pipeline import Pipeline
from flatline.harness.probes.prices import bumped, delisted, later_changed, shuffled
from flatline.harness.probes.taken import Moved, Taken, moved, take_rows

__all__ = ["Interventions", "Later", "Reach", "intervene"]

Ints = NDArray[np.int64]

# Of the largest move of a label: what is less came by a scale that was fitted on many days.
MUCH = 0.05


@dataclass(frozen=True, slots=True, eq=False)
class Later:
    """What differs up to a date when all prices behind it go another way.

    Args:
        until: Position of the last date whose prices are as before.
        split: The split that begins behind it; empty where it lies within one.
        moved: What differs up to that date.
    """

    until: int
    split: str
    moved: Moved


@dataclass(frozen=True, slots=True)
class Reach:
    """The days whose labels of one horizon moved with the prices of a single date.

    Args:
        first: Days from the earliest of them to that date; None where no label moved.
        last: Days from the latest of them to it, below 0 for days behind it.
    """

    first: int | None = None
    last: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Interventions:
    """All that was found out about a pipeline.

    Args:
        splits: Those that were read, in the order of time.
        later: Prices changed from the first day of each later split on, and from the
            middle of the last one.
        delisted: What differs before stocks go; None for prices of fewer than three.
        again: What differs when the same prices come in another order, and the splits are read
            from the last to the first.
        labels: One per horizon.
    """

    splits: tuple[str, ...]
    later: tuple[Later, ...]
    delisted: Moved | None
    again: Moved
    labels: tuple[Reach, ...]


def intervene(case: Case) -> Interventions:
    """Make the batches of the subject's pipeline eight times, and compare."""
    pipeline = case.subject.pipeline
    if pipeline is None:
        raise ValueError("interventions on prices need `pipeline`")
    splits = tuple(pipeline.splits)
    base = take_rows(case.subject, pipeline, pipeline.prices, splits)
    cuts = _cuts(case, base, splits)

    def again(prices: object, order: tuple[str, ...] = splits) -> Taken:
        return take_rows(case.subject, pipeline, prices, order)

    later = [
        Later(since - 1, split, moved(base, again(later_changed(pipeline, since)), until=since - 1))
        for since, split in cuts
    ]
    since = cuts[-1][0]
    fewer = delisted(pipeline, since)
    reverse = take_rows(case.subject, pipeline, shuffled(pipeline), splits[::-1])
    return Interventions(
        splits=splits,
        later=tuple(later),
        delisted=None if fewer is None else moved(base, again(fewer), until=since - 1),
        again=moved(base, reverse, until=int(base.day.max())),
        labels=_reaches(case, pipeline, base),
    )


def _cuts(case: Case, base: Taken, splits: tuple[str, ...]) -> list[tuple[int, str]]:
    """The first day of each later split, and the middle day of the last one."""
    first = [(int(base.day[base.split == i].min()), split) for i, split in enumerate(splits)]
    last = np.unique(base.day[base.split == len(splits) - 1])
    if len(splits) < 2 or len(last) < 2:
        raise DataError(
            f"pipeline of subject {case.subject.name!r} has {len(splits)} splits and {len(last)} "
            "days in the last one, expected two of each at least. Give prices of more days."
        )
    return [*first[1:], (int(last[len(last) // 2]), "")]


def _reaches(case: Case, pipeline: Pipeline, base: Taken) -> tuple[Reach, ...]:
    """The prices of one date in the middle of the train days changed, and no other."""
    train = np.unique(base.day[base.split == 0])
    at, end, first = int(train[len(train) // 2]), int(train[-1]), pipeline.splits[:1]
    # Up and down: the highest close of some days answers to one of them only.
    found = [
        moved(
            base, take_rows(case.subject, pipeline, bumped(pipeline, at, up=up), first), until=end
        )
        for up in (True, False)
    ]
    moves = np.maximum(found[0].moves, found[1].moves)
    far = moves > MUCH * moves.max(0)
    return tuple(_reach(at - found[0].days[column]) for column in far.T)


def _reach(ahead: Ints) -> Reach:
    return Reach(int(ahead.max()), int(ahead.min())) if ahead.size else Reach()
