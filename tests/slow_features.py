"""Slow loops for features: one stock, a dictionary of lists, and one of its rows at a time."""

import itertools
import math

import numpy as np
import polars as pl

NAN = math.nan


def back(n):
    """Total return over n rows."""
    return lambda b, i: b["adj_close"][i] / b["adj_close"][i - n] - 1 if i >= n else NAN


def last(b, name, i, n):
    """The last n values of a column, or nothing."""
    return b[name][i - n + 1 : i + 1] if i >= n - 1 else []


def returns(b, i, n):
    """The last n daily returns, or nothing."""
    return [back(1)(b, j) for j in range(i - n + 1, i + 1)] if i >= n else []


def mean(x):
    """Mean, NaN of nothing."""
    return sum(x) / len(x) if len(x) else NAN


def deviation(x):
    """Sample standard deviation, NaN of nothing."""
    return float(np.std(x, ddof=1)) if len(x) else NAN


def height(b, i):
    """Range over close."""
    return (b["high"][i] - b["low"][i]) / b["close"][i]


def log_over_mean(value, n):
    """Log of a value over its mean of n rows."""

    def ratio(b, i):
        if i < n - 1:
            return NAN
        return math.log(value(b, i) / mean([value(b, j) for j in range(i - n + 1, i + 1)]))

    return ratio


def volume(b, i):
    """Shares traded."""
    return b["volume"][i]


def turnover(b, i):
    """Currency traded."""
    return b["close"][i] * b["volume"][i]


def momentum(b, i):
    """From a year, at least half of one, to a month ago."""
    if i < 126:
        return NAN
    return b["adj_close"][i - 21] / b["adj_close"][max(i - 252, 0)] - 1


def over(f, n):
    """NaN before the n-th row."""
    return lambda b, i: f(b, i) if i >= n - 1 else NAN


OWN = {
    **{f"return_{n}": back(n) for n in (1, 2, 5, 10, 20, 60)},
    "momentum_12_1": momentum,
    "gap": lambda b, i: b["open"][i] / b["close"][i - 1] - 1 if i else NAN,
    "body": lambda b, i: b["close"][i] / b["open"][i] - 1,
    "close_location": lambda b, i: (b["close"][i] - b["low"][i]) / (b["high"][i] - b["low"][i]),
    "range": height,
    "range_ratio_20": over(
        lambda b, i: height(b, i) / mean([height(b, j) for j in range(i - 19, i + 1)]), 20
    ),
    "volatility_20": lambda b, i: deviation(returns(b, i, 20)),
    "volatility_60": lambda b, i: deviation(returns(b, i, 60)),
    "downside_volatility_20": lambda b, i: math.sqrt(
        mean([min(x, 0) ** 2 for x in returns(b, i, 20)])
    ),
    "reversal_5": lambda b, i: -back(5)(b, i) / deviation(returns(b, i, 20)) / math.sqrt(5),
    **{
        f"distance_mean_{n}": lambda b, i, n=n: b["close"][i] / mean(last(b, "close", i, n)) - 1
        for n in (5, 20, 60)
    },
    "distance_high_60": over(lambda b, i: b["close"][i] / max(last(b, "high", i, 60)) - 1, 60),
    "volume_ratio_20": log_over_mean(volume, 20),
    "volume_ratio_60": log_over_mean(volume, 60),
    "turnover_ratio_20": log_over_mean(turnover, 20),
    "log_turnover": lambda b, i: math.log(turnover(b, i)),
    "illiquidity_20": over(
        lambda b, i: math.log(
            mean([abs(back(1)(b, j)) / turnover(b, j) for j in range(i - 19, i + 1)])
        ),
        21,
    ),
}


def textbook_wilder(x):
    """The first 14 values are averaged; each further one counts 1 in 14."""
    out = [NAN] * len(x)
    for i in range(13, len(x)):
        out[i] = mean(x[:14]) if i == 13 else (out[i - 1] * 13 + x[i]) / 14
    return out


def textbook_rsi(b):
    """100 - 100 / (1 + RS), over 100."""
    close = b["close"]
    moves = [later - earlier for earlier, later in itertools.pairwise(close)]
    up = textbook_wilder([max(m, 0) for m in moves])
    down = textbook_wilder([max(-m, 0) for m in moves])
    return [NAN] + [1 - 1 / (1 + u / d) for u, d in zip(up, down, strict=True)]


