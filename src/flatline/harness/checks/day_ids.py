"""Days are whole, in order, and those that the rows are really of."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from flatline.harness.subject import Axis
from flatline.harness.verdicts import Culprit, Stage, Status, Verdict

__all__ = ["ORDER", "WHOLE", "days_are_whole", "days_in_order", "off_centre", "steps_back"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

WHOLE, ORDER = "days_are_whole", "days_in_order"

# What float32 leaves of a mean that is taken out, and what no such mean comes near, in spreads.
CENTRED, OFF = 1e-4, 1e-2


def days_are_whole(day: Ints, batch: Ints, *, axis: Axis = "stocks") -> Verdict:
    """All rows of a day must come in one batch, and a day must have more than one.

    Args:
        day: Of every row of a split, in the order of its batches. Shape (rows,).
        batch: Shape (rows,).
        axis: Along time each row is a day of its own, and nothing is torn.
    """
    pairs = np.unique(np.stack([day, batch]), axis=1)
    days, batches = np.unique(pairs[0], return_counts=True)
    torn = days[batches > 1]
    rows = np.bincount(np.unique(day, return_inverse=True)[1])
    alone = axis == "stocks" and int(rows.max()) == 1 and day.size > 1
    failed = axis == "stocks" and (bool(torn.size) or alone)
    evidence = f"{torn.size} of {days.size} days come in more than one batch"
    hint = ""
    if failed and alone:
        evidence, hint = f"each of {days.size} days has one row", "Look for a row number as day."
    elif failed and days.size == 1:
        hint = "All batches have the same day: look for a constant, or for days within the batch."
    elif failed:
        hint = f"Day {torn[0]} is one of them: look at how the loader cuts its batches."
    return Verdict(
        check=WHOLE,
        stage=Stage.DATA,
        status=Status.FAIL if failed else Status.PASS,
        value=float(torn.size),
        bound=0.0,
        unit="days",
        measured=f"{evidence}, expected whole days of several rows"
        if axis == "stocks"
        else f"{days.size} days of one series in {int(batch.max()) + 1} batches",
        false_alarm_rate=0.0,
        hint=hint,
        culprit=_days_culprit(
            evidence,
            "Cut batches between days, and number days through all batches; where each batch "
            'is one day, say `days="batch"`.',
        )
        if failed
        else None,
    )


def days_in_order(
    train: Ints, later: Ints, *, back: int, matched: int, centred: Sequence[str] = ()
) -> Verdict:
    """Days must be numbered in time, those of the later period behind the train days.

    Three things that no right numbering does: a later day is no later; a window that
    continues another one, step for step, has a day that is not behind it; columns that
    are centred in every batch are not centred on any of its days.

    Args:
        train: Days of the train rows. Shape (rows,).
        later: Days of the later rows. Shape (rows,).
        back: Windows that continue one of the same or a later day, see `steps_back`.
        matched: Windows that continue another.
        centred: Columns found by `off_centre`.
    """
    early = np.unique(later[later <= train.max()])
    findings = []
    if early.size:
        findings.append(f"{early.size} later days lie on or before the last train day")
    if back:
        findings.append(
            f"{back} of {matched} windows that continue another one do not have a later day"
        )
    if centred:
        findings.append(
            f"{len(centred)} columns have mean 0 in every batch and on none of its days"
        )
    evidence = "; ".join(findings)
    return Verdict(
        check=ORDER,
        stage=Stage.DATA,
        status=Status.FAIL if findings else Status.PASS,
        value=float(early.size + back + len(centred)),
        bound=0.0,
        unit="findings",
        measured=evidence
        or (
            f"later days begin {int(later.min() - train.max())} after the last train day, and "
            f"{matched} windows continue one of an earlier day"
        ),
        false_alarm_rate=0.0,
        hint="" if not findings else "Days are shuffled, constant, or those of another table.",
        culprit=_days_culprit(
            evidence, "Take the day of each row from the row that its features are from."
        )
        if findings
        else None,
    )


def steps_back(windows: NDArray[np.float32], day: Ints) -> tuple[int, int]:
    """Windows that continue another one, and how many of these do not have a later day.

    Args:
        windows: Shape (rows, lookback, features).
        day: Shape (rows,).

    Returns:
        How many do not, and how many continue another.

    Example:
        >>> x = np.lib.stride_tricks.sliding_window_view(np.arange(6.0), 3)[..., None]
        >>> steps_back(x.astype(np.float32), np.array([0, 1, 2, 3]))
        (0, 3)
        >>> steps_back(x.astype(np.float32), np.array([2, 1, 0, 3]))
        (2, 3)
    """
    if windows.shape[1] < 3:
        return 0, 0
    # A window that does not move, such as padding, continues any other like it.
    moves = (windows[:, 1:-1] != windows[:, :1]).any((1, 2))
    x, when = np.ascontiguousarray(windows[moves]), day[moves]
    if not len(x):
        return 0, 0
    older, newer = _keys(x[:, 1:]), _keys(x[:, :-1])
    alone = [_alone(keys) for keys in (older, newer)]
    _, first, second = np.intersect1d(
        older[alone[0]], newer[alone[1]], assume_unique=True, return_indices=True
    )
    before, after = when[np.flatnonzero(alone[0])[first]], when[np.flatnonzero(alone[1])[second]]
    return int((after <= before).sum()), len(before)


def off_centre(values: Floats, day: Ints, batch: Ints) -> list[int]:
    """Columns that are centred in every batch of several days, and on none of these days.

    Args:
        values: Shape (rows, columns).
        day: Shape (rows,).
        batch: Shape (rows,).

    Returns:
        Their positions.
    """
    by_batch, by_day = _means(values, batch), _means(values, day)
    pairs = np.unique(np.stack([day, batch]), axis=1)
    if pairs.shape[1] < 2 * len(np.unique(batch)):
        return []
    spread = values.std(0)
    with np.errstate(divide="ignore", invalid="ignore"):
        centred = (np.abs(by_batch) <= CENTRED * spread).all(0)
        off = (np.abs(by_day) >= OFF * spread).mean(0) > 0.5
    moves = spread > 0
    return np.flatnonzero(centred & off & moves).tolist()


def _keys(x: NDArray[np.float32]) -> NDArray[np.void]:
    flat = np.ascontiguousarray(x).reshape(len(x), -1)
    return flat.view(np.dtype((np.void, flat.shape[1] * flat.itemsize))).ravel()


def _alone(keys: NDArray[np.void]) -> NDArray[np.bool_]:
    """Keys that come once only."""
    _, inverse, counts = np.unique(keys, return_inverse=True, return_counts=True)
    once: NDArray[np.bool_] = (counts == 1)[inverse.ravel()]
    return once


def _means(x: Floats, group: Ints) -> Floats:
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[order], prepend=group[order][0] - 1))
    lengths = np.diff(starts, append=len(group))
    return np.asarray(np.add.reduceat(x[order], starts, axis=0) / lengths[:, None])


def _days_culprit(evidence: str, remedy: str) -> Culprit:
    return Culprit(kind="input", path="days", evidence=evidence, remedy=remedy)
