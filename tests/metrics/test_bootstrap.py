"""Intervals cover what they say they cover, and are reproducible."""

import numpy as np
import pytest

from flatline.errors import SettingsError, ShapeError
from flatline.metrics.bootstrap import block_length, bootstrap_mean, paired_difference


def autoregressive(seed, days, rho):
    """A series of mean 0 in which each day keeps rho of the day before."""
    noise = np.random.default_rng(seed).standard_normal(days + 100)
    x = np.zeros_like(noise)
    for t in range(1, x.size):
        x[t] = rho * x[t - 1] + noise[t]
    return x[100:]


@pytest.mark.parametrize("kind", ["circular", "stationary"])
@pytest.mark.parametrize(("days", "rho"), [(120, 0.0), (250, 0.3), (500, 0.5)])
def test_covers_the_mean_of_a_dependent_series(kind, days, rho):
    """Of 95 percent intervals about 95 percent hold the mean, also where days depend."""
    runs = 300
    hits = 0
    for seed in range(runs):
        interval = bootstrap_mean(autoregressive(seed, days, rho), kind=kind, draws=300, seed=seed)
        hits += interval.low <= 0 <= interval.high
    # Four binomial standard errors, and three points that a block bootstrap of so few days is
    # known to lack: it leaves out the dependence between blocks.
    error = np.sqrt(0.95 * 0.05 / runs)
    assert 0.95 - 0.03 - 4 * error < hits / runs < 0.95 + 4 * error


def test_ignoring_the_dependence_would_not():
    """Single days, drawn from a dependent series, are far too sure: the test above can fail."""
    runs = 300
    hits = 0
    for seed in range(runs):
        interval = bootstrap_mean(autoregressive(seed, 500, 0.5), block=1, draws=300, seed=seed)
        hits += interval.low <= 0 <= interval.high
    assert hits / runs < 0.82


def test_overlapping_labels_lengthen_the_blocks():
    """A block is never shorter than the horizon, nor longer than a quarter of the days."""
    noise = np.random.default_rng(0).standard_normal(400)
    assert block_length(noise, horizon=20) == 20
    assert block_length(noise[:40], horizon=20) == 10
    assert block_length(autoregressive(0, 400, 0.8)) > 2 * block_length(noise)


def test_is_the_mean_of_the_defined_days():
    """Undefined days keep their place and do not count."""
    x = np.random.default_rng(0).standard_normal(100)
    x[::7] = np.nan
    interval = bootstrap_mean(x)
    assert interval.mean == pytest.approx(np.nanmean(x), abs=1e-15)
    assert interval.days == np.isfinite(x).sum()
    assert interval.low < interval.mean < interval.high


def test_same_seed_same_interval():
    """The seed decides the draws, and nothing else does."""
    x = np.random.default_rng(0).standard_normal(100)
    assert bootstrap_mean(x, seed=3) == bootstrap_mean(x, seed=3)
    assert bootstrap_mean(x, seed=3) != bootstrap_mean(x, seed=4)


@pytest.mark.parametrize("kind", ["circular", "stationary"])
def test_draws_agree_with_a_loop(kind):
    """The spread of the resampled means is that of series resampled one by one."""
    x = autoregressive(1, 60, 0.5)
    interval = bootstrap_mean(x, block=5, kind=kind, draws=20000, level=0.68)
    rng = np.random.default_rng(0)
    means = []
    for _ in range(4000):
        picked = []
        while len(picked) < x.size:
            length = 5 if kind == "circular" else rng.geometric(0.2)
            start = rng.integers(x.size)
            picked += [(start + k) % x.size for k in range(length)]
        means.append(x[picked[: x.size]].mean())
    # The t quantile of 11 degrees of freedom, expanded, in units of a bootstrap's spread.
    width = 2 * 1.04 * np.sqrt(12 / 11) * np.std(means)
    assert interval.high - interval.low == pytest.approx(width, rel=0.05)


def test_too_few_days_give_no_interval():
    """A mean without an interval, and without days no mean, never a number made up."""
    few = bootstrap_mean([0.1])
    assert (few.mean, few.low, few.high, few.excludes_zero) == (0.1, None, None, False)
    none = bootstrap_mean([np.nan, np.nan])
    assert (none.mean, none.low, none.days) == (None, None, 0)


def test_a_constant_series_has_a_point_for_an_interval():
    """No spread, no width."""
    interval = bootstrap_mean(np.full(50, 0.25))
    assert (interval.low, interval.high) == (0.25, 0.25)


def test_pairs_are_far_sharper_than_singles():
    """Two models on the same days differ by little, and the interval sees it."""
    rng = np.random.default_rng(0)
    market = 0.1 * rng.standard_normal(250)
    a, b = (market + shift + 0.01 * rng.standard_normal(250) for shift in (0.01, 0.0))
    assert paired_difference(a, b).excludes_zero
    single = bootstrap_mean(a)
    assert not single.excludes_zero
    swapped = paired_difference(b, a)
    assert swapped.mean == -paired_difference(a, b).mean


def test_pairs_count_days_both_are_defined_on():
    """A day that one model lacks is no pair."""
    a, b = np.arange(20.0), np.arange(20.0)
    a[3] = b[5] = np.nan
    assert paired_difference(a, b).days == 18


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: bootstrap_mean(np.ones((3, 2))),
            ShapeError,
            "per_day has shape (3, 2), expected one value per day. Give one horizon at a time.",
        ),
        (
            lambda: paired_difference(np.ones(3), np.ones(4)),
            ShapeError,
            (
                "b has shape (4,), expected (3,): one value for each day of a. Evaluate both "
                "models on the same days."
            ),
        ),
        (
            lambda: bootstrap_mean(np.ones(9), level=95),
            SettingsError,
            (
                "level is 95, draws is 2000 and block is None, expected a number between 0 and 1, "
                "at least 1 and at least 1. Leave block out to have it chosen."
            ),
        ),
    ],
)
def test_says_what_does_not_fit(call, error, message):
    """One sentence: what is what, what was expected, and the remedy."""
    with pytest.raises(error) as caught:
        call()
    assert str(caught.value) == message
