"""Every column says something, on a scale that a network can read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest

import numpy as np
from numpy.typing import NDArray

from flatline.harness.checks.drift import name_columns
from flatline.harness.verdicts import Culprit, Stage, Status, Verdict

__all__ = [
    "NAMES", "SCALE", "VARY", "WINDOWS", "columns_as_fitted", "columns_on_one_scale",
    "columns_vary", "places", "unlevelled", "windows_keep_levels",
]  # fmt: skip

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

NAMES = "columns_as_fitted"
VARY, SCALE, WINDOWS = "columns_vary", "columns_on_one_scale", "windows_keep_levels"

# Rows at either bound of a column from which on it is saturated.
MOST_AT_BOUND = 0.25
# Root mean square from which on a column is not normalised: a unit that saturates at 1 sees steps.
LARGEST = 100.0
# Where most columns have a spread of about 1, how far off one of them may lie.
USUAL, FAR = (0.3, 3.0), 10.0
# What float32 leaves of a window's mean that was taken out, in the column's spread.
LEVELLED = 1e-3


@dataclass(frozen=True, slots=True)
class _Moments:
    mean: Floats
    spread: Floats
    rms: Floats
    flag: Bools


def columns_vary(values: Floats, names: Sequence[str], *, without: Sequence[str] = ()) -> Verdict:
    """Every column must take more than one value, and not mostly its bounds.

    A level that no row has is no fault: of columns that hold 0 and 1 only, such as the
    levels of a category, one may be constant unless all of them are.

    Args:
        values: Train rows, NaN where unknown. Shape (rows, columns).
        names: One per column, those of one input beginning alike, as `input:column`.
        without: Columns that may not matter to the model.
    """
    judged = ~np.isin(names, without)
    found = _moments(values)
    inputs = np.array([name.split(":")[0] for name in names])
    constant = ~(found.spread > 1e-7 * found.rms)
    flags_vary = np.array([bool((found.flag & ~constant)[inputs == i].any()) for i in inputs])
    excused = found.flag & flags_vary
    dead = judged & constant & ~excused
    full = judged & _saturated(values, inputs, found) & ~constant
    bad = [names[i] for i in np.flatnonzero(dead).tolist()]
    clipped = [names[i] for i in np.flatnonzero(full).tolist()]
    findings = (
        [f"{len(bad)} of {len(names)} columns are constant: {name_columns(bad)}"] if bad else []
    )
    if clipped:
        findings.append(f"{len(clipped)} are mostly at their bounds: {name_columns(clipped)}")
    evidence = "; ".join(findings)
    return _verdict(
        VARY,
        evidence,
        good=f"all {len(names)} columns vary",
        columns=[*bad, *clipped],
        hint=_why_constant(bad, names) or "Where a scale is 0, all that differs is cut off.",
        remedy="Look for a z-score of one row, a spread of 0 under a robust scaling, or a name "
        "that the data does not have.",
    )


def columns_as_fitted(
    columns: Mapping[str, Sequence[str]],
    widths: Mapping[str, int],
    fitted: Mapping[str, Sequence[str]],
) -> Verdict:
    """The columns of a batch must be those, in the order, that the model was trained with.

    Args:
        columns: Names of the columns of each input now.
        widths: How many columns each input really has.
        fitted: Names that the model was trained with, of the same inputs.
    """
    wrong, told = [], []
    for path, names in columns.items():
        if path in widths and widths[path] != len(names):
            wrong.append(path)
            told.append(f"{path} has {widths[path]} columns and {len(names)} names")
    for path, names in fitted.items():
        pairs = list(zip_longest(columns.get(path, ()), names, fillvalue="missing"))
        differ = [(i, now, then) for i, (now, then) in enumerate(pairs) if now != then]
        if differ:
            i, now, then = differ[0]
            wrong += [f"{path}:{now}" for _, now, _ in differ]
            told.append(
                f"{len(differ)} of {len(names)} columns of {path} are not those that were fitted: "
                f"column {i} is {now}, was {then}"
            )
    return _verdict(
        NAMES,
        "; ".join(told),
        good=f"{sum(map(len, columns.values()))} names, in the order that was fitted"
        if fitted
        else f"{sum(map(len, columns.values()))} names for as many columns",
        columns=wrong,
        hint="Weights and statistics belong to columns by their place.",
        remedy="Select the columns by the names that were saved with the model.",
    )


def columns_on_one_scale(
    values: Floats, names: Sequence[str], *, without: Sequence[str] = ()
) -> Verdict:
    """No column may be so large that it drowns the others.

    Args:
        values: Train rows, NaN where unknown. Shape (rows, columns).
        names: One per column.
        without: Columns whose scale may not matter to the model.
    """
    found = _moments(values)
    judged = ~np.isin(names, without) & np.isfinite(found.rms)
    alike = judged & (found.spread >= USUAL[0]) & (found.spread <= USUAL[1])
    alike &= np.abs(found.mean) <= 1
    standardised = alike.sum() > judged.sum() / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        off = (found.rms > FAR * USUAL[1]) | (np.abs(found.mean) > FAR * found.spread) & (
            found.rms > FAR
        )
    large = judged & ((found.rms > LARGEST) | (standardised & off))
    worst = int(np.argmax(np.where(judged, found.rms, -np.inf)))
    bad = [names[i] for i in np.flatnonzero(large).tolist()]
    size = f"root mean square up to {found.rms[worst]:.3g} ({names[worst]})"
    many = ", most others have a spread of about 1" if standardised and bad else ""
    return _verdict(
        SCALE,
        f"{len(bad)} of {len(names)} columns are not on the scale of a network's inputs: "
        f"{name_columns(bad)}; {size}{many}"
        if bad
        else "",
        good=f"{size}, expected at most {LARGEST:g}",
        columns=bad,
        hint="Not normalised, or by the statistics of another column." if bad else "",
        remedy="Normalise it by its own statistics on the train days; check their order.",
        value=float(found.rms[worst]),
        bound=LARGEST,
    )


def windows_keep_levels(levelled: Sequence[str], columns: int) -> Verdict:
    """Windows must keep their level: what sets stocks apart is gone where each has mean 0.

    Args:
        levelled: Columns that have mean 0 in every window, see `unlevelled`.
        columns: How many there are.
    """
    gone = len(levelled) == columns and columns > 0
    return _verdict(
        WINDOWS,
        f"all {columns} columns have mean 0 in every window" if gone else "",
        good=f"{len(levelled)} of {columns} columns have mean 0 in every window",
        columns=levelled if gone else (),
        hint="Each window is normalised by itself: no level is left to compare stocks by."
        if gone
        else "",
        remedy="Normalise within the day, or over the train days; leave a window its level.",
    )


def unlevelled(windows: NDArray[np.float32]) -> Bools:
    """Columns whose mean over the lookback is 0 in every window that moves: (columns,).

    Args:
        windows: Shape (rows, lookback, columns).
    """
    x = windows.astype(np.float64)
    spread = x.std(1)
    moves = spread > 0
    centred = np.abs(x.mean(1)) <= LEVELLED * spread
    return np.asarray((centred | ~moves).all(0) & moves.any(0))


def places(windows: NDArray[np.float32]) -> Bools:
    """Columns that tell the place in the window: alike for all rows, step by step: (columns,).

    Args:
        windows: Shape (rows, lookback, columns).
    """
    alike = (np.ptp(windows, 0) == 0).all(0)
    return np.asarray(alike & (np.ptp(windows[:1], 1) > 0).all(0))


def _moments(values: Floats) -> _Moments:
    known = np.isfinite(values)
    rows = np.maximum(known.sum(0), 1)
    held = np.where(known, values, 0.0)
    mean = held.sum(0) / rows
    spread = np.sqrt((np.where(known, held - mean, 0.0) ** 2).sum(0) / rows)
    rms = np.sqrt((held**2).sum(0) / rows)
    flag = ((held == 0) | (held == 1)).all(0)
    return _Moments(mean, spread, rms, flag)


def _saturated(values: Floats, inputs: NDArray[np.str_], found: _Moments) -> Bools:
    """Columns mostly at a bound that they share with others of their input."""
    size = np.abs(np.where(np.isfinite(values), values, 0.0))
    largest = size.max(0)
    at_bound = (size >= largest * (1 - 1e-6)).mean(0)
    inner = (size < largest * (1 - 1e-6)) & (size > 0)
    clip = np.array([largest[inputs == i].max() for i in inputs])
    clipped = (largest >= clip * (1 - 1e-6)) & (clip > 1)
    # A spread of 0 leaves the centre and the two bounds, and nothing between.
    full = (at_bound > MOST_AT_BOUND) | (~inner.any(0) & (at_bound > 0))
    return np.asarray(full & clipped & ~found.flag)


def _why_constant(bad: Sequence[str], names: Sequence[str]) -> str:
    if not bad:
        return ""
    if len(bad) == len(names):
        return "Every column is constant: one stock a day has no spread within the day."
    if len(bad) > len(names) / 2:
        return "Most columns are constant: are their names in the data?"
    return (
        "A column without variance tells the model nothing: drop it, or declare that it may not "
        f"matter, as in `insensitive_to={{{bad[0]!r}}}`."
    )


def _verdict(
    check: str,
    evidence: str,
    *,
    good: str,
    columns: Sequence[str],
    hint: str,
    remedy: str,
    value: float | None = None,
    bound: float | None = None,
) -> Verdict:
    """A pass with what is *good*, or a failure with its *evidence*."""
    return Verdict(
        check=check,
        stage=Stage.DATA,
        status=Status.FAIL if evidence else Status.PASS,
        value=float(len(columns)) if value is None else value,
        bound=0.0 if bound is None else bound,
        unit="columns" if value is None else "root mean square",
        measured=evidence or good,
        false_alarm_rate=0.0,
        hint=hint if evidence else "",
        culprit=Culprit(
            kind="column", path=name_columns(list(columns)), evidence=evidence, remedy=remedy
        )
        if evidence
        else None,
    )
