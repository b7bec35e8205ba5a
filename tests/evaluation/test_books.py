"""Books of the scores: dollar-neutral, net of costs, one per horizon."""

import numpy as np
import pytest

from data_helpers import random_panel
from flatline.errors import SettingsError
from flatline.evaluation.books import BookRules, book_figures, keep_books
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


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"book": "tpo"}, "book is 'tpo', expected one of "),
        ({"rebalance": "weakly"}, "rebalance is 'weakly', expected one of "),
        ({"top": 20}, "top is 20 but changes nothing, expected an effect: a long_short book "),
        ({"book": "top", "top": 0.7}, "top is 0.7, expected a share of at most 0.5 or a number "),
        ({"cost": float("nan")}, "cost is nan, expected a fraction of the traded value from 0 "),
    ],
)
def test_rules_that_make_no_book_are_refused(rules, message):
    """One sentence: what is what, and what was expected."""
    with pytest.raises(SettingsError) as caught:
        BookRules(**rules)
    assert str(caught.value).startswith(message)


def test_a_book_holds_its_sectors_as_they_were(panel):
    """The exposure of each day is that of the sectors of that day, by a loop."""
    score = np.random.default_rng(0).standard_normal(panel.present.shape)
    book = keep_books(frame_of(panel, score), panel, BookRules(book="rank"))[0]
    day = 40
    first = np.searchsorted(panel.dates, book.dates[0])
    sector = panel.attributes["sector"]
    for number, name in enumerate(sector.levels):
        here = sector.code[first + day] == number
        assert book.sectors[number] == name
        held = book.result.held[day, here]
        assert book.exposure.net[day, number] == pytest.approx(held.sum(), abs=1e-12)
        assert book.exposure.gross[day, number] == pytest.approx(np.abs(held).sum())
