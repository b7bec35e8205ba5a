"""Residuals are those of least squares with dummies, a day at a time."""

import numpy as np
import pytest

from flatline.errors import ShapeError
from flatline.metrics.daily import daily_rank_ic
from flatline.metrics.residual import residualise
from metric_oracles import residual_loop


def panel(seed, days=6, names=60):
    """Scores, three exposures and a sector, on ragged days."""
    rng = np.random.default_rng(seed)
    day = np.repeat(np.arange(days), rng.integers(names // 2, names, days))
    sector = rng.integers(0, 5, day.size)
    exposures = rng.standard_normal((day.size, 3)) * [1e-6, 1.0, 1e6] + [0, 5, 1e7]
    score = rng.standard_normal(day.size) + 0.5 * exposures[:, 1] + 0.3 * sector
    return score, day, exposures, sector


@pytest.mark.parametrize("seed", range(5))
def test_agrees_with_dummies_day_by_day(seed):
    """Exposures of any unit and sectors: what lstsq leaves."""
    score, day, exposures, sector = panel(seed)
    found = residualise(score, day, exposures=exposures, group=sector).score[:, 0]
    np.testing.assert_allclose(found, residual_loop(score, day, exposures, sector), atol=1e-8)


def test_copies_and_constants_among_exposures_do_no_harm():
    """Exposures that repeat each other, the sector or the day leave the residual alone."""
    score, day, exposures, sector = panel(1)
    more = np.column_stack([exposures, 3 * exposures[:, 0] + 1e-6, sector, day, np.ones(day.size)])
    a = residualise(score, day, exposures=exposures, group=sector).score
    b = residualise(score, day, exposures=more, group=sector).score
    np.testing.assert_allclose(a, b, atol=1e-8)


def test_skill_that_is_only_volatility_is_gone():
    """A score that ranks by volatility keeps no RankIC; one that adds to it keeps its own."""
    rng = np.random.default_rng(0)
    day = np.repeat(np.arange(50), 200)
    volatility, edge = rng.standard_normal((2, day.size))
    target = -0.3 * volatility + 0.1 * edge + rng.standard_normal(day.size)
    scores = np.stack([-volatility + 1e-3 * rng.standard_normal(day.size), edge - volatility], 1)
    left = residualise(scores, day, exposures=volatility).score
    raw = daily_rank_ic(scores, np.tile(target[:, None], 2), day).mean()
    kept = daily_rank_ic(left, np.tile(target[:, None], 2), day).mean()
    assert raw[0] > 0.2
    assert abs(kept[0]) < 4 / np.sqrt(199 * 50)
    assert kept[1] > 0.05


def test_explained_share():
    """All of a score that is an exposure, none of one that is orthogonal to it."""
    day = np.repeat([0, 1], 4)
    x, y = np.tile([-1.0, -1, 1, 1], 2), np.tile([-1.0, 1, -1, 1], 2)
    found = residualise(np.stack([3 * x, y, np.ones(8)], 1), day, exposures=x).explained
    np.testing.assert_allclose(found, [[1, 0, np.nan]] * 2, atol=1e-12)


def test_missing_scores_stay_missing_and_do_not_count():
    """A NaN score is NaN after, and the others' residuals are as without its row."""
    score, day, exposures, sector = panel(2)
    score[::5] = np.nan
    known = ~np.isnan(score)
    found = residualise(score, day, exposures=exposures, group=sector).score[:, 0]
    alone = residualise(score[known], day[known], exposures=exposures[known], group=sector[known])
    np.testing.assert_array_equal(np.isnan(found), ~known)
    np.testing.assert_allclose(found[known], alone.score[:, 0], atol=1e-9)


def test_missing_exposures_are_counted_and_neutral():
    """A stock without an exposure is held at its group's mean; how many were is said."""
    score, day, exposures, sector = panel(3)
    exposures[7, 1] = np.nan
    found = residualise(score, day, exposures=exposures, group=sector)
    assert found.filled == 1
    assert np.isfinite(found.score).all()


def test_without_exposures_it_centres_the_group():
    """Sectors alone: scores less their sector's mean that day."""
    found = residualise([1.0, 3, 10, 20], [0, 0, 0, 0], group=["a", "a", "b", "b"]).score[:, 0]
    assert found.tolist() == [-1, 1, -5, 5]


def test_says_what_does_not_fit():
    """One sentence: what is what, what was expected, and the remedy."""
    with pytest.raises(ShapeError) as caught:
        residualise([1.0, 2.0], [0, 0], group=["a"])
    assert str(caught.value) == (
        "group has shape (1,), expected (2,): one id per row of day. Take both from the same frame."
    )
