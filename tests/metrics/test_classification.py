"""Figures of probabilities agree with scikit-learn."""

import numpy as np
import pytest

from flatline.errors import DataError
from flatline.metrics.classification import auc, class_figures

# A peer to agree with; the GPU smoke is collected where it may not be installed.
sk = pytest.importorskip("sklearn.metrics")


def panel(seed, *, ties=False):
    """Calibrated probabilities on ragged days, with holes in the labels."""
    rng = np.random.default_rng(seed)
    day = np.repeat(np.arange(8), rng.integers(5, 60, 8))
    p = rng.uniform(0.1, 0.9, day.size)
    p = np.round(p, 1) if ties else p
    label = np.float64(rng.random(day.size) < p)
    label[rng.random(day.size) < 0.1] = np.nan
    return p, label, day


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_agrees_with_scikit_learn(seed, ties):
    """AUC with ties, overall and day by day, and the Brier score."""
    p, label, day = panel(seed, ties=ties)
    known = ~np.isnan(label)
    (row,) = class_figures(p, label, day)
    assert row.auc == pytest.approx(sk.roc_auc_score(label[known], p[known]), abs=1e-12)
    assert row.brier == pytest.approx(sk.brier_score_loss(label[known], p[known]), abs=1e-12)
    by_day = []
    for d in range(8):
        here = known & (day == d)
        if np.unique(label[here]).size == 2:
            by_day.append(sk.roc_auc_score(label[here], p[here]))
    assert row.auc_day == pytest.approx(np.mean(by_day), abs=1e-12)
    assert row.undefined_days == 8 - len(by_day)


def test_calibrated_probabilities_have_slope_one():
    """The line is the diagonal and the bins lie on it, within four standard errors."""
    rng = np.random.default_rng(0)
    p = rng.uniform(0.1, 0.9, 40000)
    (row,) = class_figures(p, np.float64(rng.random(p.size) < p), np.zeros(p.size, int))
    assert row.slope == pytest.approx(1, abs=4 * 0.5 / (p.std() * 200))
    assert row.intercept == pytest.approx(0, abs=4 * 0.5 / (p.std() * 200))
    assert row.calibration_error < 4 * 0.5 / np.sqrt(4000)
    assert row.bins.shape == (10, 3)
    assert row.bins[:, 2].sum() == p.size


def test_constant_probabilities_are_undefined_not_perfect():
    """No calibration line; every pair a tie; as good as the base rate."""
    label = np.array([0.0, 1.0, 1.0, 0.0])
    (row,) = class_figures(np.full(4, 0.5), label, np.zeros(4, int))
    assert (row.slope, row.intercept, row.yhat_std) == (None, None, 0.0)
    assert (row.auc, row.brier, row.brier_naive) == (0.5, 0.25, 0.25)


def test_one_class_has_no_auc():
    """Nothing to tell apart is undefined."""
    assert auc([0.1, 0.9], [1, 1]) is None
    assert auc([], []) is None
    (row,) = class_figures([0.1, 0.9], [np.nan, np.nan], [1, 2])
    assert (row.rows, row.auc, row.auc_day, row.brier, row.base_rate) == (0, None, None, None, None)


def test_a_broken_probability_is_not_left_out():
    """NaN makes the pooled figures undefined."""
    (row,) = class_figures([np.nan, 0.9, 0.2], [1, 1, 0], [1, 1, 1])
    assert (row.auc, row.brier, row.slope, row.undefined_days) == (None, None, None, 1)


@pytest.mark.parametrize(
    ("p", "label", "message"),
    [
        (
            [0.5],
            [0.02],
            "label has values beside 0, 1 and NaN. Give the class, not the return.",
        ),
        (
            [1.5],
            [1],
            (
                "probability reaches from 1.5 to 1.5, expected numbers in [0, 1]. Put logits "
                "through a sigmoid first."
            ),
        ),
    ],
)
def test_says_what_is_no_probability(p, label, message):
    """Returns as labels and logits as probabilities are refused."""
    with pytest.raises(DataError) as caught:
        class_figures(p, label, [1])
    assert str(caught.value) == message
