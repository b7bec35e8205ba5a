"""Splits sealed on label end, against a count day by day."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_helpers import random_panel, with_arrays
from flatline.data.splits import holdout, walk_forward
from flatline.errors import SettingsError

PANEL = random_panel(200, 3, 1, horizons=(1, 5, 10))
SIZES = st.fixed_dictionaries(
    {
        "train": st.integers(20, 60),
        "valid": st.integers(20, 40),
        "test": st.integers(1, 40),
        "step": st.none() | st.integers(1, 50),
        "embargo": st.integers(0, 5),
        "expanding": st.booleans(),
    }
)


def kept(panel, start, stop, embargo):
    """Days whose every label ends, embargo included, before *stop*."""
    return [
        t for t in range(start, stop) if all(t + 1 + h + embargo < stop for h in panel.horizons)
    ]


@given(SIZES)
def test_no_label_reaches_into_the_next_part(sizes):
    """Train labels end before the first validation day, validation labels before the test."""
    for fold in walk_forward(PANEL, **sizes):
        last_end = PANEL.label_end.max(axis=1) + sizes["embargo"]
        assert last_end[fold.train].max() < fold.valid.min()
        assert last_end[fold.valid].max() < fold.test.min()


@given(SIZES)
def test_nothing_is_purged_that_could_stay(sizes):
    """Each part is the days of its span whose labels end in time, and all of them."""
    step = sizes["step"] or sizes["test"]
    folds = walk_forward(PANEL, **sizes)
    starts = list(range(sizes["train"] + sizes["valid"], 200, step))
    assert len(folds) == len(starts)
    for fold, start in zip(folds, starts, strict=True):
        valid = start - sizes["valid"]
        first = 0 if sizes["expanding"] else valid - sizes["train"]
        assert fold.train.tolist() == kept(PANEL, first, valid, sizes["embargo"])
        assert fold.valid.tolist() == kept(PANEL, valid, start, sizes["embargo"])
        assert fold.test.tolist() == list(range(start, min(start + sizes["test"], 200)))


def test_label_end_of_the_panel_is_what_seals():
    """A panel whose labels end later is purged more, whatever its horizons say."""
    late = with_arrays(PANEL, label_end=PANEL.label_end + 7)
    sizes = {"train": 60, "valid": 40, "test": 40}
    ends = [walk_forward(panel, **sizes)[0].train[-1] for panel in (PANEL, late)]
    assert ends[0] - ends[1] == 7


def test_holdout_by_share():
    """Shares of the days, purged."""
    fold = holdout(PANEL, valid=0.2, test=0.1)
    assert fold.test.tolist() == list(range(180, 200))
    assert fold.valid.tolist() == kept(PANEL, 140, 180, 0)
    assert fold.train.tolist() == kept(PANEL, 0, 140, 0)


def test_holdout_by_date():
    """Dates choose the first day on or after them; until includes its day."""
    fold = holdout(
        PANEL,
        train_from="2020-01-11",
        valid_from="2020-03-01",
        test_from="2020-04-20",
        test_until="2020-05-20",
        embargo=3,
    )
    dates = PANEL.dates
    assert dates[fold.train[0]] == np.datetime64("2020-01-11")
    assert dates[fold.valid[0]] == np.datetime64("2020-03-01")
    assert dates[fold.test[[0, -1]]].tolist() == [
        np.datetime64("2020-04-20").item(),
        np.datetime64("2020-05-20").item(),
    ]
    assert PANEL.label_end[fold.train].max() + 3 < fold.valid[0]


def test_a_share_of_validation_days_before_a_test_date():
    """A test date and a validation share go together."""
    fold = holdout(PANEL, valid=0.25, test_from="2020-05-30")
    assert fold.test[0] == 150
    assert fold.valid[0] == 100


def test_the_first_and_the_last_tested_date_can_be_chosen():
    """Windows begin at the one and end with the other, whatever length is left."""
    folds = walk_forward(
        PANEL, train=60, valid=20, test=30, test_from="2020-04-01", test_until="2020-05-20"
    )
    dates = [PANEL.dates[fold.test[[0, -1]]].astype(str).tolist() for fold in folds]
    assert dates == [["2020-04-01", "2020-04-30"], ["2020-05-01", "2020-05-20"]]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: walk_forward(PANEL, train=60, valid=11, test=20),
            (
                "valid has no day left of its 11, expected more than the 11 days that the longest "
                "label and the embargo take. Make valid longer, or drop the longest horizon."
            ),
        ),
        (
            lambda: walk_forward(PANEL, train=180, valid=20, test=20),
            (
                "train + valid is 200 days, expected fewer than the 200 up to the last test day. "
                "Use shorter parts, an earlier date or a longer panel."
            ),
        ),
        (
            lambda: walk_forward(PANEL, train=60, valid=20, test=20, test_from="2020-03-01"),
            (
                "test_from is '2020-03-01' with 60 days before it, expected at least the 80 of "
                "train + valid. Use a later date or shorter parts."
            ),
        ),
        (
            lambda: walk_forward(
                PANEL, train=60, valid=20, test_from="2020-05-01", test_until="2020-04-01"
            ),
            (
                "test_from is '2020-05-01', after 121 days, expected fewer than the 92 up to the "
                "last test day. Use shorter parts, an earlier date or a longer panel."
            ),
        ),
        (
            lambda: walk_forward(PANEL, test=0),
            (
                "test is 0, expected a positive number of days (0 is allowed for the embargo). "
                "Choose another size."
            ),
        ),
        (
            lambda: walk_forward(PANEL, embargo=-1),
            (
                "embargo is -1, expected a positive number of days (0 is allowed for the embargo). "
                "Choose another size."
            ),
        ),
        (
            lambda: holdout(PANEL, embargo=-2),
            "embargo is -2, expected at least 0 days. Choose another.",
        ),
        (
            lambda: holdout(PANEL, valid=1.0),
            (
                "valid is 1.0, expected a share of the days between 0 and 1. "
                "Give valid_from to split at a date."
            ),
        ),
        (
            lambda: holdout(PANEL, test_from="next year"),
            (
                "test_from is 'next year', expected a date such as 2019-01-01. "
                "Write year, month and day."
            ),
        ),
        (
            lambda: holdout(PANEL, test_from="2031-01-01"),
            (
                "test has no day left of its 0, expected at least one day. "
                "Move the bounds of test apart."
            ),
        ),
    ],
)
def test_nothing_left_is_an_error(call, message):
    """A part without days, a size or a date that cannot be meant: one sentence and the remedy."""
    with pytest.raises(SettingsError, match=f"^{re.escape(message)}$"):
        call()
