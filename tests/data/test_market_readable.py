"""The embedded market can be read: what bars and return correlations show of the truth."""

import numpy as np
import pytest
from scipy.stats import rankdata

from flatline.data.market import Signals, make_market
from flatline.data.market_signals import hit_share, peer_mean


def rank_ic(score, target):
    """Mean over days of the Spearman correlation across stocks, pairs of known values."""
    days = []
    for a, b in zip(score, target, strict=True):
        known = np.isfinite(a) & np.isfinite(b)
        if known.sum() > 2 and np.ptp(a[known]) > 0:
            days.append(np.corrcoef(rankdata(a[known]), rankdata(b[known]))[0, 1])
    return np.mean(days)


def bars(market, name):
    """A column of the price frame as a dense array, NaN where there is no row."""
    dense = np.full(market.present.shape, np.nan)
    dense[market.present] = market.prices[name].to_numpy()
    return dense


def day_score(x):
    """Standardised within the day, 0 where unknown."""
    known = np.isfinite(x)
    names = np.maximum(known.sum(axis=1, keepdims=True), 1)
    x = np.where(known, x, 0.0)
    x = np.where(known, x - x.sum(axis=1, keepdims=True) / names, 0.0)
    return x / np.sqrt(np.maximum((x * x).sum(axis=1, keepdims=True) / names, 1e-12))


def trailing_mean(x, window):
    """Over the known values of the last *window* days."""
    total, names = np.cumsum(np.nan_to_num(x), axis=0), np.cumsum(np.isfinite(x), axis=0)
    total[window:], names[window:] = (
        total[window:] - total[:-window],
        names[window:] - names[:-window],
    )
    return total / np.maximum(names, 1)


def inferred_edges(market, day, *, window=60, neighbours=8):
    """Nearest by return correlation over the window up to *day*, market mean taken out."""
    r = np.diff(np.log(bars(market, "close")[day - window : day + 1]), axis=0)
    here = np.flatnonzero(market.present[day] & np.isfinite(r).all(axis=0))
    correlation = np.corrcoef((r[:, here] - r[:, here].mean(axis=1, keepdims=True)).T)
    np.fill_diagonal(correlation, -1.0)
    nearest = np.argsort(-correlation, axis=1)[:, :neighbours]
    return np.stack([here[nearest].ravel(), np.repeat(here, neighbours)])


def test_trailing_correlations_find_the_peers():
    """60 days of closes show most edges, and the oracle that is given those keeps most IC."""
    market = make_market("small", seed=1, signals=Signals.only("graph"))
    days = range(60, len(market.dates), 60)
    found = {day: inferred_edges(market, day) for day in days}
    shares = []
    for day, edges in found.items():
        there = market.present[day][market.true_edges].all(axis=0)
        shares.append(hit_share(edges, market.true_edges[:, there]))
    assert np.mean(shares) > 0.8

    none = np.zeros((2, 0), dtype=np.int64)
    inferred = market.expected_return((5,), edges=lambda d: found.get(d // 60 * 60, none))
    target = market.realised_return((5,))[60:, :, 0]
    true_ic = rank_ic(market.expected_return((5,))[60:, :, 0], target)
    assert rank_ic(inferred[60:, :, 0], target) > 0.8 * true_ic


@pytest.mark.parametrize("seed", range(3))
def test_a_linear_model_on_the_bars_comes_close_to_the_oracle(seed):
    """Ridge on what the bars show of the channels keeps 90 % of the RankIC, last fifth of days."""
    market = make_market("small", seed=seed)
    o, hi, lo, c, v = (bars(market, n) for n in ("open", "high", "low", "close", "volume"))
    gap = np.zeros_like(o)
    gap[1:] = day_score(o[1:] / c[:-1] - 1.0)
    place = day_score((c - lo) / (hi - lo)).astype(np.float32)
    width = day_score((hi - lo) / c)
    inputs = [day_score(np.log(v / trailing_mean(v, window))) for window in (20, 60)]
    inputs += [day_score(peer_mean(place, market.present, market.true_edges))]
    inputs += [width, market.channels.sign * width]
    inputs += [np.roll(gap, lag, axis=0) for lag in range(7)]
    x = np.stack(inputs, axis=2)

    cut = len(market.dates) * 4 // 5
    realised, oracle = market.realised_return((1, 5)), market.expected_return((1, 5))
    for column, horizon in enumerate((1, 5)):
        train = np.isfinite(realised[:, :, column])
        train[:60], train[cut - horizon - 1 :] = False, False
        y = day_score(realised[:, :, column])[train]
        weights = np.linalg.solve(x[train].T @ x[train] + 10 * np.eye(x.shape[2]), x[train].T @ y)
        score = np.where(market.present, x @ weights, np.nan)[cut:]
        known = realised[cut:, :, column]
        best = rank_ic(oracle[cut:, :, column], known)
        assert rank_ic(score, known) > 0.9 * best
