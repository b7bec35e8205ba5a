"""Intervals of the AUC of a series: around the AUC, as wide as its scatter, honest on spells."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flatline.errors import DataError, ShapeError
from flatline.metrics import auc
from flatline.metrics.class_intervals import auc_interval, auc_parts

ROWS = st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=2, max_size=40)


@given(ROWS)
def test_the_parts_average_to_the_auc(rows):
    """With ties, and undefined where there is one class."""
    score, label = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    parts, area = auc_parts(score, label), auc(score, label)
    if area is None:
        assert np.isnan(parts).all()
    else:
        assert parts.mean() == pytest.approx(area, abs=1e-12)


def test_a_part_is_what_leaving_its_row_out_changes():
    """To first order: AUC less the AUC without the row, times the rows."""
    rng = np.random.default_rng(0)
    label = (rng.random(400) < 0.3).astype(float)
    score = label + rng.standard_normal(400)
    parts, area = auc_parts(score, label), auc(score, label)
    for row in range(20):
        without = auc(np.delete(score, row), np.delete(label, row))
        assert parts[row] - area == pytest.approx(399 * (area - without), abs=0.02)


@pytest.mark.parametrize("spell", [1, 10])
def test_the_interval_covers_the_truth(spell):
    """On independent days and on spells of ten alike, about 95 of 100 intervals."""
    hits, runs, days = 0, 200, 600
    truth = 0.760250  # P(N(1, 1) > N(0, 1)), the normal distribution at 1 / sqrt(2).
    for run in range(runs):
        rng = np.random.default_rng(run)
        label = np.repeat(rng.random(days // spell) < 0.4, spell).astype(float)
        noise = np.repeat(rng.standard_normal(days // spell), spell)
        found = auc_interval(label + noise, label, draws=300, seed=run)
        hits += found.low <= truth <= found.high
    # Five standard errors of a share of 0.95, and what blocks found from the data lose.
    assert hits / runs > 0.95 - 5 * np.sqrt(0.95 * 0.05 / runs) - 0.03


def test_several_models_are_averaged():
    """The mean of their AUCs; days that all got right are not drawn apart."""
    rng = np.random.default_rng(1)
    label = (rng.random(300) < 0.5).astype(float)
    scores = label[:, None] + rng.standard_normal((300, 4))
    found = auc_interval(scores, label)
    assert found.mean == pytest.approx(np.mean([auc(s, label) for s in scores.T]))
    alone = auc_interval(scores[:, 0], label)
    assert found.high - found.low < alone.high - alone.low


def test_one_class_has_no_auc():
    """No mean and no ends."""
    found = auc_interval([0.1, 0.2, 0.3], [1, 1, 1])
    assert (found.mean, found.low, found.high) == (None, None, None)


def test_what_does_not_fit_is_refused():
    """Shapes that differ, and labels that are no class."""
    with pytest.raises(ShapeError, match="one label and one probability per row"):
        auc_parts([0.1, 0.2], [1])
    with pytest.raises(DataError, match="values beside 0 and 1"):
        auc_parts([0.1, 0.2], [0.01, -0.02])
