"""Intervals of Sharpe ratios cover what they say they cover."""

import numpy as np
import pytest

from flatline.errors import SettingsError, ShapeError
from flatline.metrics.portfolio_sharpe import sharpe, sharpe_difference, sharpe_interval

RUNS = 300
# Four binomial standard errors of a share of 0.95 among these runs.
ERROR = 4 * np.sqrt(0.95 * 0.05 / RUNS)


def restless(seed, days, sharpe_a_year=1.0, rho=0.0):
    """Returns of a given annual Sharpe ratio in calm and wild spells, fat-tailed.

    The spread follows a slow random walk of its own and the sign does not, but for *rho*.
    """
    rng = np.random.default_rng(seed)
    # Spells of the spread with a mean square of 1: a log-normal first-order process.
    log = np.zeros(days + 200)
    shocks = rng.standard_normal(days + 200)
    for t in range(1, log.size):
        log[t] = 0.95 * log[t - 1] + 0.1 * shocks[t]
    variance = 0.1**2 / (1 - 0.95**2)
    noise = rng.standard_normal(days + 200)
    for t in range(1, noise.size):
        noise[t] = rho * noise[t - 1] + np.sqrt(1 - rho**2) * noise[t]
    x = np.exp(log - variance) * noise
    return (0.01 * (x + sharpe_a_year / np.sqrt(252)))[200:]


@pytest.mark.parametrize("kind", ["circular", "stationary"])
@pytest.mark.parametrize(("days", "rho"), [(250, 0.0), (750, 0.2)])
def test_covers_the_sharpe_ratio(kind, days, rho):
    """Of 95 percent intervals about 95 percent hold the ratio the returns were drawn with."""
    hits = 0
    for seed in range(RUNS):
        x = restless(seed, days, rho=rho)
        found = sharpe_interval(x, kind=kind, draws=300, seed=seed)
        hits += found.low <= 1.0 <= found.high
    # Three points that a block bootstrap of so few days is known to lack.
    assert 0.95 - 0.03 - ERROR < hits / RUNS < 0.95 + ERROR


def test_ignoring_the_dependence_would_not():
    """Single days, drawn from a dependent series, are far too sure: the test above can fail."""
    found = [
        sharpe_interval(restless(seed, 750, rho=0.5), block=1, draws=300, seed=seed)
        for seed in range(RUNS)
    ]
    assert sum(one.low <= 1.0 <= one.high for one in found) / RUNS < 0.85


@pytest.mark.parametrize("kind", ["circular", "stationary"])
def test_draws_agree_with_a_loop(kind):
    """The spread of the resampled ratios is that of series resampled one by one."""
    x = restless(1, 60)
    found = sharpe_interval(x, block=5, kind=kind, draws=20000, level=0.68, days_per_year=1)
    rng = np.random.default_rng(0)
    ratios = []
    for _ in range(4000):
        picked = []
        while len(picked) < x.size:
            length = 5 if kind == "circular" else rng.geometric(0.2)
            start = rng.integers(x.size)
            picked += [(start + k) % x.size for k in range(length)]
        drawn = x[picked[: x.size]]
        ratios.append(drawn.mean() / drawn.std(ddof=1))
    # The t quantile of 11 degrees of freedom, expanded, in units of a bootstrap's spread.
    width = 2 * 1.04 * np.sqrt(12 / 11) * np.std(ratios)
    assert found.high - found.low == pytest.approx(width, rel=0.06)


def test_pairs_are_far_sharper_than_singles():
    """What moved both books does not widen the interval of their difference."""
    market = restless(2, 500, sharpe_a_year=0.0)
    better = market + 0.0005 + 0.001 * np.random.default_rng(0).standard_normal(500)
    found = sharpe_difference(better, market)
    assert found.excludes_zero
    single = sharpe_interval(better)
    assert found.high - found.low < (single.high - single.low) / 4
    assert found.value == pytest.approx(sharpe(better) - sharpe(market))
    assert sharpe_difference(market, better).value == -found.value


def test_the_unit_of_the_returns_does_not_matter():
    """Twice the capital has the same ratio and the same interval."""
    x = restless(3, 300)
    one, two = sharpe_interval(x), sharpe_interval(2 * x)
    assert (two.value, two.low, two.high) == pytest.approx((one.value, one.low, one.high))


def test_wild_spells_lengthen_the_blocks():
    """Spells in the size of returns count: days drawn one by one would lose them."""
    rng = np.random.default_rng(4)
    calm = 0.01 * (1 + 0.3 * rng.standard_normal(1000))
    wild = calm * np.repeat(rng.choice([0.2, 3.0], 20), 50)
    assert sharpe_interval(wild).block > 3 * sharpe_interval(calm).block


def test_too_few_days_give_no_interval():
    """A ratio without an interval, and without a spread no ratio."""
    assert sharpe_interval([0.01]).value is None
    assert sharpe_interval([0.01] * 40).value is None
    few = sharpe_interval([0.01, 0.02, -0.01], block=2)
    assert few.value is not None
    assert few.low is None
    assert not few.excludes_zero


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: sharpe_interval([0.1, np.nan]),
            ShapeError,
            (
                "per_day has shape (2,) and 1 unknown returns, expected one known return per day. "
                "Leave out the days before the book is open."
            ),
        ),
        (
            lambda: sharpe_difference(np.ones(3), np.ones(4)),
            ShapeError,
            (
                "b has shape (4,), expected (3,): one return for each day of a. Keep both books "
                "over the same days."
            ),
        ),
        (
            lambda: sharpe_interval([0.1, 0.2], level=95),
            SettingsError,
            (
                "level is 95, draws is 2000, block is None and days_per_year is 252, expected a "
                "number between 0 and 1, and at least 1 for the others. Leave block out to have it "
                "chosen."
            ),
        ),
    ],
)
def test_says_what_does_not_fit(call, error, message):
    """One sentence: what is what, what was expected, and the remedy."""
    with pytest.raises(error) as caught:
        call()
    assert str(caught.value) == message
