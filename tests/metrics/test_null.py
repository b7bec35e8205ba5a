"""The RankIC of noise is what the null says, by simulation."""

import numpy as np
import pytest

from flatline.errors import SettingsError
from flatline.metrics.daily import daily_rank_ic
from flatline.metrics.null import effective_days, rank_ic_null

RUNS = 400


def best_of_noise(rng, days, names, looks):
    """The best of several random scores' mean daily RankIC."""
    rows = days * names
    target = rng.standard_normal(rows)
    day = np.repeat(np.arange(days), names)
    value = daily_rank_ic(rng.standard_normal((rows, looks)), np.tile(target[:, None], looks), day)
    return value.mean().max()


def test_best_of_twenty_epochs_on_twelve_days():
    """Pure noise on 12 days of 300 stocks: the best of 20 epochs averages 0.031."""
    null = rank_ic_null(12, 300, looks=20)
    assert null.mean == pytest.approx(0.031, abs=0.0005)
    rng = np.random.default_rng(0)
    best = [best_of_noise(rng, 12, 300, 20) for _ in range(60)]
    # The best of 20 spreads by 0.525 of one look's deviation; four standard errors of a mean.
    assert np.mean(best) == pytest.approx(null.mean, abs=4 * 0.525 * null.std / np.sqrt(60))


@pytest.mark.parametrize("looks", [1, 5])
def test_the_floor_is_reached_at_its_rate(looks):
    """Noise passes a floor of one in ten about one time in ten."""
    null = rank_ic_null(8, 40, looks=looks)
    rng = np.random.default_rng(1)
    over = np.mean([best_of_noise(rng, 8, 40, looks) > null.floor(0.1) for _ in range(RUNS)])
    assert over == pytest.approx(0.1, abs=4 * np.sqrt(0.09 / RUNS))


@pytest.mark.parametrize("looks", [1, 20])
@pytest.mark.parametrize("rate", [0.5, 1e-3, 1e-9])
def test_floor_and_rate_are_inverse(looks, rate):
    """The rate at the floor of a rate is that rate, however small."""
    null = rank_ic_null(60, 500, looks=looks)
    assert null.false_alarm_rate(null.floor(rate)) == pytest.approx(rate, rel=1e-9)


@pytest.mark.parametrize("persistence", [0.0, 0.8, 1.0])
def test_overlapping_labels_are_worth_fewer_days(persistence):
    """The mean RankIC over overlapping labels spreads as the effective days say."""
    rng = np.random.default_rng(2)
    days, names, horizon = 30, 60, 5
    day = np.repeat(np.arange(days), names)
    means = []
    for _ in range(RUNS):
        moves = rng.standard_normal((days + horizon - 1, names))
        target = np.lib.stride_tricks.sliding_window_view(moves, horizon, axis=0).sum(2)
        score = rng.standard_normal((days, names))
        for t in range(1, days):
            keep = np.sqrt(1 - persistence**2)
            score[t] = persistence * score[t - 1] + keep * score[t]
        means.append(daily_rank_ic(score.ravel(), target.ravel(), day).mean()[0])
    null = rank_ic_null(days, names, horizon=horizon, persistence=persistence)
    # Four standard errors of a standard deviation; ranks correlate a little less than values.
    assert np.std(means) == pytest.approx(null.std, rel=4 / np.sqrt(2 * RUNS) + 0.05)


def test_effective_days_between_the_extremes():
    """All days for a horizon of one or fresh scores; about days / horizon at worst."""
    assert effective_days(200) == 200
    assert effective_days(200, horizon=20, persistence=0) == 200
    assert effective_days(200, horizon=20) == pytest.approx(10, rel=0.05)
    assert effective_days(3, horizon=20) == pytest.approx(1, rel=0.05)


def test_days_of_different_size():
    """The variance of the mean is the mean of the days' variances."""
    null = rank_ic_null(2, [11, 21])
    assert null.std == pytest.approx(np.sqrt((1 / 10 + 1 / 20) / 4))


def test_a_measured_spread_replaces_the_independent_one():
    """Where stocks move together the data know better."""
    assert rank_ic_null(100, 500, day_std=0.1).std == pytest.approx(0.01)


@pytest.mark.parametrize(
    "call",
    [
        lambda: rank_ic_null(0, 100),
        lambda: rank_ic_null(5, 1),
        lambda: rank_ic_null(5, [100, 1]),
        lambda: rank_ic_null(5, 100, looks=0),
        lambda: rank_ic_null(5, 100).floor(0),
        lambda: effective_days(5, persistence=2),
    ],
)
def test_refuses_what_has_no_null(call):
    """No day, no pair, no look, no rate: an error, never a floor of nothing."""
    with pytest.raises(SettingsError, match=r"expected .*\. [A-Z]"):
        call()
