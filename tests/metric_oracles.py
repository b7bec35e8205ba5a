"""Slow, looped, float64 writings of the metrics, by scipy where it has them."""

import numpy as np
from scipy import stats


def daily_loop(score, target, day, kind, *, min_names=5, tiles=10):
    """One metric, a day and a horizon at a time: (days, horizons), NaN where undefined."""
    score, target = np.atleast_2d(score.T).T, np.atleast_2d(target.T).T
    days = np.unique(day)
    out = np.full((days.size, target.shape[1]), np.nan)
    for i, d in enumerate(days):
        for h in range(target.shape[1]):
            x, y = score[day == d, h % score.shape[1]], target[day == d, h]
            x, y = x[~np.isnan(y)], y[~np.isnan(y)]
            if y.size < min_names or np.ptp(x) == 0 or np.ptp(y) == 0:
                continue
            out[i, h] = ONE_DAY[kind](x, y, tiles)
    return out


def pearson(x, y, tiles):
    """IC of one day."""
    return stats.pearsonr(x, y)[0]


def spearman(x, y, tiles):
    """RankIC of one day."""
    return stats.spearmanr(x, y)[0]


def hit_rate(x, y, tiles):
    """Share of stocks in the right half of one day."""
    half = (x.size + 1) / 2
    a, b = np.sign(stats.rankdata(x) - half), np.sign(stats.rankdata(y) - half)
    return np.mean([0.5 if p * q == 0 else float(p == q) for p, q in zip(a, b, strict=True)])


def tile_spread(x, y, tiles):
    """Average over every border share: each stock is cut in *tiles* equal pieces."""
    if x.size < tiles:
        return np.nan
    pieces = np.repeat(np.arange(x.size), tiles)
    # The mean over all orders of tied stocks is the mean of each tied group's targets.
    level = np.array([y[x == value].mean() for value in x])
    order = np.argsort(x[pieces], kind="stable")
    values = level[pieces][order]
    return values[-x.size :].mean() - values[: x.size].mean()


ONE_DAY = {
    "ic": pearson,
    "rank_ic": spearman,
    "hit_rate": hit_rate,
    "tile_spread": tile_spread,
}


def residual_loop(score, day, exposures, group):
    """Least squares with an intercept and dummies, a day at a time."""
    out = np.empty_like(score)
    for d in np.unique(day):
        here = day == d
        dummies = (group[here][:, None] == np.unique(group[here])).astype(float)
        x = np.column_stack([dummies, exposures[here]])
        out[here] = score[here] - x @ np.linalg.lstsq(x, score[here], rcond=None)[0]
    return out


def two_way_loop(score, day, stock):
    """Variance of day means, of what stock dummies add, and of the residual."""
    d = (day[:, None] == np.unique(day)).astype(float)
    s = (stock[:, None] == np.unique(stock)).astype(float)

    def left(x):
        return score - x @ np.linalg.lstsq(x, score, rcond=None)[0]

    total, after_days = score.var(), (left(d) ** 2).mean()
    after_both = (left(np.hstack([d, s])) ** 2).mean()
    return total - after_days, after_days - after_both, after_both


def backtest_loop(weight, returns, horizon):
    """The tranche book, position by position: gross return and traded value of each day.

    Weights of day t are bought at the close of t + 1 with 1 / horizon of the capital,
    held as they drift, and sold at the close of t + 1 + horizon.
    """
    days, stocks = weight.shape
    gross, traded = np.zeros(days), np.zeros(days)
    held = [np.zeros(stocks) for _ in range(horizon)]
    for u in range(days):
        r = np.nan_to_num(returns[u])
        for k in range(horizon):
            gross[u] += held[k] @ r
            held[k] = held[k] * (1 + r)
        fresh = np.zeros(stocks)
        if u >= 1:
            fresh = np.where(np.isfinite(returns[u]), weight[u - 1], 0.0) / horizon
        traded[u] = np.abs(fresh - held[u % horizon]).sum()
        held[u % horizon] = fresh
    return gross, traded


def share_ledger(weight, returns, dates, *, rebalance, horizon):
    """A book of shares at prices, a day, a part of the capital and a stock at a time.

    Returns the gain of each day, the value traded at its close and the value held after it.
    """
    days, stocks = weight.shape
    parts = horizon if rebalance == "tranches" else 1
    price = np.full(stocks, 100.0)
    shares = np.zeros((parts, stocks))
    gain, traded, held = np.zeros(days), np.zeros(days), np.zeros((days, stocks))
    for u in range(days):
        before = price.copy()
        for s in range(stocks):
            if np.isfinite(returns[u, s]):
                price[s] *= 1 + returns[u, s]
        gain[u] = (shares * (price - before)).sum()
        if u > 0 and decided(dates, u - 1, rebalance):
            part = (u - 1) % parts
            for s in range(stocks):
                buys = weight[u - 1, s] / parts / price[s] if np.isfinite(returns[u, s]) else 0.0
                traded[u] += abs(buys - shares[part, s]) * price[s]
                shares[part, s] = buys
        held[u] = shares.sum(0) * price
    return gain, traded, held


def decided(dates, t, rebalance):
    """Whether the scores of day t are traded on the next day, by the calendar."""
    today, following = dates[t].item(), dates[t + 1].item()
    if rebalance == "weekly":
        return today.isocalendar()[:2] != following.isocalendar()[:2]
    if rebalance == "monthly":
        return (today.year, today.month) != (following.year, following.month)
    return True
