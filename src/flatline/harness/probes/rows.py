"""What the batches of a split hold, without the model: columns, days, windows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from flatline.harness.case import Case
from flatline.harness.declared import Declared, column_name, token_of
from flatline.harness.drift.sample import Sample, sample_of
from flatline.harness.inputs import Input, Role, inputs_of
from flatline.harness.subject import Subject
from flatline.harness.trees import read

__all__ = ["Both", "Rows", "Windows", "columns_of", "laid_out", "read_both"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Enough days to tell a level by, few enough to be read in a second.
MOST_BATCHES, MOST_ROWS = 400, 200_000
# Rows of a day that tell where it lies.
ROWS_OF_A_DAY = 100
# Rows whose windows are kept whole.
MOST_WINDOWS = 12_000


@dataclass(frozen=True, slots=True, eq=False)
class Windows:
    """Whole windows of the first rows.

    Args:
        names: Of the features, as the sample's.
        values: Shape (rows, lookback, features), float32.
        day: Shape (rows,).
    """

    names: tuple[str, ...]
    values: NDArray[np.float32]
    day: Ints


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """The batches of one split.

    Args:
        split: Its name.
        sample: The newest step of every input with one row each, its columns named as in
            `insensitive_to`; and their days.
        day: Day of each row in the order of the batches. Shape (rows,).
        batch: Batch of each row, in the same order. Shape (rows,).
        first: Values of the first rows, all of their days' rows, in that order. Shape
            (first rows, columns).
        windows: One per input with a lookback.
    """

    split: str
    sample: Sample
    day: Ints
    batch: Ints
    first: Floats
    windows: tuple[Windows, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Both:
    """The train rows and later ones.

    Args:
        train: The train split.
        later: The split that the subject calls later, else the validation split.
        unread: Columns that may not matter to the model at all.
        without_level: Columns whose level may not matter to it, those among them.
        without_scale: Columns whose scale may not matter to it, those among them.
    """

    train: Rows
    later: Rows
    unread: tuple[str, ...]
    without_level: tuple[str, ...]
    without_scale: tuple[str, ...]


def read_both(case: Case) -> Both:
    """The rows of the train split and of the later one, as many as are needed."""
    subject = case.subject
    train = _rows(case, "train")
    # Days that are numbered by batch begin at 0 in each split: later ones come later.
    later = _rows(case, subject.later or "valid", first_day=int(train.day.max()) + 1)
    parts = inputs_of(subject, case.batch("train")[0])
    declared = Declared.of(subject.insensitive_to, parts, columns=subject.columns)
    unread, level, scale = [], [], []
    for part in (part for part in parts if part.role == Role.ROWS):
        for index, name in enumerate(columns_of(subject, part)):
            unread += [name] if declared.feature(part, index) else []
            level += [name] if declared.aspect(part, "level", index) else []
            scale += [name] if declared.aspect(part, "scale", index) else []
    return Both(train, later, tuple(unread), tuple(level), tuple(scale))


def columns_of(subject: Subject, part: Input) -> list[str]:
    """What the columns of an input are called: as in `insensitive_to`, one per feature."""
    axis = part.axis("features")
    if axis is None:
        return [token_of(part)]
    others = [n for i, n in enumerate(part.shape) if part.axes[i] not in KNOWN_AXES]
    names = [column_name(part, i, subject.columns) for i in range(part.shape[axis])]
    copies = int(np.prod(others, dtype=np.int64))
    tokens = [token_of(part, column=name) for name in names]
    return tokens if copies == 1 else [f"{t} [{i}]" for t in tokens for i in range(copies)]


KNOWN_AXES = ("rows", "lookback", "features")


def _rows(case: Case, split: str, *, first_day: int = 0) -> Rows:
    subject, kept = case.subject, _Kept(first_day)
    for inputs, _ in _some(case, split, kept):
        parts = inputs_of(subject, inputs)
        day = subject.day_of(inputs).cpu().numpy().astype(np.int64)
        if subject.days_by_batch(inputs):
            day = day + kept.days_before
            kept.days_before = int(day.max()) + 1
        by_row = [part for part in parts if part.role == Role.ROWS]
        if not kept.names:
            kept.names = tuple(name for part in by_row for name in columns_of(subject, part))
        _keep_windows(kept, subject, by_row, inputs)
        kept.day.append(day)
        newest = [laid_out(part, inputs)[:, -1].double().numpy() for part in by_row]
        values, some = np.concatenate(newest, axis=1), _thinned(day)
        kept.thin.append((values[some], day[some]))
        if sum(map(len, kept.first)) <= MOST_WINDOWS:
            kept.first.append(values)
    day = np.concatenate(kept.day)
    values, thin_day = (np.concatenate(x) for x in zip(*kept.thin, strict=True))
    lengths = [len(x) for x in kept.day]
    return Rows(
        split=split,
        sample=sample_of(values, thin_day, kept.names),
        day=day,
        batch=np.repeat(np.arange(len(lengths)), lengths).astype(np.int64),
        first=np.concatenate(kept.first),
        windows=tuple(
            Windows(names, np.concatenate(x), day[: sum(map(len, x))])
            for names, x in kept.windows.items()
        ),
    )


def _thinned(day: Ints) -> Ints:
    """Positions of some rows of every day, evenly spaced: as many as are needed."""
    order = np.argsort(day, kind="stable")
    starts = np.flatnonzero(np.diff(day[order], prepend=day[order][0] - 1))
    lengths = np.diff(starts, append=len(day))
    place = np.arange(len(day)) - np.repeat(starts, lengths)
    stride = np.repeat(-(-lengths // ROWS_OF_A_DAY), lengths)
    return np.sort(order[place % stride == 0])


class _Kept:
    """What grows while a split is read."""

    def __init__(self, first_day: int) -> None:
        self.names: tuple[str, ...] = ()
        self.first: list[Floats] = []
        self.thin: list[tuple[Floats, Ints]] = []
        self.day: list[Ints] = []
        self.windows: dict[tuple[str, ...], list[NDArray[np.float32]]] = {}
        self.days_before = first_day


def _some(case: Case, split: str, kept: _Kept) -> Iterator[tuple[Any, Any]]:
    rows = 0
    for count, batch in enumerate(case.batches(split)):
        if count >= MOST_BATCHES or rows >= MOST_ROWS:
            return
        yield batch
        rows = sum(map(len, kept.day))


def laid_out(part: Input, inputs: Any) -> Tensor:  # noqa: ANN401 (inputs are the subject's own)
    """An input as (rows, steps, columns), one step where it has no lookback; on the CPU."""
    x, axes = _rows_first(read(inputs, part.path).detach(), part.axes)
    if "lookback" not in axes:
        x, axes = x.unsqueeze(1), (axes[0], "lookback", *axes[1:])
    left = [name for name in axes if name != "lookback"]
    x = x.movedim(axes.index("lookback"), 1)
    if "features" in left:
        x = x.movedim(left.index("features") + 1, 2)
    return x.reshape(*x.shape[:2], -1).cpu()


def _rows_first(x: Tensor, axes: tuple[str, ...]) -> tuple[Tensor, tuple[str, ...]]:
    at = axes.index("rows")
    return x.movedim(at, 0), ("rows", *(name for i, name in enumerate(axes) if i != at))


def _keep_windows(kept: _Kept, subject: Subject, by_row: list[Input], inputs: Any) -> None:  # noqa: ANN401
    if sum(map(len, kept.day)) > MOST_WINDOWS and len(kept.day) > 1:
        return
    for part in by_row:
        if part.axis("lookback") is None:
            continue
        windows = laid_out(part, inputs).float().numpy()
        kept.windows.setdefault(tuple(columns_of(subject, part)), []).append(windows)
