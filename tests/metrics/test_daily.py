"""The daily metrics: agreement with loops over days, and the laws they obey."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flatline.errors import SettingsError, ShapeError
from flatline.metrics import blocks
from flatline.metrics.daily import METRICS, Why, daily_metrics
from metric_oracles import ONE_DAY, daily_loop

# Sums of a few hundred float64 terms of size one, in another order.
CLOSE = {"rtol": 0, "atol": 1e-12}


def panel(seed, *, days=7, most=40, horizons=2, ties=False, missing=0.2, regular=False):
    """Scores and targets of a few days, ragged or regular, with ties and holes."""
    rng = np.random.default_rng(seed)
    lengths = np.full(days, most) if regular else rng.integers(1, most, days)
    day = np.repeat(rng.permutation(days) * 3 - 5, lengths)
    score = rng.standard_normal((day.size, horizons))
    target = 0.3 * score + rng.standard_normal(score.shape)
    if ties:
        score, target = np.round(score), np.round(target * 2) / 2
    target[rng.random(target.shape) < missing] = np.nan
    return score, target, day


@pytest.mark.parametrize("kind", METRICS)
@pytest.mark.parametrize("ties", [False, True], ids=["continuous", "ties"])
@pytest.mark.parametrize("regular", [False, True], ids=["ragged", "regular"])
def test_agrees_with_a_loop_over_days(kind, ties, regular):
    """Every metric is what scipy gives, day by day, and undefined on the same days."""
    for seed in range(10):
        score, target, day = panel(seed, ties=ties, regular=regular, missing=0.2 * (seed % 2))
        found = getattr(daily_metrics(score, target, day), kind)
        np.testing.assert_allclose(found.value, daily_loop(score, target, day, kind), **CLOSE)
        np.testing.assert_array_equal(found.defined, ~np.isnan(found.value))


@pytest.mark.parametrize("kind", METRICS)
def test_one_score_serves_all_horizons(kind):
    """A score of one column is judged against every horizon, whatever labels are missing."""
    score, target, day = panel(3, horizons=3)
    found = getattr(daily_metrics(score[:, 0], target, day), kind)
    np.testing.assert_allclose(found.value, daily_loop(score[:, 0], target, day, kind), **CLOSE)


@pytest.mark.parametrize("day_type", ["int", "date"])
def test_blocks_and_threads_do_not_matter(monkeypatch, day_type):
    """Small blocks on two threads give what one block gives, for integers and dates."""
    score, target, day = panel(1, days=30)
    ids = day if day_type == "int" else np.datetime64("2020-01-01") + day
    whole = daily_metrics(score, target, ids, threads=1)
    layout = blocks.DayBlocks.of(ids, cells=50)
    assert len(layout.blocks) > 5
    assert sorted(np.concatenate([b.days for b in layout.blocks])) == list(range(30))
    monkeypatch.setattr(blocks.DayBlocks, "of", classmethod(lambda cls, day: layout))
    cut = daily_metrics(score, target, ids, threads=2)
    for kind in METRICS:
        np.testing.assert_allclose(
            getattr(whole, kind).value, getattr(cut, kind).value, rtol=0, atol=1e-14
        )


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31), st.booleans())
def test_row_order_is_nothing(seed, ties):
    """Shuffling the rows leaves every metric alone, ties or not."""
    score, target, day = panel(seed, ties=ties)
    shuffled = np.random.default_rng(seed).permutation(day.size)
    a, b = (
        daily_metrics(score, target, day),
        daily_metrics(score[shuffled], target[shuffled], day[shuffled]),
    )
    for kind in METRICS:
        np.testing.assert_allclose(getattr(a, kind).value, getattr(b, kind).value, **CLOSE)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31), st.booleans())
def test_upside_down_scores_mirror(seed, ties):
    """Scores with the other sign give the negative (the complement, for the hit rate)."""
    score, target, day = panel(seed, ties=ties)
    up, down = daily_metrics(score, target, day), daily_metrics(-score, target, day)
    for kind, whole in zip(METRICS, (0, 0, 1, 0), strict=True):
        mirrored = whole - getattr(down, kind).value
        np.testing.assert_allclose(getattr(up, kind).value, mirrored, **CLOSE)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31), st.floats(-5, 5), st.floats(-8, 8))
def test_each_days_level_and_scale_are_nothing(seed, shift, log_scale):
    """Moving and stretching scores leaves every metric alone."""
    score, target, day = panel(seed)
    a, b = (
        daily_metrics(score, target, day),
        daily_metrics(score * 10**log_scale + shift, target, day),
    )
    for kind in METRICS:
        # A shift of 5 costs a score of size 1e-8 half of its 16 digits.
        np.testing.assert_allclose(getattr(a, kind).value, getattr(b, kind).value, atol=1e-6)


@pytest.mark.parametrize("size", [1e-300, 1e-160, 1e160, 1e307])
def test_extreme_units_are_nothing(size):
    """Squares that would leave float64 do not."""
    score, target, day = panel(5)
    a, b = daily_metrics(score, target, day), daily_metrics(score * size, target, day)
    for kind in METRICS:
        np.testing.assert_allclose(getattr(a, kind).value, getattr(b, kind).value, atol=1e-10)


def test_perfect_scores_are_best():
    """The target itself has IC, RankIC and hit rate one, and the widest spread."""
    _, target, day = panel(2, regular=True, missing=0)
    perfect, other = (
        daily_metrics(target, target, day),
        daily_metrics(panel(9, regular=True)[0], target, day),
    )
    np.testing.assert_allclose(perfect.ic.value, 1, **CLOSE)
    np.testing.assert_array_equal(perfect.rank_ic.value, 1)
    np.testing.assert_array_equal(perfect.hit_rate.value, 1)
    assert (perfect.tile_spread.value >= other.tile_spread.value).all()


@pytest.mark.parametrize(
    ("score", "target", "why"),
    [
        pytest.param(np.full(8, 0.1 + 0.2), np.arange(8.0), Why.CONSTANT_SCORE, id="score"),
        pytest.param(
            np.r_[np.full(4, 0.1 + 0.2), np.full(4, 0.3)],
            np.arange(8.0),
            Why.CONSTANT_SCORE,
            id="score-up-to-rounding",
        ),
        pytest.param(np.arange(8.0), np.full(8, 0.02), Why.CONSTANT_TARGET, id="target"),
        pytest.param(np.r_[np.nan, np.arange(7.0)], np.arange(8.0), Why.NOT_FINITE, id="nan"),
        pytest.param(np.r_[np.inf, np.arange(7.0)], np.arange(8.0), Why.NOT_FINITE, id="inf"),
        pytest.param(
            np.arange(8.0), np.r_[np.inf, np.arange(7.0)], Why.NOT_FINITE, id="target-inf"
        ),
        pytest.param(
            np.arange(8.0), np.r_[np.full(4, np.nan), np.arange(4.0)], Why.TOO_FEW_NAMES, id="few"
        ),
        pytest.param(np.arange(8.0), np.full(8, np.nan), Why.TOO_FEW_NAMES, id="no-label"),
    ],
)
@pytest.mark.parametrize("kind", METRICS)
def test_an_undefined_day_is_never_a_number(score, target, why, kind):
    """The faulty day is undefined for its reason; the sound day beside it is untouched."""
    rng = np.random.default_rng(0)
    sound = rng.standard_normal((2, 8))
    day = np.repeat([1, 2], 8)
    found = getattr(
        daily_metrics(np.r_[score, sound[0]], np.r_[target, sound[1]], day, tiles=4), kind
    )
    alone = getattr(daily_metrics(sound[0], sound[1], day[8:], tiles=4), kind)
    assert found.why.ravel().tolist() == [why, Why.DEFINED]
    assert np.isnan(found.value[0, 0])
    assert found.value[1, 0] == alone.value[0, 0]
    assert found.undefined_days.tolist() == [1]
    assert found.reasons() == {why.name.lower(): [1]}
    assert found.mean().tolist() == [alone.value[0, 0]]


def test_a_score_that_is_nan_without_label_is_no_fault():
    """Only labelled rows count."""
    score, target, day = panel(4, regular=True, missing=0.3)
    holes = np.where(np.isnan(target), np.nan, score)
    a, b = daily_metrics(score, target, day), daily_metrics(holes, target, day)
    np.testing.assert_array_equal(a.rank_ic.value, b.rank_ic.value)


def test_too_few_names_for_the_tiles():
    """A day of nine stocks has an IC but no decile spread."""
    rng = np.random.default_rng(0)
    found = daily_metrics(rng.standard_normal(9), rng.standard_normal(9), np.ones(9, int))
    assert found.ic.defined.all()
    assert found.tile_spread.reasons() == {"too_few_names": [1]}


def test_reports_names_and_the_spread_of_the_scores():
    """The labelled stocks and their scores' deviation come with every number."""
    score, target, day = panel(6)
    found = daily_metrics(score, target, day).ic
    for i, d in enumerate(found.day):
        for h in range(2):
            labelled = score[day == d, h][~np.isnan(target[day == d, h])]
            assert found.names[i, h] == labelled.size
            spread = labelled.std() if labelled.size else 0
            assert found.score_std[i, h] == pytest.approx(spread, abs=1e-14)


