"""What the embedded market says of itself is true: expectation, switches, readable channels."""

import math

import numpy as np
import pytest
from scipy.stats import rankdata

from flatline.data.market import Signals, make_market
from flatline.data.market_signals import hit_share, peer_mean
from flatline.errors import SettingsError

NAMES = ("newest", "pattern", "graph", "static")
HORIZONS = (1, 5, 10, 20)
# False alarms of a two-sided interval of 4 standard errors: 6 in 100,000.
ERRORS = 4.0


@pytest.fixture(scope="module")
def tiny():
    """A market of this size, drawn once."""
    return make_market("tiny", seed=1)


@pytest.fixture(scope="module")
def small():
    """A market of this size, drawn once."""
    return make_market("small", seed=1)


def one_day_mean(market, day, stock, ahead):
    """E[log return of day+ahead | day] / 0.012, from the module's equations, in plain Python."""
    s, c = market.signals, market.channels
    source, target = market.true_edges
    peers = [j for j in source[target == stock] if c.listed[day, j]]
    mean = s.newest * 0.75 ** (ahead - 1) * float(c.newest[day, stock])
    if ahead <= 7 and day + ahead - 7 >= 0:
        mean += s.pattern * float(c.gap[day + ahead - 7, stock])
    if peers:
        around = sum(float(c.graph[day, j]) for j in peers) / len(peers)
        mean += s.graph * 0.9 ** (ahead - 1) * math.sqrt(8) * around
    mean += s.static * 0.9 ** (ahead - 1) * float(c.sign[stock] * c.width[day, stock])
    return mean


def within_day(score, target):
    """Centred pairs of every day, 0 where one is unknown; only days on which both vary."""
    known = np.isfinite(score) & np.isfinite(target)
    names = np.maximum(known.sum(axis=1, keepdims=True), 1)

    def centre(x):
        x = np.where(known, x, 0.0)
        return np.where(known, x - x.sum(axis=1, keepdims=True) / names, 0.0)

    score, target = centre(score), centre(target)
    # The lagged signal expects nothing on the first days: no correlation is defined there.
    days = (score != 0).any(axis=1) & (target != 0).any(axis=1)
    return score[days], target[days]


def daily_ic(score, target):
    """Pearson correlation across the stocks of each day."""
    a, b = within_day(score, target)
    return (a * b).sum(axis=1) / np.sqrt((a * a).sum(axis=1) * (b * b).sum(axis=1))


def daily_rank_ic(score, target):
    """Spearman correlation across the stocks of each day."""
    known = np.isfinite(score) & np.isfinite(target)

    def ranks(x):
        return np.where(known, rankdata(np.where(known, x, np.inf), axis=1), np.nan)

    return daily_ic(ranks(score), ranks(target))


def standard_error(x):
    """Of the mean of independent numbers."""
    return x.std(ddof=1) / math.sqrt(len(x))


@pytest.mark.parametrize("horizon", [1, 5, 6, 7, 20])
def test_expected_return_is_the_sum_of_the_equations(tiny, horizon):
    """The closed form equals days t+2 to t+1+h added one by one, for some rows."""
    expected = tiny.expected_return((horizon,))[:, :, 0]
    for day in (0, 3, 9, 100, 259):
        for stock in np.flatnonzero(tiny.present[day])[::16]:
            steps = range(2, horizon + 2)
            looped = 0.012 * sum(one_day_mean(tiny, day, stock, ahead) for ahead in steps)
            assert expected[day, stock] == pytest.approx(looped, rel=1e-5, abs=1e-9)


def test_returns_hold_the_mean_that_the_equations_say(tiny):
    """With the same seed, signals on and off differ in each day's return by m of the day before."""
    off = make_market("tiny", seed=1, signals=Signals.only())
    extra = np.diff(tiny.log_close - off.log_close, axis=0)
    for day in (0, 5, 60, 200):
        for stock in range(0, 64, 13):
            planted = 0.012 * one_day_mean(tiny, day, stock, 1)
            assert extra[day, stock] == pytest.approx(planted, rel=1e-5, abs=1e-9)
    assert np.array_equal(off.prices["volume"], tiny.prices["volume"])


def test_the_target_starts_tomorrow(tiny):
    """The realised return of horizon h is log close(t+1+h) - log close(t+1), by code and date."""
    close = tiny.prices.pivot("code", index="date", values="close").sort("date")
    dense = np.log(close.select(tiny.codes.tolist()).to_numpy().astype(float))
    realised = tiny.realised_return((5,))[:, :, 0]
    wanted = np.full_like(dense, np.nan)
    wanted[:-6] = dense[6:] - dense[1:-5]
    wanted[np.isnan(dense)] = np.nan
    assert np.allclose(realised, wanted, equal_nan=True)
    assert np.isnan(realised[-6:]).all()


def test_a_horizon_beyond_the_market_has_no_return(tiny):
    """Nothing is known of it, and nothing fails."""
    assert np.isnan(tiny.realised_return((259, 260, 1000))).all()


def test_without_signals_nothing_is_expected():
    """All switches off: an expectation of exactly 0 and a rank of 0.5 for whoever is there."""
    market = make_market("tiny", seed=1, signals=Signals.only())
    assert (market.expected_return(HORIZONS)[market.present] == 0.0).all()
    assert (market.expected_rank(HORIZONS)[market.present] == 0.5).all()


@pytest.mark.parametrize("name", NAMES)
def test_a_switch_removes_its_part_and_no_other(tiny, name):
    """Expected returns of one signal alone and of the other three add up to those of all."""
    others = [other for other in NAMES if other != name]
    alone = make_market("tiny", seed=1, signals=Signals.only(name)).expected_return(HORIZONS)
    rest = make_market("tiny", seed=1, signals=Signals.only(*others)).expected_return(HORIZONS)
    assert np.abs(alone[tiny.present]).max() > 1e-4
    assert np.allclose(alone + rest, tiny.expected_return(HORIZONS), atol=1e-15, equal_nan=True)


