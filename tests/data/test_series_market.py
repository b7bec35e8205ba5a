"""The embedded series: readable, far from where it started, and its chances are what happens."""

import numpy as np
import pytest
from scipy.stats import norm

from flatline.data.prices import prices_from_frame
from flatline.data.series import highest_closes, series_panel
from flatline.data.series_market import ALPHA, BETA, VARIANCE, make_series_market
from flatline.errors import SettingsError
from flatline.metrics import auc

HORIZONS = (1, 3, 5)


@pytest.fixture(scope="module")
def large():
    """A long series, its chances and what happened."""
    market = make_series_market("large", seed=3)
    happened = highest_closes(market.prices["close"].to_numpy(), HORIZONS)
    return market, market.touch_probability(HORIZONS), happened


@pytest.mark.parametrize("size", ["tiny", "small"])
@pytest.mark.parametrize("seed", [0, 1])
def test_bars_are_good_and_the_level_moves_away(size, seed):
    """Nothing is quarantined; test days lie more than 6.5 times above the train days."""
    market = make_series_market(size, seed=seed)
    prices = prices_from_frame(market.prices)
    assert prices.quarantine.height == 0
    close = market.prices["close"].to_numpy()
    days = len(close)
    assert close[int(0.85 * days) :].mean() > 6.5 * close[: int(0.7 * days)].mean()


def test_the_seed_is_all_there_is_to_chance():
    """The same seed gives the same bars; another one others."""
    first = make_series_market("tiny", seed=5).prices
    assert first.equals(make_series_market("tiny", seed=5).prices)
    assert not first.equals(make_series_market("tiny", seed=6).prices)


def test_volatility_comes_in_spells():
    """Squares of returns are correlated from day to day, returns are not."""
    market = make_series_market("large", seed=1)
    r = np.diff(np.log(market.prices["close"].to_numpy()))
    error = 1 / np.sqrt(len(r))
    squares = np.minimum(r**2, np.quantile(r**2, 0.99))
    assert np.corrcoef(squares[:-1], squares[1:])[0, 1] > 10 * error
    # Fat tails widen the error of a correlation of returns.
    assert abs(np.corrcoef(r[:-1], r[1:])[0, 1]) < 5 * error


def test_the_chance_of_one_day_is_the_normal_tail():
    """No simulation in it."""
    market = make_series_market("tiny", seed=2)
    spread = np.sqrt(market.next_variance)
    exact = norm.sf((np.log(1.01) - market.drift) / spread)
    np.testing.assert_allclose(market.touch_probability((1,))[:, 0], exact, atol=2e-3)


def test_the_chance_of_five_days_is_that_of_a_long_simulation():
    """Two hundred thousand paths from one day on, written out."""
    market = make_series_market("tiny", seed=2)
    day = int(np.argmax(market.next_variance))
    rng = np.random.default_rng(0)
    v, risen, best = np.full(200_000, market.next_variance[day]), 0.0, -np.inf
    for _ in range(5):
        shock = np.sqrt(v) * rng.standard_normal(v.size)
        risen = risen + market.drift + shock
        best = np.maximum(best, risen)
        v = VARIANCE * (1 - ALPHA - BETA) + ALPHA * shock**2 + BETA * v
    chance = (best >= np.log(1.01)).mean()
    assert market.touch_probability((5,))[day, 0] == pytest.approx(chance, abs=0.01)


def test_chances_are_what_happens(large):
    """Over all days, and over those of a low and of a high chance, the share is the chance."""
    _, chance, happened = large
    for j, h in enumerate(HORIZONS):
        known = ~np.isnan(happened[:, j])
        p, y = chance[known, j], happened[known, j] >= 0.01
        for some in (p >= 0, p < np.median(p), p >= np.median(p)):
            # Labels of h days share h - 1 of them: at most h times the variance.
            error = np.sqrt(h * (p[some] * (1 - p[some])).sum()) / some.sum()
            assert abs(y[some].mean() - p[some].mean()) < 4 * error


def test_the_truth_tells_more_than_a_trailing_range(large):
    """The oracle beats the ATR over the close, which beats chance; a sign is hardly foretold."""
    market, chance, happened = large
    panel = series_panel(prices_from_frame(market.prices), horizons=HORIZONS)
    range_ratio = panel.features[:, 0, panel.feature_names.index("atr_ratio")]
    for j in range(len(HORIZONS)):
        known = ~np.isnan(happened[:, j]) & ~np.isnan(range_ratio)
        y = happened[known, j] >= 0.01
        assert auc(chance[known, j], y) > auc(range_ratio[known], y) > 0.55
    up = happened[:-1, 0] > 0
    assert abs(auc(chance[:-1, 0], up) - 0.5) < 0.03


def test_chances_rise_with_time_and_fall_with_the_barrier():
    """More days, more chances; a higher barrier, fewer."""
    market = make_series_market("tiny", seed=4)
    low, high = market.touch_probability(HORIZONS), market.touch_probability(HORIZONS, rise=0.03)
    assert (np.diff(low, axis=1) > 0).all()
    assert (high < low).all()


def test_what_is_no_size_or_no_rise_is_named():
    """One sentence each."""
    with pytest.raises(SettingsError, match="market is 'huge', expected one of tiny, small, large"):
        make_series_market("huge")
    with pytest.raises(SettingsError, match="rise is -1, expected a fraction above -1"):
        make_series_market("tiny").touch_probability((1,), rise=-1)
