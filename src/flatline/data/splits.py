"""Splits between days: purged, sealed on label end, embargoed.

A label of horizon h ends h + 1 days after its day. A day belongs to the train
days only when its longest label ends before the first validation day, and to
the validation days only when it ends before the first test day. What was
learned from a day can then not contain a price of the days it is judged on.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flatline.data.panel import Panel
from flatline.errors import SettingsError

__all__ = ["Fold", "holdout", "walk_forward"]


@dataclass(frozen=True, slots=True, eq=False)
class Fold:
    """Positions in the panel's dates of the days to learn from, to choose by, to judge on.

    Args:
        train: Ascending. Shape (train days,), int64.
        valid: Ascending, after every train label has ended. Shape (valid days,), int64.
        test: Ascending, after every valid label has ended. Shape (test days,), int64.
    """

    train: NDArray[np.int64]
    valid: NDArray[np.int64]
    test: NDArray[np.int64]


def walk_forward(
    panel: Panel,
    *,
    train: int = 750,
    valid: int = 125,
    test: int = 250,
    step: int | None = None,
    embargo: int = 0,
    expanding: bool = True,
    test_from: str | None = None,
    test_until: str | None = None,
) -> list[Fold]:
    """Folds whose test days follow each other through time.

    The first fold tests the days after `train + valid` days, or from *test_from* on;
    each further fold begins *step* days later. The last one may be shorter. Purging takes days
    off the end of the train and of the validation days, never off the test.

    Args:
        panel: Gives the dates and the day each label ends on.
        train: Days before the validation days, before purging: the length of a
            rolling window, the least length of an expanding one.
        valid: Validation days of each fold, before purging.
        test: Test days of each fold.
        step: Days from one fold to the next; *test* if None.
        embargo: Further days between the end of a label and the next part.
        expanding: Train from the panel's first day on, instead of on the last *train* days.
        test_from: First date to test, such as "2016-01-01"; the earliest possible if None.
        test_until: Last date to test; the panel's last if None.

    Raises:
        SettingsError: A size is not positive, a date is no date or leaves too few days
            before it, or a part has no day left.

    References:
        López de Prado, Advances in Financial Machine Learning, 2018, section 7.4.

    Example:
        >>> from flatline.data import build_panel, make_market, prices_from_frame
        >>> panel = build_panel(prices_from_frame(make_market("tiny").prices), horizons=(1, 5))
        >>> folds = walk_forward(panel, train=100, valid=40, test=60)
        >>> [(fold.train[-1], fold.valid[[0, -1]], fold.test[[0, -1]]) for fold in folds][:1]
        [(np.int64(93), array([100, 133]), array([140, 199]))]
    """
    stride = test if step is None else step
    sizes = {"train": train, "valid": valid, "test": test, "step": stride, "embargo": embargo + 1}
    for name, size in sizes.items():
        if size < 1:
            raise SettingsError(
                f"{name} is {size - (name == 'embargo')}, expected a positive number of days "
                "(0 is allowed for the embargo). Choose another size."
            )
    days, first = len(panel.dates), train + valid
    if test_until is not None:
        days = _position(panel, "test_until", test_until, after=True)
    if test_from is not None:
        first = _position(panel, "test_from", test_from)
        if first < train + valid:
            raise SettingsError(
                f"test_from is {test_from!r} with {first} days before it, expected at least the "
                f"{train + valid} of train + valid. Use a later date or shorter parts."
            )
    starts = range(first, days, stride)
    if not starts:
        what = f"train + valid is {train + valid} days"
        if test_from is not None:
            what = f"test_from is {test_from!r}, after {first} days"
        raise SettingsError(
            f"{what}, expected fewer than the {days} up to the last test day. "
            "Use shorter parts, an earlier date or a longer panel."
        )
    return [
        _seal(
            panel,
            first=0 if expanding else start - valid - train,
            valid=start - valid,
            test=start,
            end=min(start + test, days),
            embargo=embargo,
        )
        for start in starts
    ]


def holdout(
    panel: Panel,
    *,
    valid: float = 0.15,
    test: float = 0.15,
    train_from: str | None = None,
    valid_from: str | None = None,
    test_from: str | None = None,
    test_until: str | None = None,
    embargo: int = 0,
) -> Fold:
    """One fold: the last days to judge on, those before to choose by, the rest to learn from.

    Args:
        panel: Gives the dates and the day each label ends on.
        valid: Share of the days that validate, unless *valid_from* is given.
        test: Share of the days that test, unless *test_from* is given.
        train_from: First date to learn from, such as "2013-01-01"; the panel's first if None.
        valid_from: First date of the validation days.
        test_from: First date of the test days.
        test_until: Last date of the test days; the panel's last if None.
        embargo: Further days between the end of a label and the next part.

    Raises:
        SettingsError: A date is no date, a share is not between 0 and 1, the
            parts are out of order, or one has no day left.
    """
    for name, share in (("valid", valid), ("test", test)):
        if not 0.0 < share < 1.0:
            raise SettingsError(
                f"{name} is {share}, expected a share of the days between 0 and 1. "
                f"Give {name}_from to split at a date."
            )
    first = 0 if train_from is None else _position(panel, "train_from", train_from)
    end = len(panel.dates)
    if test_until is not None:
        end = _position(panel, "test_until", test_until, after=True)
    span = max(end - first, 0)
    starts_test = end - round(test * span)
    if test_from is not None:
        starts_test = _position(panel, "test_from", test_from)
    starts_valid = starts_test - round(valid * span)
    if valid_from is not None:
        starts_valid = _position(panel, "valid_from", valid_from)
    return _seal(panel, first=first, valid=starts_valid, test=starts_test, end=end, embargo=embargo)


def _position(panel: Panel, name: str, date: str, *, after: bool = False) -> int:
    """Position of the first day on or after *date*, or of the first one after it."""
    try:
        day = np.datetime64(date, "D")
    except ValueError as error:
        raise SettingsError(
            f"{name} is {date!r}, expected a date such as 2019-01-01. Write year, month and day."
        ) from error
    return int(np.searchsorted(panel.dates, day, side="right" if after else "left"))


def _seal(panel: Panel, *, first: int, valid: int, test: int, end: int, embargo: int) -> Fold:
    """The fold of these bounds, without the days whose labels reach into the next part."""
    if embargo < 0:
        raise SettingsError(f"embargo is {embargo}, expected at least 0 days. Choose another.")
    last_end: NDArray[np.int64] = panel.label_end.max(axis=1) + embargo

    def sealed(start: int, stop: int) -> NDArray[np.int64]:
        days = np.arange(max(start, 0), max(stop, 0), dtype=np.int64)
        return days[last_end[days] < stop]

    fold = Fold(sealed(first, valid), sealed(valid, test), np.arange(test, end, dtype=np.int64))
    for name, kept, start, stop in (
        ("train", fold.train, first, valid),
        ("valid", fold.valid, valid, test),
        ("test", fold.test, test, end),
    ):
        if kept.size == 0:
            if name == "test":
                rule, remedy = "at least one day", "Move the bounds of test apart."
            else:
                taken = max(panel.horizons) + 1 + embargo
                rule = f"more than the {taken} days that the longest label and the embargo take"
                remedy = f"Make {name} longer, or drop the longest horizon."
            raise SettingsError(
                f"{name} has no day left of its {max(stop - start, 0)}, expected {rule}. {remedy}"
            )
    return fold