@pytest.mark.parametrize("names", [NAMES, *((name,) for name in NAMES)], ids="+".join)
@pytest.mark.parametrize("horizon", HORIZONS)
def test_the_oracle_is_calibrated(names, horizon):
    """Realised on expected return: slope 1 within its interval, and clearly not 0."""
    market = make_market("small", seed=1, signals=Signals.only(*names))
    score, target = market.expected_return((horizon,)), market.realised_return((horizon,))
    # Labels of days h apart do not overlap: their errors are independent.
    x, y = within_day(score[::horizon, :, 0], target[::horizon, :, 0])
    slope = (x * y).sum() / (x * x).sum()
    error = math.sqrt(((x * (y - slope * x)).sum(axis=1) ** 2).sum()) / (x * x).sum()
    assert abs(slope - 1.0) < ERRORS * error


@pytest.mark.parametrize("horizon", HORIZONS)
def test_realised_ic_is_what_the_oracle_implies(small, horizon):
    """A true expectation has the IC spread(expected) / spread(realised), up to sampling."""
    score, target = small.expected_return((horizon,)), small.realised_return((horizon,))
    score, target = score[::horizon, :, 0], target[::horizon, :, 0]
    x, y = within_day(score, target)
    implied = np.sqrt((x * x).sum(axis=1) / (y * y).sum(axis=1))
    surprise = daily_ic(score, target) - implied
    assert abs(surprise.mean()) < ERRORS * standard_error(surprise)


@pytest.mark.parametrize("name", NAMES)
def test_every_signal_alone_beats_zero(name):
    """RankIC one day on above 0 by far more than its error, for each switch."""
    market = make_market("small", seed=1, signals=Signals.only(name))
    ic = daily_rank_ic(market.expected_return((1,))[:, :, 0], market.realised_return((1,))[:, :, 0])
    assert ic.mean() > 2 * ERRORS * standard_error(ic)


def test_strength_on_small_is_as_designed():
    """RankIC of all signals one day on within 0.12 to 0.18, longer horizons larger."""
    ics = [
        [
            daily_rank_ic(
                market.expected_return((h,))[:, :, 0], market.realised_return((h,))[..., 0]
            )
            for h in HORIZONS
        ]
        for market in (make_market("small", seed=seed) for seed in range(3))
    ]
    by_horizon = [np.mean([seed[k].mean() for seed in ics]) for k in range(len(HORIZONS))]
    assert 0.12 < by_horizon[0] < 0.18
    assert min(by_horizon[1:]) > by_horizon[0]


def test_expected_rank_matches_a_loop(tiny):
    """Average ranks of the present stocks of a day, from 0 to 1."""
    expected, rank = tiny.expected_return((5,))[:, :, 0], tiny.expected_rank((5,))[:, :, 0]
    assert np.array_equal(np.isfinite(rank), tiny.present)
    for day in (0, 50, 259):
        here = tiny.present[day]
        looped = (rankdata(expected[day, here]) - 1) / (here.sum() - 1)
        assert np.allclose(rank[day, here], looped)


def test_horizons_below_a_day_are_refused(tiny):
    """The whole message."""
    with pytest.raises(SettingsError) as error:
        tiny.expected_return((0, 5))
    assert str(error.value) == (
        "horizons are (0, 5), expected trading days of at least 1. Leave out the others."
    )


def test_peer_mean_leaves_out_oneself_and_the_unlisted():
    """Edges 0 -> 2 and 1 -> 2, stock 1 not listed: the mean at 2 is that of stock 0."""
    channel = np.array([[1.0, 5.0, 9.0]], dtype=np.float32)
    edges = np.array([[0, 1], [2, 2]])
    both, one = np.array([[True, True, True]]), np.array([[True, False, True]])
    assert peer_mean(channel, both, edges).tolist() == [[0.0, 0.0, 3.0]]
    assert peer_mean(channel, one, edges).tolist() == [[0.0, 0.0, 1.0]]


def test_hit_share_counts_directed_edges():
    """One of the two true edges is found; a reversed edge is another edge; none is 0."""
    true = np.array([[0, 1], [2, 2]])
    assert hit_share(np.array([[0, 2], [2, 1]]), true) == 0.5
    assert hit_share(np.zeros((2, 0), dtype=np.int64), true) == 0.0
    assert hit_share(true, np.zeros((2, 0), dtype=np.int64)) == 0.0


def test_true_edges_handed_in_are_the_oracle(tiny):
    """As an array, or by a function of the day, they change nothing."""
    oracle = tiny.expected_return((1, 5))
    handed = tiny.expected_return((1, 5), edges=tiny.true_edges)
    by_day = tiny.expected_return((1, 5), edges=lambda day: tiny.true_edges)
    assert np.array_equal(oracle, handed, equal_nan=True)
    assert np.allclose(oracle, by_day, rtol=1e-5, atol=1e-9, equal_nan=True)


def test_wrong_edges_are_worth_nothing():
    """Edges that hit no true one leave the graph signal out of the expectation."""
    market = make_market("tiny", seed=1, signals=Signals.only("graph"))
    true = set(zip(*market.true_edges.tolist(), strict=True))
    wrong = [(a, b) for a in range(64) for b in range(64) if a != b and (a, b) not in true]
    expected = market.expected_return((1,), edges=np.array(wrong[::50]).T)
    assert (expected[market.present] == 0.0).all()
