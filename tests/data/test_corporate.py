"""Splits and dividends applied forward."""

import numpy as np
import polars as pl
import pytest

from flatline.data.corporate import MONEY, adjust_forward


def adjusted(close, *, adj_close=None, split=None, volume=None):
    """One code through the adjustment."""
    bars = pl.DataFrame({"code": ["A"] * len(close), "volume": volume or [1.0] * len(close)})
    bars = bars.with_columns(*(pl.Series(name, close, dtype=pl.Float64) for name in MONEY))
    if adj_close is not None:
        bars = bars.with_columns(adj_close=pl.Series(adj_close, dtype=pl.Float64))
    if split is not None:
        bars = bars.with_columns(split_log=pl.Series(split, dtype=pl.Float64).log())
    return adjust_forward(bars)


def test_a_split_scales_what_follows():
    """After 2:1 prices double and volume halves; the past keeps its level."""
    made = adjusted([10, 5, 6], split=[1, 2, 1], volume=[100.0, 200.0, 300.0])
    assert made["close"].to_list() == pytest.approx([10, 10, 12])
    assert made["volume"].to_list() == pytest.approx([100, 100, 150])
    assert made["split_applied"].to_list() == [False, True, False]


def test_a_dividend_goes_to_the_adjusted_close_only():
    """A payout of 1 on 10 leaves close as it is and lifts the total return."""
    made = adjusted([10, 9, 9.9], adj_close=[9, 9, 9.9])
    assert made["close"].to_list() == [10, 9, 9.9]
    assert made["adj_close"].to_list() == pytest.approx([10, 10, 11])


def test_returns_equal_those_of_the_back_adjusted_close():
    """Forward and backward adjustment differ by a factor per code only."""
    rng = np.random.default_rng(0)
    raw = 50 * np.exp(np.cumsum(rng.normal(0, 0.02, 250)))
    split = np.ones(250)
    split[[60, 180]] = 2.0, 3.0
    raw /= np.cumprod(split)
    payout = np.where(rng.random(250) < 0.02, 0.01, 0.0)
    back = np.cumprod(split) * np.cumprod(1 / (1 - payout))
    made = adjusted(raw, adj_close=raw * back / back[-1], split=split)
    expected = np.diff(np.log(raw * back))
    np.testing.assert_allclose(np.diff(np.log(made["adj_close"])), expected, atol=1e-12)
    np.testing.assert_allclose(made["close"], raw * np.cumprod(split), rtol=1e-12)


def test_without_coefficients_a_large_seen_step_is_a_split():
    """adj_close / close doubles as the price halves: a split of raw prices."""
    made = adjusted([10, 5, 5.5], adj_close=[5, 5, 5.5])
    assert made["close"].to_list() == pytest.approx([10, 10, 11])


def test_a_split_the_price_refutes_is_not_applied():
    """A coefficient of 0.3 on a quiet day (and an adj_close that follows it) is ignored."""
    made = adjusted([10, 10.1, 10.2], adj_close=[33, 10.1, 10.2], split=[1, 0.3, 1])
    assert made["close"].to_list() == [10, 10.1, 10.2]
    assert made["adj_close"].to_list() == [10, 10.1, 10.2]
    assert made["split_refuted"].to_list() == [False, True, False]


def test_a_spin_off_with_a_reverse_split_is_taken_from_the_adjusted_close():
    """Where the coefficient disagrees with the price and adj_close agrees, the latter counts."""
    made = adjusted([10, 15, 15], adj_close=[15, 15, 15], split=[1, 0.25, 1])
    assert made["close"].to_list() == pytest.approx([10, 10, 10])


def test_an_adjusted_close_not_positive_is_continued_from_close():
    """Nonsense below zero, and the nonsense steps around it, leave no trace in the returns."""
    close = [10, 10, 11, 11, 12]
    made = adjusted(close, adj_close=[-5, -5, 2, 9, 12])
    assert made["adj_close"].to_list() == pytest.approx(close)
    assert made["adj_missing"].to_list() == [True, True, False, False, False]
    assert made["step_ignored"].to_list() == [False, False, False, True, True]


def test_a_step_dated_a_day_early_is_taken_where_the_price_shows_it():
    """adj_close knows of the split on Friday, the price falls on Monday."""
    made = adjusted([56, 56, 28, 27], adj_close=[14, 28, 14, 13.5], split=[1, 1, 1, 1])
    assert made["close"].to_list() == pytest.approx([56, 56, 56, 54])
    assert made["adj_close"].to_list() == pytest.approx([56, 56, 56, 54])


def test_a_split_told_a_day_after_the_factor_counts_once():
    """adj_close steps on the day before the coefficient: neither return sees a jump."""
    made = adjusted([80, 80, 53.4, 53], adj_close=[16, 24, 24, 23.8], split=[1, 1, 1.5, 1])
    assert made["adj_close"].to_list() == pytest.approx([80, 80, 80.1, 79.5], rel=1e-2)


def test_codes_do_not_feel_each_other():
    """A split of one code leaves the next code alone."""
    bars = pl.DataFrame({"code": ["A", "A", "B", "B"], "volume": [1.0] * 4}).with_columns(
        *(pl.Series(name, [10.0, 5.0, 7.0, 7.0]) for name in MONEY),
        split_log=pl.Series([1.0, 2.0, 1.0, 1.0]).log(),
    )
    assert adjust_forward(bars)["close"].to_list() == pytest.approx([10, 10, 7, 7])
