"""A horizon that has no label says nothing, and takes no other with it."""

import numpy as np

from flatline.harness import Status
from flatline.harness.checks.degeneracy import scale_in_range

DAYS, STOCKS = 6, 20


def rows(seed=0):
    """Scores, targets and the day of each row."""
    draw = np.random.default_rng(seed)
    score, target = draw.standard_normal((2, DAYS * STOCKS, 2))
    return score, target, np.arange(DAYS * STOCKS) // STOCKS


def test_a_horizon_without_labels_leaves_the_scale_to_the_others():
    """They pass, or fail, as if it were not there."""
    score, target, day = rows()
    target[:, 1] = np.nan
    assert scale_in_range(score, target, day).status == Status.PASS
    verdict = scale_in_range(score * 1e-4, target, day)
    assert verdict.status == Status.FAIL
    assert verdict.value < verdict.bound


def test_without_any_label_the_scale_is_not_judged():
    """There is nothing to hold it against."""
    score, target, day = rows()
    assert scale_in_range(score, np.full_like(target, np.nan), day).status == Status.SKIP
