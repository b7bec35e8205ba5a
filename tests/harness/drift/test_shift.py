"""How far a mean of later days lies from the train days, where the truth is known."""

import numpy as np
import pytest
from scipy import stats
from scipy.signal import lfilter

from flatline.harness.drift.shift import mean_shift

CHANCE, DRAWS = 0.05, 400
# What a rate of 0.05 reaches in 400 draws but for one time in ten thousand.
MOST = stats.binom.ppf(1 - 1e-4, DRAWS, CHANCE) / DRAWS


def spells(draw, days, keep):
    """A series of spread 1 that keeps this share of itself from day to day."""
    shock = draw.standard_normal(days + 200)
    return lfilter([np.sqrt(1 - keep**2)], [1, -keep], shock)[200:]


@pytest.mark.parametrize("keep", [0.0, 0.5, 0.9])
def test_a_stationary_series_exceeds_its_bound_no_more_often_than_stated(keep):
    """However long its spells last."""
    draw = np.random.default_rng(0)
    found = [mean_shift(x[:500], x[500:]) for x in (spells(draw, 625, keep) for _ in range(DRAWS))]
    # Blocks are a little short of independent: half as often again is what that costs.
    allowed = MOST if keep == 0 else 1.5 * MOST
    assert np.mean([abs(one.value) > one.bound(CHANCE) for one in found]) <= allowed


def test_the_error_is_the_spread_over_draws():
    """What one series tells of its mean is what many of them really spread by."""
    draw = np.random.default_rng(1)
    found = [mean_shift(x[:1000], x[1000:]) for x in (spells(draw, 1250, 0.8) for _ in range(200))]
    spread = np.std([one.value for one in found])
    assert np.mean([one.error for one in found]) == pytest.approx(spread, rel=0.2)


def test_days_that_follow_each_other_faster_tell_less_each():
    """Later days read daily, train days every tenth: ten of them count for one."""
    draw = np.random.default_rng(2)
    x = spells(draw, 6000, 0.95)
    every, daily = np.arange(0, 5000, 10), np.arange(5000, 6000)
    told = mean_shift(x[every], x[daily], train_day=every, later_day=daily)
    untold = mean_shift(x[every], x[daily])
    assert told.error == pytest.approx(
        untold.error * np.sqrt((1 / 500 + 1 / 100) / (1 / 500 + 1 / 1000))
    )


def test_a_series_that_wanders_by_itself_is_not_blamed_for_it():
    """As far as a stretch of the train days lies from the rest, the later ones may lie."""
    wave = np.sin(np.arange(500) / 500 * 4 * np.pi)
    found = mean_shift(wave[:400], wave[400:])
    assert found.widest > abs(found.value)
    assert abs(found.value) <= found.bound(0.05)


@pytest.mark.parametrize(
    ("train", "later"), [(np.ones(20), np.ones(5)), (np.ones(100), []), (np.full(100, np.nan), [1])]
)
def test_too_few_days_have_no_bound(train, later):
    """Nothing could exceed it, and nothing is said."""
    assert mean_shift(train, later).bound(CHANCE) == np.inf


def test_unknown_days_do_not_count():
    """A NaN changes neither side."""
    x = np.random.default_rng(3).standard_normal(300)
    holes = np.insert(x, [10, 200], np.nan)
    assert mean_shift(holes, x[:50]).value == pytest.approx(mean_shift(x, x[:50]).value)
