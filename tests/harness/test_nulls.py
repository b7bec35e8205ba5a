"""Checks on numbers whose truth is known: how often they cry wolf, and what they let pass."""

import numpy as np
import pytest
import torch
from scipy import stats

from flatline.harness import Status
from flatline.harness.checks.classes import beyond_the_prior
from flatline.harness.checks.degeneracy import probability_floor
from flatline.harness.checks.later import attention_lasts, follows_base_rate, scores_last
from flatline.harness.checks.stretches import Period
from flatline.harness.statistics import block_mean, reach, shifted_mean

CHANCE, DRAWS = 0.05, 300
# What a rate of 0.05 reaches in 300 draws but for one time in ten thousand.
MOST = stats.binom.ppf(1 - 1e-4, DRAWS, CHANCE) / DRAWS


def spells(draw, days, keep):
    """A series of spread 1 that keeps this share of itself from day to day."""
    shock = draw.standard_normal(days) * np.sqrt(1 - keep**2)
    found = np.empty(days)
    found[0] = shock[0] / np.sqrt(1 - keep**2)
    for t in range(1, days):
        found[t] = keep * found[t - 1] + shock[t]
    return found


def sigmoid(x):
    """From a logit to a probability."""
    return 1 / (1 + np.exp(-x))


def test_shifting_keeps_the_rate_for_series_in_spells():
    """Two unrelated series that both come in spells are told apart from chance no more often."""
    draw = np.random.default_rng(0)
    found = [
        shifted_mean(*(x - x.mean() for x in (spells(draw, 800, 0.9), spells(draw, 800, 0.9))))
        for _ in range(DRAWS)
    ]
    assert np.mean([one.value > one.bound(CHANCE) for one in found]) <= MOST


def test_the_spread_over_shifts_is_that_over_draws():
    """The error read off one pair of series is what many pairs really spread by."""
    draw = np.random.default_rng(1)
    found = [shifted_mean(spells(draw, 2000, 0.8), spells(draw, 2000, 0.8)) for _ in range(DRAWS)]
    spread = np.std([one.value for one in found])
    assert np.mean([one.error for one in found]) == pytest.approx(spread, rel=0.15)


def test_block_means_keep_the_rate_for_dependent_days():
    """A mean of 0 over days that depend on each other passes for more no more often."""
    draw = np.random.default_rng(2)
    found = [block_mean(spells(draw, 1000, 0.5)) for _ in range(DRAWS)]
    # Blocks are a little short of independent: half as often again is what that costs.
    assert np.mean([one.value > one.bound(CHANCE) for one in found]) <= 1.5 * MOST


@pytest.mark.parametrize("series", [block_mean, lambda x: shifted_mean(x, x)])
def test_what_is_undefined_beats_nothing(series):
    """Without a number there is no bound that anything could be over."""
    found = series(np.full(30, np.nan))
    assert not found.value > found.bound(CHANCE)
    assert found.miss(CHANCE) is None


def test_the_chance_to_miss_is_right_for_a_known_effect():
    """One that lies just at its bound is missed every other time."""
    found = shifted_mean(np.sin(np.arange(500)), np.cos(np.arange(500)))
    at_bound = type(found)(found.bound(0.01), found.error, found.free)
    assert at_bound.miss(0.01) == pytest.approx(0.5)


def test_reach_is_the_quantile_of_new_draws():
    """Ten known, four more: their mean lies beyond the reach as often as asked for."""
    draw = np.random.default_rng(3)
    known, new = draw.standard_normal((20_000, 10)), draw.standard_normal((20_000, 4))
    bound = known.mean(1) + reach(10, CHANCE, draws=4) * known.std(1, ddof=1)
    assert np.mean(new.mean(1) > bound) == pytest.approx(CHANCE, abs=0.006)


@pytest.mark.parametrize("axis", ["time", "stocks"])
def test_probabilities_that_know_nothing_are_the_prior(axis):
    """Whatever their small spread, they pass no more often than stated."""
    draw = np.random.default_rng(4)
    day = np.arange(600) if axis == "time" else np.repeat(np.arange(60), 10)
    passed = []
    for _ in range(DRAWS):
        p = sigmoid(-1 + 0.05 * spells(draw, 600, 0.8))[:, None]
        y = (draw.random(600) < sigmoid(-1 + spells(draw, 600, 0.8)))[:, None] * 1.0
        verdict = beyond_the_prior(p, y, day, axis=axis, chance=CHANCE)
        passed.append(verdict.status == Status.PASS)
    assert np.mean(passed) <= 1.5 * MOST


@pytest.mark.parametrize("axis", ["time", "stocks"])
def test_probabilities_that_know_leave_the_prior(axis):
    """Calibrated ones pass in time and within the day."""
    draw = np.random.default_rng(5)
    day = np.arange(900) if axis == "time" else np.repeat(np.arange(90), 10)
    p = sigmoid(-1 + spells(draw, 900, 0.5))[:, None]
    y = (draw.random((900, 1)) < p) * 1.0
    assert beyond_the_prior(p, y, day, axis=axis).status == Status.PASS