def test_noise_scatters_about_zero():
    """Targets shuffled within the day have RankICs of mean 0 and variance 1 / (n - 1)."""
    rng = np.random.default_rng(0)
    days, names = 2000, 30
    score, target = rng.standard_normal((2, days * names))
    value = daily_metrics(score, target, np.repeat(np.arange(days), names)).rank_ic.value
    # Four standard errors of a mean and of a standard deviation over 2,000 days.
    assert abs(value.mean()) < 4 / np.sqrt(29 * days)
    assert value.std() == pytest.approx(1 / np.sqrt(29), rel=4 / np.sqrt(2 * days))


def test_mean_and_spread_over_defined_days_only():
    """Undefined days neither enter the mean nor its count; without any it is NaN."""
    score, target, day = panel(8, days=12)
    found = daily_metrics(score, target, day).ic
    np.testing.assert_allclose(found.mean(), np.nanmean(found.value, axis=0))
    np.testing.assert_allclose(found.std(), np.nanstd(found.value, axis=0, ddof=1))
    dead = daily_metrics(np.zeros(10), np.arange(10.0), np.ones(10, int)).ic
    assert np.isnan([dead.mean()[0], dead.std()[0]]).all()


def test_only_what_is_asked_for():
    """A metric that was not asked for is NaN, and the others are the same."""
    score, target, day = panel(1)
    found = daily_metrics(score, target, day, metrics=("rank_ic",))
    assert np.isnan(found.ic.value).all()
    assert not found.ic.defined.any()
    np.testing.assert_array_equal(
        found.rank_ic.value, daily_metrics(score, target, day).rank_ic.value
    )


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: daily_metrics([1.0, 2.0], [1.0], [1, 1]),
            ShapeError,
            (
                "target has shape (1,), expected (2,) or (2, horizons): one value per row of day. "
                "Take both from the same frame."
            ),
        ),
        (
            lambda: daily_metrics(np.ones((2, 2)), np.ones((2, 3)), [1, 1]),
            ShapeError,
            (
                "horizons of score, target are [2, 3], expected the same number, or one for all. "
                "Give every array one column per horizon."
            ),
        ),
        (
            lambda: daily_metrics([], [], []),
            ShapeError,
            (
                "day has shape (0,) and type float64, expected one integer or date per row and at "
                "least one row. Give the day of every row as a vector."
            ),
        ),
        (
            lambda: daily_metrics([1.0], [1.0], [1], metrics=("ic", "sharp")),
            SettingsError,
            (
                "metrics has ['sharp'], expected names of ['ic', 'rank_ic', 'hit_rate', "
                "'tile_spread']."
            ),
        ),
        (
            lambda: daily_metrics([1.0], [1.0], [1], min_names=1),
            SettingsError,
            (
                "min_names is 1 and tiles is 10, expected at least 2 each. A correlation needs two "
                "stocks, a spread two tiles."
            ),
        ),
    ],
)
def test_says_what_does_not_fit(call, error, message):
    """One sentence: what is what, what was expected, and the remedy."""
    with pytest.raises(error) as caught:
        call()
    assert str(caught.value) == message


def test_the_oracles_know_all_metrics():
    """No metric goes without an independent writing."""
    assert set(ONE_DAY) == set(METRICS)
