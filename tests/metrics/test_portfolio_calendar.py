"""Decisions fall on the last trading days of weeks and months, by the calendar."""

import numpy as np
import pytest

from flatline.errors import SettingsError, ShapeError
from flatline.metrics.portfolio_calendar import decision_days


def trading_days(seed):
    """Weekdays over three turns of the year, with holidays and a closed week."""
    dates = np.arange("2019-12-20", "2022-02-10", dtype="datetime64[D]")
    dates = dates[np.is_busday(dates)]
    shut = np.random.default_rng(seed).random(len(dates)) < 0.15
    shut[100:107] = True
    return dates[~shut]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    ("rebalance", "period"),
    [
        ("weekly", lambda date: date.isocalendar()[:2]),
        ("monthly", lambda date: (date.year, date.month)),
    ],
)
def test_the_last_trading_day_of_each_period_decides(rebalance, period, seed):
    """One day a week or month, the last on which there is trading, by Python's calendar."""
    dates = trading_days(seed)
    (found,) = decision_days(dates, rebalance=rebalance)
    last = {period(date.item()): k for k, date in enumerate(dates)}
    assert found.tolist() == sorted(last.values())


def test_a_friday_decides_for_monday():
    """2024-01-05 was a Friday: its scores are traded on Monday the 8th."""
    dates = np.arange("2024-01-03", "2024-01-11", dtype="datetime64[D]")
    dates = dates[np.is_busday(dates)]
    (found,) = decision_days(dates, rebalance="weekly")
    assert dates[found].astype(str).tolist() == ["2024-01-05", "2024-01-10"]


@pytest.mark.parametrize("horizon", [1, 3, 7])
def test_every_day_decides_for_one_tranche(horizon):
    """The tranches share out the days, each in turn."""
    parts = decision_days(np.arange(20), horizon=horizon)
    assert len(parts) == horizon
    assert sorted(np.concatenate(parts).tolist()) == list(range(20))
    assert all((np.diff(part) == horizon).all() for part in parts)


def test_no_day_has_no_decision():
    """An empty calendar is no error."""
    (found,) = decision_days(np.array([], dtype="datetime64[D]"), rebalance="weekly")
    assert found.size == 0


@pytest.mark.parametrize(
    ("dates", "options", "error", "message"),
    [
        (np.arange(3), {"rebalance": "yearly"}, SettingsError, "rebalance is 'yearly' and "),
        (np.arange(3), {"horizon": 0}, SettingsError, "rebalance is 'tranches' and horizon is 0"),
        (np.array([2, 1]), {}, ShapeError, "dates has shape (2,), expected ascending days"),
        (np.arange(3), {"rebalance": "weekly"}, ShapeError, "dates are of type int64, expected "),
    ],
)
def test_says_what_does_not_fit(dates, options, error, message):
    """One sentence: what is what, and what was expected."""
    with pytest.raises(error) as caught:
        decision_days(dates, **options)
    assert str(caught.value).startswith(message)
