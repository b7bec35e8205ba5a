"""Later periods beside train periods: quiet where nothing changed, and naming what did."""

import numpy as np
import pytest
from scipy import stats
from scipy.signal import lfilter

from flatline.errors import DataError, ShapeError
from flatline.harness import Status
from flatline.harness.checks.drift import (
    distributions_hold,
    features_in_support,
    levels_hold,
    spreads_hold,
)
from flatline.harness.drift.compare import compare
from flatline.harness.drift.sample import sample_of
from flatline.harness.statistics import CHANCE

TRAIN, LATER, STOCKS = 400, 100, 30
NAMES = ("price", "gap", "body", "skew")
CHECKS = {
    "feature_levels_hold": levels_hold,
    "feature_spreads_hold": spreads_hold,
    "feature_distributions_hold": distributions_hold,
    "features_in_support": features_in_support,
}


def panel(seed=0, *, share=0.2, keep=0.9, change=lambda x: x):
    """Train and later rows with a persistent day effect; *change* is done to later rows."""
    draw = np.random.default_rng(seed)
    shock = draw.standard_normal((300 + TRAIN + LATER, len(NAMES)))
    common = lfilter([np.sqrt(1 - keep**2)], [1, -keep], shock, axis=0)[300:, None]
    own = draw.standard_normal((TRAIN + LATER, STOCKS, len(NAMES)))
    x = (np.sqrt(share) * common + np.sqrt(1 - share) * own).reshape(-1, len(NAMES))
    day = np.repeat(np.arange(TRAIN + LATER), STOCKS)
    cut = TRAIN * STOCKS
    later = change(x[cut:].copy())
    return sample_of(x[:cut], day[:cut], NAMES), sample_of(later, day[cut:], NAMES)


def verdicts(train, later):
    """Every verdict on two periods, by check."""
    columns = compare(train, later, chance=CHANCE)
    return {name: check(columns) for name, check in CHECKS.items()}


def shifted(x):
    """One column 6.5 of its spreads up, as a price that has grown."""
    x[:, 0] += 6.5
    return x


def widened(x):
    """One column three times as wide."""
    x[:, 2] *= 3
    return x


def skewed(x):
    """One column with the mean and the spread that it had, and another shape."""
    x[:, 3] = np.where(x[:, 3] > 0, 1.0, -1.0)
    return x


def test_a_stationary_panel_with_persistent_day_effects_is_quiet():
    """A fifth of the variance common to the day, nine tenths of it kept until the next."""
    found = [verdict for seed in range(20) for verdict in verdicts(*panel(seed)).values()]
    assert {verdict.status for verdict in found} == {Status.PASS}
    assert {verdict.false_alarm_rate for verdict in found} == {CHANCE, 0.0}


def test_rows_taken_for_independent_would_cry_wolf_there():
    """The usual test at p < 0.05 fails nearly all of these panels."""
    pairs = [(t.values[:, 0], x.values[:, 0]) for t, x in (panel(seed) for seed in range(20))]
    assert np.mean([stats.ks_2samp(*pair).pvalue < 0.05 for pair in pairs]) > 0.7


@pytest.mark.parametrize(
    ("change", "caught_by", "column"),
    [
        (shifted, "feature_levels_hold", "price"),
        (shifted, "features_in_support", "price"),
        (widened, "feature_spreads_hold", "body"),
        (skewed, "feature_distributions_hold", "skew"),
    ],
)
def test_a_change_is_caught_and_its_column_named(change, caught_by, column):
    """The check that passes where nothing changed fails, and blames that column alone."""
    assert verdicts(*panel())[caught_by].status == Status.PASS
    verdict = verdicts(*panel(change=change, share=0.05, keep=0.5))[caught_by]
    assert verdict.status == Status.FAIL
    assert (verdict.culprit.kind, verdict.culprit.path) == ("column", column)
    assert verdict.value > verdict.bound
    assert column in verdict.hint


def test_what_may_not_matter_is_not_judged():
    """A model that standardises each window by itself may see any level."""
    columns = compare(*panel(change=shifted), chance=CHANCE)
    assert levels_hold(columns, without=NAMES).status == Status.SKIP
    assert levels_hold(columns, without=["price"]).status == Status.PASS


def test_a_price_that_grows_all_the_time_leaves_its_range():
    """Chance reaches anything where a level wanders so; that it is gone for good is said."""
    day = np.arange(2000)
    price = np.exp(day / 600 + 0.05 * np.random.default_rng(0).standard_normal(2000).cumsum() / 5)
    train, later = sample_of(price[:1200], day[:1200]), sample_of(price[1500:], day[1500:])
    verdict = verdicts(train, later)["feature_levels_hold"]
    assert verdict.status == Status.FAIL


def test_a_shift_too_small_to_matter_is_no_drift():
    """However sure it is: a seventh of a spread."""

    def little(x):
        return x + 0.15

    found = compare(*panel(change=little, share=0.0), chance=CHANCE)
    assert abs(found[0].level) > found[0].level_bound
    assert levels_hold(found).status == Status.PASS


def test_few_days_are_not_judged():
    """A bound needs blocks of days; without them that is said."""
    train, later = panel()
    short = sample_of(train.values[: 20 * STOCKS], train.day[: 20 * STOCKS], NAMES)
    found = verdicts(short, later)
    assert found["feature_levels_hold"].status == Status.SKIP
    assert "20 train days" in found["feature_levels_hold"].measured


def test_unknown_values_do_not_count():
    """A column that is half unknown is compared by what is known of it."""

    def holes(x):
        x[::2, 1] = np.nan
        return x

    train, later = panel(change=holes)
    found = compare(train, later, chance=CHANCE)[1]
    assert np.isfinite([found.level, found.gap, found.psi, found.wasserstein]).all()


def test_a_column_that_all_stocks_share_is_compared_by_its_days():
    """Its spread is that of its days around the train mean."""
    draw = np.random.default_rng(1)
    state = draw.standard_normal(TRAIN + LATER)
    state[TRAIN:] *= 4
    day = np.repeat(np.arange(TRAIN + LATER), STOCKS)
    rows, cut = state[day], TRAIN * STOCKS
    found = compare(
        sample_of(rows[:cut], day[:cut]), sample_of(rows[cut:], day[cut:]), chance=CHANCE
    )
    assert found[0].spread == pytest.approx(3, rel=0.2)
    assert spreads_hold(found).status == Status.FAIL


def test_numbers_are_those_of_scipy():
    """The gap is what Kolmogorov and Smirnov's distance is at the train deciles."""
    train, later = panel(share=0.0)
    found = compare(train, later, chance=CHANCE)[0]
    exact = stats.ks_2samp(train.values[:, 0], later.values[:, 0]).statistic
    assert found.gap <= exact + 1e-12
    means = [x.day_means(x.values)[:, 0] for x in (train, later)]
    distance = stats.wasserstein_distance(*means) / train.values[:, 0].std()
    assert found.wasserstein == pytest.approx(distance)


def test_samples_that_do_not_fit_are_refused():
    """Rows without a day, names that are too few, periods with other columns."""
    with pytest.raises(ShapeError, match="Give the day of every row"):
        sample_of(np.ones((3, 2)), [1, 2])
    with pytest.raises(ShapeError, match="expected 2: one per column"):
        sample_of(np.ones((3, 2)), [1, 2, 3], ["a"])
    with pytest.raises(DataError, match="0 rows or columns"):
        sample_of(np.ones((0, 2)), [])
    with pytest.raises(ShapeError, match="same columns in the same order"):
        compare(sample_of([1.0], [1], ["a"]), sample_of([1.0], [1], ["b"]), chance=CHANCE)
