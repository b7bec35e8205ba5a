"""The tranche book agrees with a position-by-position loop, and its figures mean what they say."""

import numpy as np
import pytest

from flatline.errors import SettingsError, ShapeError
from flatline.metrics.portfolio import BOOKS, backtest, portfolio_weights, to_wide
from metric_oracles import backtest_loop


def market(seed, days=40, stocks=15, missing=0.05):
    """Scores and returns, with stocks not scored and days not traded."""
    rng = np.random.default_rng(seed)
    score, returns = rng.standard_normal((2, days, stocks))
    score[rng.random(score.shape) < missing] = np.nan
    returns *= 0.02
    returns[rng.random(score.shape) < missing] = np.nan
    return score, returns


@pytest.mark.parametrize("book", BOOKS)
@pytest.mark.parametrize("horizon", [1, 3, 10])
def test_agrees_with_a_loop_over_positions(book, horizon):
    """Gross returns and turnover are those of the book kept position by position."""
    score, returns = market(horizon)
    found = backtest(score, returns, horizon=horizon, book=book, top=0.2, cost=0.002)
    weight = portfolio_weights(score, book=book, top=0.2)
    gross, traded = backtest_loop(weight, returns, horizon)
    np.testing.assert_allclose(found.gross, gross, atol=1e-15)
    np.testing.assert_allclose(found.turnover, traded, atol=1e-14)
    np.testing.assert_allclose(found.net, gross - 0.002 * traded, atol=1e-15)


@pytest.mark.parametrize("horizon", [1, 5])
def test_earns_what_the_target_says(horizon):
    """Scores of day t earn the returns after the close of t + 1, and no earlier one."""
    days, stocks, t = 20, 6, 4
    score = np.full((days, stocks), np.nan)
    score[t] = np.arange(stocks)
    for u in range(days):
        returns = np.zeros((days, stocks))
        returns[u, -1] = 0.1
        earned = backtest(score, returns, horizon=horizon, book="top", top=1).gross
        inside = t + 1 < u <= t + 1 + horizon
        assert earned[u] == pytest.approx(0.1 / horizon if inside else 0.0)


@pytest.mark.parametrize("book", BOOKS)
def test_weights_keep_their_promises(book):
    """Gross exposure one; neutral, or long only; NaN scores have none; order is kept."""
    score, _ = market(0)
    weight = portfolio_weights(score, book=book, top=0.25)
    np.testing.assert_allclose(np.abs(weight).sum(1), 1)
    np.testing.assert_allclose(weight.sum(1), 1 if book == "top" else 0, atol=1e-14)
    assert (weight[np.isnan(score)] == 0).all()
    filled = np.where(np.isnan(score), np.nanmin(score) - 1, score)
    best = np.nanargmax(filled, axis=1)
    assert (weight[np.arange(40), best] == weight.max(1)).all()


@pytest.mark.parametrize("book", BOOKS)
def test_a_day_without_a_ranking_has_no_book(book):
    """Constant, infinite, missing or single scores: no weights, and the day is counted."""
    score = np.array([[1.0, 1, 1], [np.inf, 1, 2], [np.nan] * 3, [np.nan, 2, np.nan], [1, 2, 3]])
    weight = portfolio_weights(score, book=book, top=1)
    assert (weight[:4] == 0).all()
    assert (weight[4] != 0).any()
    assert backtest(score, np.zeros((5, 3)), book=book, top=1).empty_days == 4


def test_tied_stocks_share_the_border():
    """The order of the columns decides nothing."""
    weight = portfolio_weights(np.array([[1.0, 2.0, 2.0, 2.0]]), book="top", top=2)
    np.testing.assert_allclose(weight, [[0, 1 / 3, 1 / 3, 1 / 3]])


