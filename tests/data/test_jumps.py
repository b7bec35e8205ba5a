"""Jumps held back, against a slow loop that says what is meant."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from flatline.data.jumps import hold_jumps

LIMIT, CONFIRM, GAP = 0.5, 5, 60


def slow(level, day):
    """One code, row by row: which rows are held, and the steps that join lives."""
    held, restart = np.zeros(len(level), dtype=bool), np.zeros(len(level))
    good, waiting = 0, []
    for row in range(1, len(level)):
        if abs(level[row] - level[good]) <= LIMIT:
            good, waiting = row, []
            continue
        if waiting and abs(level[row] - level[row - 1]) > LIMIT:
            waiting = []
        if abs(level[row] - level[row - 1]) <= LIMIT and not waiting:
            # A drift away from the last good row would need a break first.
            raise AssertionError
        if len(waiting) == CONFIRM:
            if day[waiting[0]] - day[good] > GAP:
                restart[row] = level[good] - level[row]
            good, waiting = row, []
            continue
        held[row] = True
        waiting.append(row)
    return held, restart


@st.composite
def levels(draw):
    """Quiet levels with jumps now and then, and now and then a long gap in time."""
    rows = draw(st.integers(1, 40))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    jump = np.where(rng.random(rows) < draw(st.sampled_from([0.05, 0.3])), 1.0, 0.0)
    moves = rng.normal(0, 0.1, rows) + jump * rng.choice([-2.3, -0.7, 0.7, 2.3], rows)
    days = np.cumsum(np.where(rng.random(rows) < 0.1, 100, 1))
    return np.cumsum(moves), days


@given(st.lists(levels(), min_size=1, max_size=4))
def test_agrees_with_a_slow_loop(codes):
    """Held rows and joining steps of several codes are those of the row-by-row rule."""
    first = np.concatenate([np.arange(len(level)) == 0 for level, _ in codes])
    level, day = (np.concatenate(part) for part in zip(*codes, strict=True))
    held = hold_jumps(level, first, day, limit=LIMIT, confirm=CONFIRM, gap=GAP)
    expected = [slow(*code) for code in codes]
    assert held.rows.tolist() == np.concatenate([rows for rows, _ in expected]).tolist()
    np.testing.assert_allclose(held.restart, np.concatenate([step for _, step in expected]))


@given(levels(), st.data())
def test_never_looks_ahead(code, data):
    """Cutting the series leaves every earlier verdict alone."""
    level, day = code
    cut = data.draw(st.integers(1, len(level)))
    first = np.arange(len(level)) == 0
    whole, part = hold_jumps(level, first, day), hold_jumps(level[:cut], first[:cut], day[:cut])
    assert whole.rows[:cut].tolist() == part.rows.tolist()
    assert whole.restart[:cut].tolist() == part.restart.tolist()


def test_a_crash_is_believed_after_five_rows():
    """A level that lasts is accepted at the sixth row."""
    level = np.log([10.0, 10, 1, 1, 1, 1, 1, 1, 1])
    held = hold_jumps(level, np.arange(9) == 0, np.arange(9))
    assert held.rows.tolist() == [False, False, *[True] * 5, False, False]
    assert not held.restart.any()