def test_rounded_scores_move_probabilities_by_less_than_their_floor():
    """And the floor is not so high that what differs by a tenth of its spread hides below it."""
    score = np.random.default_rng(13).standard_normal((500, 3)) * [0.1, 1.0, 4.0] - 0.5
    rounded = torch.from_numpy(score).to(torch.bfloat16).double().numpy()
    floor = probability_floor(sigmoid(score), score, eps=2.0**-8)
    assert ((sigmoid(rounded) - sigmoid(score)).std(0) < floor).all()
    assert (floor[1:] < sigmoid(score).std(0)[1:] / 10).all()


def test_unknown_labels_do_not_count():
    """Rows without a label change nothing."""
    draw = np.random.default_rng(6)
    p = sigmoid(spells(draw, 400, 0.5))[:, None]
    y = (draw.random((400, 1)) < p) * 1.0
    more = np.concatenate([p, draw.random((50, 1))]), np.concatenate([y, np.full((50, 1), np.nan)])
    with_unknown = beyond_the_prior(*more, np.arange(450), axis="time")
    assert with_unknown.value == beyond_the_prior(p, y, np.arange(400), axis="time").value


def period(draw, days, *, scale=1.0, shift=0.0):
    """A classifier's probabilities, calibrated unless scaled or shifted, and what happened."""
    state = spells(draw, days, 0.8)[:, None]
    p = sigmoid(-1 + shift + scale * state)
    label = (draw.random((days, 1)) < sigmoid(-1 + state)) * 1.0
    return Period(score=p, day=np.arange(days), label=label, focus=p[:, 0])


@pytest.mark.parametrize(
    "judge",
    [
        pytest.param(lambda a, b: scores_last(a, b, axis="time", chance=CHANCE), id="spread"),
        pytest.param(lambda a, b: follows_base_rate(a, b, chance=CHANCE), id="base-rate"),
        pytest.param(lambda a, b: attention_lasts(a, b, chance=CHANCE), id="attention"),
    ],
)
def test_a_period_like_the_others_fails_as_often_as_stated(judge):
    """Where nothing changes, the stated rate is not exceeded."""
    draw = np.random.default_rng(7)
    found = [judge(period(draw, 960), period(draw, 240)) for _ in range(DRAWS)]
    assert {v.false_alarm_rate for v in found} == {CHANCE}
    assert np.mean([v.status == Status.FAIL for v in found]) <= MOST


def test_each_check_fails_on_what_it_is_for_and_on_nothing_else():
    """A spread that shrank, a mean that moved, an attention that went uniform."""
    draw = np.random.default_rng(8)
    train, same = period(draw, 1200), period(draw, 300)
    faint, moved = period(draw, 300, scale=0.02), period(draw, 300, shift=3.0)
    blurred = Period(same.score, same.day, same.label, 1e-3 * same.focus)

    def fails(later):
        verdicts = (
            scores_last(train, later, axis="time"),
            follows_base_rate(train, later),
            attention_lasts(train, later),
        )
        return [v.status == Status.FAIL for v in verdicts]

    assert fails(same) == [False, False, False]
    assert fails(faint)[:2] == [True, False]
    assert fails(moved)[:2] == [False, True]
    assert fails(blurred) == [False, False, True]


def test_what_a_model_is_off_by_on_the_train_period_too_is_not_the_periods_fault():
    """The same miscalibration before and after passes; one that came later does not."""
    draw = np.random.default_rng(11)
    off = {"shift": 1.5}
    always = follows_base_rate(period(draw, 1200, **off), period(draw, 300, **off))
    since = follows_base_rate(period(draw, 1200), period(draw, 300, shift=3.0))
    assert [always.status, since.status] == [Status.PASS, Status.FAIL]


def test_a_fall_by_less_than_half_is_no_collapse():
    """However steady the train period: what is new is fitted less closely."""
    day = np.repeat(np.arange(96), 50)
    scores = np.random.default_rng(12).standard_normal((4800, 1))
    train = Period(score=scores, day=day)
    verdicts = [scores_last(train, Period(score=part * scores, day=day)) for part in (0.6, 0.4)]
    assert [verdict.status for verdict in verdicts] == [Status.PASS, Status.FAIL]


def test_a_spread_that_fell_to_the_prior_is_called_so():
    """Around the base rate it is the class prior; elsewhere it is off."""
    draw = np.random.default_rng(9)
    train = period(draw, 1200)
    at_base = scores_last(train, period(draw, 300, scale=0.01), axis="time")
    off_base = scores_last(train, period(draw, 300, scale=0.01, shift=2.5), axis="time")
    assert at_base.hint.startswith("class prior: probabilities still vary on the train period")
    assert off_base.hint.startswith("constant, off the base rate")


def test_scores_of_stocks_are_held_against_the_train_period_too():
    """Within the day: the spread of a day, not that of its level."""
    draw = np.random.default_rng(10)
    day = np.repeat(np.arange(96), 20)
    level = np.repeat(10 * draw.standard_normal(96), 20)
    train = Period(score=(level + draw.standard_normal(1920))[:, None], day=day)
    alike = Period(score=(level + draw.standard_normal(1920))[:400, None], day=day[:400])
    shrunk = Period(score=(level + 0.1 * draw.standard_normal(1920))[:400, None], day=day[:400])
    assert scores_last(train, alike).status == Status.PASS
    verdict = scores_last(train, shrunk)
    assert verdict.status == Status.FAIL
    assert verdict.hint.startswith("vanished scale: scores still vary on the train period")
