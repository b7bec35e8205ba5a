"""Rows laid out as days and stocks."""

import numpy as np
import pytest

from flatline.errors import ShapeError
from flatline.metrics.wide import to_wide


def test_wide_tables():
    """Rows in any order become days and stocks; two rows in one place are refused."""
    wide, days, stocks = to_wide([1.0, 2.0, 3.0], [9, 4, 9], ["b", "a", "a"])
    np.testing.assert_array_equal(wide, [[2, np.nan], [3, 1]])
    assert (days.tolist(), stocks.tolist()) == ([4, 9], ["a", "b"])
    with pytest.raises(ShapeError) as caught:
        to_wide([1.0, 2.0], [9, 9], ["b", "b"])
    message = "stock b has 2 rows on day 9, expected one. Drop the duplicates."
    assert str(caught.value) == message


def test_columns_that_do_not_belong_together_are_refused():
    """One value, one day and one stock a row."""
    with pytest.raises(ShapeError, match=r"values has shape \(2,\) and stock \(1,\), expected "):
        to_wide([1.0, 2.0], [9, 9], ["b"])