def test_figures_by_hand():
    """Sharpe, drawdown and the annual figures of a short series."""
    returns = np.zeros((6, 2))
    returns[2:, 1] = [0.1, -0.2, 0.1, 0.05]
    score = np.tile([0.0, 1.0], (6, 1))
    found = backtest(score, returns, book="top", top=1, days_per_year=100)
    live = np.array([0.0, 0.1, -0.2, 0.1, 0.05])
    np.testing.assert_allclose(found.net[1:], live, atol=1e-15)
    assert found.days == 5
    assert found.sharpe == pytest.approx(live.mean() / live.std(ddof=1) * 10)
    assert found.annual_return == pytest.approx(live.mean() * 100)
    assert found.annual_volatility == pytest.approx(live.std(ddof=1) * 10)
    assert found.max_drawdown == pytest.approx(0.2)


def test_costs_only_take():
    """With costs the net falls by cost times turnover, and so does Sharpe."""
    score, returns = market(1)
    free, dear = backtest(score, returns), backtest(score, returns, cost=0.01)
    np.testing.assert_allclose(free.net - dear.net, 0.01 * dear.turnover)
    assert dear.sharpe < free.sharpe == free.sharpe_gross == dear.sharpe_gross


def test_longer_tranches_trade_less():
    """Each day one tranche of h is renewed: turnover falls about as 1 / h."""
    score, returns = market(2, days=300, missing=0)
    one, ten = (backtest(score, returns, horizon=h).mean_turnover for h in (1, 10))
    assert ten == pytest.approx(one / 10, rel=0.1)


def test_noise_earns_nothing_and_foresight_does():
    """Random scores have a Sharpe about zero, the known future a large one."""
    score, returns = market(3, days=1000, missing=0)
    assert abs(backtest(score, returns).sharpe) < 4 * np.sqrt(252 / 1000)
    ahead = np.vstack([returns[2:], np.zeros((2, 15))])
    assert backtest(ahead, returns).sharpe > 10


def test_nothing_traded_has_no_figures():
    """Constant scores all along: every figure unknown, none zero."""
    found = backtest(np.ones((10, 3)), np.zeros((10, 3)))
    unknown = (found.sharpe, found.annual_return, found.max_drawdown, found.mean_turnover)
    assert unknown == (None,) * 4
    assert (found.empty_days, found.days, found.unfilled) == (10, 0, None)


def test_a_constant_gain_has_no_sharpe():
    """No spread to divide by."""
    assert backtest(np.tile([0.0, 1.0], (9, 1)), np.zeros((9, 2))).sharpe is None


def test_what_does_not_trade_stays_cash():
    """Half of the wanted value could not be bought, and it is said."""
    returns = np.zeros((3, 2))
    returns[:, 0] = np.nan
    found = backtest(np.tile([0.0, 1.0], (3, 1)), returns)
    assert found.unfilled == pytest.approx(0.5)
    assert found.turnover.tolist() == [0, 0.5, 0]


def test_wide_tables():
    """Rows in any order become days and stocks; two rows in one place are refused."""
    wide, days, stocks = to_wide([1.0, 2.0, 3.0], [9, 4, 9], ["b", "a", "a"])
    np.testing.assert_array_equal(wide, [[2, np.nan], [3, 1]])
    assert (days.tolist(), stocks.tolist()) == ([4, 9], ["a", "b"])
    with pytest.raises(ShapeError) as caught:
        to_wide([1.0, 2.0], [9, 9], ["b", "b"])
    message = "stock b has 2 rows on day 9, expected one. Drop the duplicates."
    assert str(caught.value) == message


@pytest.mark.parametrize(
    "options", [{"horizon": 0}, {"cost": -1}, {"book": "short"}, {"top": 0}, {"top": 0.7}]
)
def test_refuses_options_out_of_range(options):
    """One sentence with what was expected."""
    with pytest.raises(SettingsError, match=r"expected .*\. Give "):
        backtest(np.ones((2, 2)), np.ones((2, 2)), **options)
    with pytest.raises(ShapeError, match=r"returns has shape \(2, 3\), expected \(2, 2\)"):
        backtest(np.ones((2, 2)), np.ones((2, 3)))
