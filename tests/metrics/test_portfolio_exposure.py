"""Exposure to groups adds up to the book, group by group and day by day."""

import numpy as np
import pytest

from flatline.errors import ShapeError
from flatline.metrics.portfolio_exposure import group_exposure


def test_agrees_with_a_loop_and_adds_up():
    """Each group's sums are those of its stocks; all groups make the book."""
    rng = np.random.default_rng(0)
    held = rng.standard_normal((12, 9))
    group = rng.integers(-1, 4, size=held.shape)
    found = group_exposure(held, group, groups=4)
    for day in range(12):
        for number in range(5):
            here = held[day, group[day] == (number if number < 4 else -1)]
            assert found.net[day, number] == pytest.approx(here.sum(), abs=1e-12)
            assert found.gross[day, number] == pytest.approx(np.abs(here).sum())
    np.testing.assert_allclose(found.net.sum(1), held.sum(1))
    np.testing.assert_allclose(found.gross.sum(1), np.abs(held).sum(1))


def test_a_stock_that_changes_its_group_takes_its_value_along():
    """Groups are those of the day."""
    found = group_exposure(np.ones((2, 1)), [[0], [1]], groups=2)
    assert found.net.tolist() == [[1, 0, 0], [0, 1, 0]]


def test_groups_that_do_not_fit_are_refused():
    """A group of each stock and day, with a place among the groups."""
    with pytest.raises(
        ShapeError, match=r"^group has shape \(2, 1\) and numbers up to 2, expected"
    ):
        group_exposure(np.ones((2, 1)), [[0], [2]], groups=2)
    with pytest.raises(
        ShapeError, match=r"^group has shape \(1, 1\) and numbers up to 0, expected"
    ):
        group_exposure(np.ones((2, 1)), [[0]], groups=2)
