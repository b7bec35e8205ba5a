"""What the batches hold, before any model sees it: columns, days, and later periods."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from flatline.harness.case import Case
from flatline.harness.checks import columns, day_ids, drift
from flatline.harness.declared import ROOT_NAME
from flatline.harness.drift.compare import ColumnDrift, compare
from flatline.harness.inputs import inputs_of
from flatline.harness.probes.rows import read_both
from flatline.harness.registry import Check, Cost, Layer
from flatline.harness.statistics import CHANCE
from flatline.harness.verdicts import Stage, Verdict, not_judged

__all__ = ["CHECKS"]


def compared(case: Case) -> tuple[ColumnDrift, ...]:
    """Every column of the later rows beside the train rows."""
    both = case.of(read_both)
    return compare(both.train.sample, both.later.sample, chance=CHANCE)


def _levels(case: Case) -> Verdict:
    return drift.levels_hold(case.of(compared), without=case.of(read_both).without_level)


def _spreads(case: Case) -> Verdict:
    return drift.spreads_hold(case.of(compared), without=case.of(read_both).without_scale)


def _distributions(case: Case) -> Verdict:
    both = case.of(read_both)
    without = (*both.without_level, *both.without_scale)
    return drift.distributions_hold(case.of(compared), without=without)


def _support(case: Case) -> Verdict:
    return drift.features_in_support(case.of(compared), without=case.of(read_both).without_level)


def _vary(case: Case) -> Verdict:
    both = case.of(read_both)
    sample = both.train.sample
    places = [
        name
        for windows in both.train.windows
        for name, is_place in zip(windows.names, columns.places(windows.values), strict=True)
        if is_place
    ]
    without = (*both.unread, *places)
    return columns.columns_vary(sample.values, sample.names, without=without)


def _names(case: Case) -> Verdict:
    subject = case.subject
    named = subject.columns or {}
    parts = inputs_of(subject, case.batch("train")[0])
    widths = {
        part.path or ROOT_NAME: part.shape[axis]
        for part in parts
        if (axis := part.axis("features")) is not None
    }
    then = (subject.fitted or {}).get("columns", {})
    # A plain list is of the first input that has names.
    fitted = then if isinstance(then, Mapping) else {next(iter(named)): then}
    return columns.columns_as_fitted(named, widths, fitted)


def _scale(case: Case) -> Verdict:
    both = case.of(read_both)
    sample, without = both.train.sample, both.without_scale
    return columns.columns_on_one_scale(sample.values, sample.names, without=without)


def _windows(case: Case) -> Verdict:
    both = case.of(read_both)
    if case.subject.axis == "time" or not both.train.windows:
        why = "a series has nobody to be set apart from" if both.train.windows else "no lookback"
        return not_judged(columns.WINDOWS, Stage.DATA, why)
    flat = [columns.unlevelled(windows.values) for windows in both.train.windows]
    named = [
        name
        for windows, gone in zip(both.train.windows, flat, strict=True)
        for name, is_gone in zip(windows.names, gone.tolist(), strict=True)
        if is_gone and name not in both.without_level
    ]
    return columns.windows_keep_levels(named, sum(map(len, flat)))


def _whole(case: Case) -> Verdict:
    rows = case.of(read_both).train
    return day_ids.days_are_whole(rows.day, rows.batch, axis=case.subject.axis)


def _order(case: Case) -> Verdict:
    both = case.of(read_both)
    train = both.train
    found = [day_ids.steps_back(windows.values, windows.day) for windows in train.windows]
    first = slice(len(train.first))
    off = day_ids.off_centre(train.first, train.day[first], train.batch[first])
    return day_ids.days_in_order(
        train.day,
        both.later.day,
        back=sum(back for back, _ in found),
        matched=sum(matched for _, matched in found),
        centred=[train.sample.names[i] for i in off],
    )


def _check(identity: str, says: str, judge: Callable[[Case], Verdict]) -> Check:
    return Check(
        id=identity,
        says=says,
        layer=Layer.DRIFT,
        stage=Stage.DATA,
        false_alarm_rate=0.0,
        cost=Cost.FREE,
        judge=judge,
        shares="rows",
    )


def _of_blocks(identity: str, says: str, judge: Callable[[Case], Verdict]) -> Check:
    """One that holds blocks of days against each other, up to what chance makes them differ."""
    return replace(_check(identity, says, judge), false_alarm_rate=CHANCE, ordered=True)


CHECKS = (
    _check(day_ids.WHOLE, "All rows of a day come in one batch.", _whole),
    _check(day_ids.ORDER, "Days are numbered in time, later ones behind the train days.", _order),
    replace(
        _check(columns.NAMES, "Columns are those, in the order, that were fitted.", _names),
        needs=("columns",),
    ),
    _check(columns.VARY, "No column is constant, or mostly at its bounds.", _vary),
    _check(columns.SCALE, "No column is so large that it drowns the others.", _scale),
    _check(columns.WINDOWS, "Windows keep the level that sets stocks apart.", _windows),
    _of_blocks(drift.LEVELS, "Every column has its train mean on later days.", _levels),
    _of_blocks(drift.SPREADS, "Every column has its train spread on later days.", _spreads),
    _of_blocks(
        drift.DISTRIBUTIONS,
        "Every column has its train distribution on later days.",
        _distributions,
    ),
    _check(drift.SUPPORT, "Most later rows lie in the range of the train rows.", _support),
)
