"""The tranche book agrees with a position-by-position loop, and its figures mean what they say."""

import numpy as np
import pytest

from flatline.errors import SettingsError, ShapeError
from flatline.metrics.portfolio import backtest
from flatline.metrics.portfolio_calendar import REBALANCINGS
from flatline.metrics.portfolio_weights import BOOKS, portfolio_weights
from metric_oracles import backtest_loop, share_ledger


def market(seed, days=40, stocks=15, missing=0.05):
    """Scores and returns, with stocks not scored and days not traded."""
    rng = np.random.default_rng(seed)
    score, returns = rng.standard_normal((2, days, stocks))
    score[rng.random(score.shape) < missing] = np.nan
    returns *= 0.02
    returns[rng.random(score.shape) < missing] = np.nan
    return score, returns


def weekdays(days):
    """Trading days from Wednesday on, every tenth or so a holiday."""
    dates = np.arange("2024-01-03", "2026-01-01", dtype="datetime64[D]")
    dates = dates[np.is_busday(dates)]
    rest = np.random.default_rng(0).random(len(dates)) < 0.1
    return dates[~rest][:days]


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


@pytest.mark.parametrize("rebalance", REBALANCINGS)
@pytest.mark.parametrize("horizon", [1, 4])
@pytest.mark.parametrize("days", [1, 2, 3, 9, 90])
def test_agrees_with_a_ledger_of_shares(rebalance, horizon, days):
    """Gross returns, turnover and holdings are those of shares bought at prices.

    Also where a tranche is bought once or never, because the book is short.
    """
    score, returns = market(horizon, days=days)
    dates = weekdays(days)
    options = {"rebalance": rebalance, "horizon": horizon}
    found = backtest(score, returns, dates=dates, book="rank", cost=0.002, **options)
    wanted = portfolio_weights(score, book="rank")
    gross, traded, held = share_ledger(wanted, returns, dates, **options)
    np.testing.assert_allclose(found.gross, gross, atol=1e-14)
    np.testing.assert_allclose(found.turnover, traded, atol=1e-13)
    np.testing.assert_allclose(found.held, held, atol=1e-14)
    np.testing.assert_allclose(found.net, gross - 0.002 * traded, atol=1e-14)


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
    assert found.sortino == pytest.approx(live.mean() / np.sqrt(0.2**2 / 5) * 10)
    assert found.hit_rate == pytest.approx(3 / 4)


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
    assert (*unknown, found.sortino, found.hit_rate) == (None,) * 6
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


def test_what_cannot_be_sold_is_told():
    """A holding that does not trade on the day it comes up for sale is sold at its last price."""
    returns = np.zeros((4, 2))
    returns[2:, 0] = np.nan
    found = backtest(np.tile([0.0, 1.0], (4, 1)), returns)
    # Half of what was bought on day 1 has no price on day 2; on day 3 all is priced.
    assert found.stale == pytest.approx(0.5 / 1.5)


@pytest.mark.parametrize("rebalance", REBALANCINGS)
@pytest.mark.parametrize("book", [book for book in BOOKS if book != "universe"])
def test_a_constant_score_never_trades(rebalance, book):
    """No order, no book, no cost, whenever it is looked at."""
    _, returns = market(5, days=60)
    found = backtest(
        np.ones(returns.shape),
        returns,
        rebalance=rebalance,
        dates=weekdays(60),
        book=book,
        cost=0.1,
    )
    assert (found.turnover == 0).all()
    assert (found.net == 0).all()
    assert (found.held == 0).all()
    assert found.empty_days == 60


@pytest.mark.parametrize("rebalance", REBALANCINGS)
def test_free_trading_leaves_gross_and_net_alike(rebalance):
    """At no cost the two are one."""
    score, returns = market(6, days=60)
    found = backtest(score, returns, rebalance=rebalance, dates=weekdays(60), horizon=3)
    np.testing.assert_array_equal(found.gross, found.net)
    assert found.sharpe == found.sharpe_gross


@pytest.mark.parametrize("rebalance", REBALANCINGS)
def test_scores_see_nothing_of_the_day_they_are_traded_on(rebalance):
    """Knowing the return of day t + 1 at the close of t earns nothing: the trade comes after it."""
    _, returns = market(7, days=1500, missing=0)
    tomorrow = np.vstack([returns[1:], np.zeros((1, 15))])
    overmorrow = np.vstack([returns[2:], np.zeros((2, 15))])
    options = {"rebalance": rebalance, "dates": np.arange(1500).astype("datetime64[D]")}
    late = backtest(tomorrow, returns, **options).sharpe
    assert abs(late) < 4 * np.sqrt(252 / 1500)
    assert backtest(overmorrow, returns, **options).sharpe > abs(late) + 1


@pytest.mark.parametrize("rebalance", REBALANCINGS)
def test_what_comes_later_changes_no_earlier_day(rebalance):
    """Other scores and returns from a day on leave every result before it as it was."""
    score, returns = market(8, days=80)
    changed, moved = score.copy(), returns.copy()
    changed[50:] *= -1
    moved[50:] *= -1
    options = {"rebalance": rebalance, "dates": weekdays(80), "horizon": 4}
    one, other = backtest(score, returns, **options), backtest(changed, moved, **options)
    for name in ("gross", "turnover", "held"):
        np.testing.assert_array_equal(getattr(one, name)[:50], getattr(other, name)[:50])


def test_seldom_trading_trades_less():
    """A daily book turns over more than a weekly, and that more than a monthly one."""
    score, returns = market(9, days=300, missing=0)
    turnover = [
        backtest(score, returns, rebalance=rebalance, dates=weekdays(300)).mean_turnover
        for rebalance in ("daily", "weekly", "monthly")
    ]
    assert turnover == sorted(turnover, reverse=True)


def test_one_tranche_is_a_daily_book():
    """Holding for one day in one tranche is rebalancing each day."""
    score, returns = market(10)
    one, daily = backtest(score, returns), backtest(score, returns, rebalance="daily", horizon=7)
    np.testing.assert_array_equal(one.net, daily.net)


@pytest.mark.parametrize("book", ["long_short", "rank", "top_bottom"])
def test_a_neutral_book_does_not_feel_the_market(book):
    """A return that all stocks share is earned by the long side and lost by the short one."""
    score, returns = market(11, missing=0)
    shared = returns + 0.05 * np.random.default_rng(0).standard_normal((40, 1))
    one, other = (backtest(score, r, book=book) for r in (returns, shared))
    np.testing.assert_allclose(one.gross, other.gross, atol=1e-14)


def test_dates_must_fit_the_scores():
    """One date a day, and real dates where weeks are asked for."""
    score, returns = market(12)
    with pytest.raises(ShapeError, match=r"^dates has 39 days, expected 40 as score has\. "):
        backtest(score, returns, dates=weekdays(39))
    with pytest.raises(ShapeError, match=r"^dates are of type int64, expected datetime64 for we"):
        backtest(score, returns, rebalance="weekly")


@pytest.mark.parametrize(
    "options", [{"horizon": 0}, {"cost": -1}, {"book": "short"}, {"top": 0}, {"top": 0.7}]
)
def test_refuses_options_out_of_range(options):
    """One sentence with what was expected."""
    with pytest.raises(SettingsError, match=r"expected .*\. Give "):
        backtest(np.ones((2, 2)), np.ones((2, 2)), **options)
    with pytest.raises(ShapeError, match=r"returns has shape \(2, 3\), expected \(2, 2\)"):
        backtest(np.ones((2, 2)), np.ones((2, 3)))
