"""Books of the scores: dollar-neutral, net of costs, one per horizon."""

import numpy as np
import pytest

from data_helpers import random_panel
from flatline.errors import SettingsError
from flatline.evaluation.books import book_figures
from flatline.evaluation.learners import score_panel


@pytest.fixture
def panel():
    """A panel of noise."""
    return random_panel(days=60, stocks=20)


def frame_of(panel, score):
    """A frame of the same score for every horizon, on all days."""
    wide = np.repeat(score[:, :, None], len(panel.horizons), 2)
    return score_panel(panel, np.arange(len(panel.dates)), wide)


def test_foresight_earns_and_its_mirror_loses(panel):
    """Scores that are the returns to come earn the highest Sharpe; negated, the lowest."""
    returns = np.nan_to_num(panel.daily_return.astype(np.float64))
    # Traded at the close of t + 1, so the first day's gain is that of t + 2.
    ahead = np.vstack([returns[2:], np.zeros((2, returns.shape[1]))])
    best = book_figures(frame_of(panel, ahead), panel, cost=0.0)
    worst = book_figures(frame_of(panel, -ahead), panel, cost=0.0)
    assert best["horizon"].to_list() == sorted(panel.horizons)
    assert best["sharpe"][0] > 10
    assert worst["sharpe"][0] == pytest.approx(-best["sharpe"][0], rel=0.05)


def test_costs_take_from_the_net_only(panel):
    """Dearer trading lowers the net Sharpe and leaves the gross one and the turnover alone."""
    score = np.random.default_rng(0).standard_normal(panel.present.shape)
    free, dear = (book_figures(frame_of(panel, score), panel, cost=c) for c in (0.0, 0.01))
    assert (dear["sharpe"] < free["sharpe"]).all()
    assert dear["sharpe_gross"].equals(free["sharpe_gross"])
    assert dear["turnover"].equals(free["turnover"])


def test_longer_horizons_trade_less(panel):
    """A tranche of each book is turned over a day, the smaller the longer the horizon."""
    score = np.random.default_rng(0).standard_normal(panel.present.shape)
    turnover = book_figures(frame_of(panel, score), panel)["turnover"].to_list()
    assert turnover == sorted(turnover, reverse=True)


def test_a_constant_score_has_no_book(panel):
    """Nothing to order: the figures are undefined, not 0."""
    found = book_figures(frame_of(panel, np.ones(panel.present.shape)), panel)
    assert found["sharpe"].is_null().all()


def test_a_negative_cost_is_refused(panel):
    """Trading does not pay the trader."""
    with pytest.raises(SettingsError, match=r"cost is -0\.1"):
        book_figures(frame_of(panel, np.ones(panel.present.shape)), panel, cost=-0.1)