def textbook_atr(b):
    """Average true range over close."""
    ranges = [
        max(h - low, abs(h - before), abs(low - before))
        for h, low, before in zip(b["high"][1:], b["low"][1:], b["close"][:-1], strict=True)
    ]
    return [NAN] + [a / c for a, c in zip(textbook_wilder(ranges), b["close"][1:], strict=True)]


def textbook_macd(b):
    """EMA 12 less EMA 26, over close."""
    fast = slow = b["close"][0]
    out = []
    for i, close in enumerate(b["close"]):
        if i:
            fast += (close - fast) * 2 / 13
            slow += (close - slow) * 2 / 27
        out.append((fast - slow) / close if i >= 25 else NAN)
    return out


TEXTBOOK = {"rsi_14": textbook_rsi, "atr_ratio_14": textbook_atr, "macd": textbook_macd}


def slow_column(frame, name):
    """The feature of every row, stock by stock."""
    column = []
    for _, bars in frame.group_by("code", maintain_order=True):
        b = bars.to_dict(as_series=False)
        if name in TEXTBOOK:
            column += TEXTBOOK[name](b)
        else:
            column += [OWN[name](b, i) for i in range(bars.height)]
    return np.array(column)


class SlowGroups:
    """Market, sectors and index from dictionaries, one day and one stock at a time."""

    def __init__(self, frame, sectors, index, dates):
        self.dates, self.sectors = dates, sectors
        self.place = {d: t for t, d in enumerate(dates)}
        price = {(d, c): a for d, c, a in frame.select("date", "code", "adj_close").iter_rows()}
        codes = frame["code"].unique().sort().to_list()
        closes = dict(index.select("date", "close").iter_rows())
        self.market, self.index, self.members = [NAN], [NAN], [{}]
        for t in range(1, len(dates)):
            now, before = dates[t], dates[t - 1]
            moved, members = [], {}
            for c in codes:
                if (now, c) in price and (before, c) in price:
                    value = price[now, c] / price[before, c] - 1
                    moved.append(value)
                    members.setdefault(self.sector(c, now), []).append(value)
            self.market.append(mean(moved) if len(moved) > 1 else NAN)
            self.members.append({k: v for k, v in members.items() if k and len(v) > 1})
            known = now in closes and before in closes
            self.index.append(closes[now] / closes[before] - 1 if known else self.market[t])

    def sector(self, code, day):
        """Newest entry on or before the day."""
        held = self.sectors.filter((pl.col("code") == code) & (pl.col("as_of") <= day))
        return held.sort("as_of")["sector"][-1] if held.height else None

    def sector_mean(self, t, sector):
        """Mean return of the members."""
        return mean(self.members[t].get(sector, []))

    def span(self, series, then, now):
        """Return over the days after then up to now."""
        if then < 0:
            return NAN
        return math.prod(1 + series(t) for t in range(then + 1, now + 1)) - 1

    def row(self, b, i):
        """All group features of a row."""
        now = self.place[b["date"][i]]
        sector = self.sector(b["code"][i], b["date"][i])

        def then(n):
            return self.place[b["date"][i - n]] if i >= n else -1

        def sector_span(start):
            return self.span(lambda t: self.sector_mean(t, sector), start, now)

        def market_span(start, end=now):
            return self.span(lambda t: self.market[t], start, end)

        pairs = [
            (back(1)(b, j), market_span(self.place[b["date"][j - 1]], self.place[b["date"][j]]))
            for j in range(i - 59, i + 1)
            if j >= 1
        ]
        own = np.array(pairs).T if len(pairs) == 60 else np.full((2, 60), NAN)
        return {
            "market_relative_5": back(5)(b, i) - market_span(then(5)),
            **{f"sector_relative_{n}": back(n)(b, i) - sector_span(then(n)) for n in (1, 5, 20)},
            "beta_60": np.cov(own)[0, 1] / np.var(own[1], ddof=1),
            "sector_return_1": sector_span(now - 1),
            "sector_return_5": sector_span(now - 5),
            "sector_dispersion": deviation(self.members[now].get(sector, [])),
            "index_return_1": self.index[now],
            "index_return_20": self.span(lambda t: self.index[t], now - 20, now),
            "index_volatility_20": deviation(self.index[now - 19 : now + 1]) if now > 19 else NAN,
        }
