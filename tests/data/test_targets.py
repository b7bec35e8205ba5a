"""Targets: forward returns on the calendar, against slow loops."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bars import prices_of, random_bars
from flatline.data.build import build_panel
from flatline.data.targets import check_horizons, forward_returns, label_ends, wealth
from flatline.data.within_day import day_rank, day_zscore
from flatline.errors import SettingsError

GOOD_LEVEL = st.one_of(st.just(math.nan), st.floats(0.1, 10))


@st.composite
def levels(draw):
    """Total return levels of a few stocks with missing closes. Shape (days, stocks)."""
    days, stocks = draw(st.integers(1, 12)), draw(st.integers(1, 3))
    values = draw(st.lists(GOOD_LEVEL, min_size=days * stocks, max_size=days * stocks))
    return np.array(values).reshape(days, stocks)


@given(levels(), st.lists(st.integers(1, 8), min_size=1, max_size=3, unique=True).map(sorted))
def test_forward_return_runs_between_two_closes_after_the_day(level, horizons):
    """From close(t+1) to close(t+1+h), unknown where either is missing or not yet there."""
    found = forward_returns(level, horizons)
    days, stocks = level.shape
    for t in range(days):
        for s in range(stocks):
            for j, h in enumerate(horizons):
                inside = t + 1 + h < days
                expected = level[t + 1 + h, s] / level[t + 1, s] - 1 if inside else math.nan
                assert found[t, s, j] == pytest.approx(expected, rel=1e-5, abs=1e-6, nan_ok=True)


def test_targets_of_a_panel_count_days_of_the_calendar():
    """With gaps, a suspension and an early end, labels equal loops over (date, code) pairs."""
    frame = random_bars(seed=2, stocks=5, days=80)
    panel = build_panel(prices_of(frame), horizons=(1, 5, 20), features=["body"])
    dates = frame["date"].unique().sort().to_list()
    price = {(d, c): a for d, c, a in frame.select("date", "code", "adj_close").iter_rows()}
    for s, code in enumerate(panel.codes):
        for t in range(len(dates)):
            for j, h in enumerate(panel.horizons):
                expected = math.nan
                if t + 1 + h < len(dates):
                    start = price.get((dates[t + 1], code), math.nan)
                    expected = price.get((dates[t + 1 + h], code), math.nan) / start - 1
                assert panel.target[t, s, j] == pytest.approx(
                    expected, rel=1e-4, abs=1e-6, nan_ok=True
                )
    known = np.isfinite(panel.target)
    # A stock that is away on day t itself, yet back on t + 1, has a label no row will use.
    assert known.any()
    assert not known[-2:].any()


@pytest.mark.parametrize("h", [1, 5, 10, 20])
def test_a_label_depends_on_no_day_after_its_end(h):
    """Cutting the prices at label_end keeps the label, cutting one day earlier loses it."""
    frame = random_bars(seed=4, stocks=3, days=60, missing=0.0)
    dates = frame["date"].unique().sort()
    whole = build_panel(prices_of(frame), horizons=(h,), features=["body"])
    t = 25
    end = int(whole.label_end[t, 0])
    for last, expected in ((end, whole.target[t]), (end - 1, np.full((3, 1), np.nan))):
        cut = frame.filter(frame["date"] <= dates[last])
        panel = build_panel(prices_of(cut), horizons=(h,), features=["body"])
        np.testing.assert_array_equal(panel.target[t], expected.astype(np.float32))


def test_label_ends_h_plus_one_days_on():
    """The label of horizon h ends on day t + 1 + h, also beyond the last date."""
    for t, ends in enumerate(label_ends(7, (1, 5))):
        assert ends.tolist() == [t + 2, t + 6]


def test_wealth_carries_over_gaps_but_is_unknown_in_them():
    """A suspended stock comes back at what it is worth; before, in and after, NaN."""
    date, stock = np.array([0, 1, 3, 2]), np.array([0, 0, 0, 1])
    gross = np.array([np.nan, 1.1, 2.0, np.nan])
    nan = np.nan
    expected = [[1.0, nan], [1.1, nan], [nan, 1.0], [2.2, nan], [nan, nan]]
    np.testing.assert_allclose(wealth(date, stock, gross, (5, 2)), expected)


@pytest.mark.parametrize("horizons", [(), (0,), (5, 1), (1, 1), (1.0,), (True,), (-1, 5)])
def test_senseless_horizons_are_refused(horizons):
    """Horizons are whole trading days from 1 on, each larger than the last."""
    message = r"horizons is \(.*\), expected whole trading days from 1 on, ascending\. Write them"
    with pytest.raises(SettingsError, match=message):
        check_horizons(horizons)


TARGETS = st.lists(
    st.one_of(st.just(math.nan), st.sampled_from([-0.02, 0.0, 0.01]), st.floats(-0.5, 0.5)),
    min_size=1,
    max_size=9,
)


@given(TARGETS)
def test_standardised_targets_equal_a_slow_loop(values):
    """The z-score and the average rank of a day's targets, by counting."""
    target = np.array(values)[None, :, None]
    known = [v for v in values if not math.isnan(v)]
    zscore, rank = day_zscore(target)[0, :, 0], day_rank(target)[0, :, 0]
    # Equal up to the rounding of float32 is equal.
    if len(known) < 2 or np.std(known) <= 1e-6 * np.sqrt(np.mean(np.square(known))):
        assert np.isnan(zscore).all()
        assert np.isnan(rank).all()
        return
    for i, v in enumerate(values):
        if math.isnan(v):
            assert math.isnan(zscore[i])
            assert math.isnan(rank[i])
            continue
        assert zscore[i] == pytest.approx((v - np.mean(known)) / np.std(known), abs=1e-6)
        less, more = sum(k < v for k in known), sum(k > v for k in known)
        assert rank[i] == pytest.approx((less - more) / len(known))
