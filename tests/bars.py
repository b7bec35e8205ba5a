"""Random daily bars with what real ones have: gaps, late listings, early ends, dividends."""

import numpy as np
import polars as pl

from flatline.data.prices import Prices


def random_bars(*, seed=0, stocks=6, days=90, missing=0.05):
    """A frame of good rows sorted by code and date, some (stock, day) pairs missing."""
    rng = np.random.default_rng(seed)
    calendar = np.busday_offset("2024-01-01", np.arange(days))
    frames = []
    for stock in range(stocks):
        close = 100 * np.exp(np.cumsum(rng.standard_t(4, days) * 0.015))
        opened = close * np.exp(rng.normal(0, 0.01, days))
        high = np.maximum(opened, close) * np.exp(rng.exponential(0.01, days))
        low = np.minimum(opened, close) * np.exp(-rng.exponential(0.01, days))
        paid = np.where(rng.random(days) < 0.03, 0.98, 1.0)
        # What is paid later lowers every earlier adjusted close.
        factor = np.append(np.cumprod(paid[::-1])[::-1][1:], 1.0)
        here = rng.random(days) >= missing
        here[: rng.integers(0, 10) if stock else 0] = False
        if stock == 1:
            here[40:47] = False
        if stock == 2:
            here[-12:] = False
        frame = pl.DataFrame(
            {
                "date": calendar,
                "code": [f"{1000 + stock}"] * days,
                "open": opened,
                "high": high,
                "low": low,
                "close": close,
                "volume": np.round(np.exp(rng.normal(10, 1, days))),
                "adj_close": close * factor,
            }
        )
        frames.append(frame.filter(pl.Series(here)))
    return pl.concat(frames)


def prices_of(frame, *, sectors=None, index=None, calendar=None):
    """Prices of rows that are known to be good, without judging them."""
    if calendar is None:
        calendar = frame["date"].unique().sort()
    return Prices(
        frame=frame,
        quarantine=pl.DataFrame(),
        held=pl.DataFrame(),
        sectors=sectors,
        index=index,
        calendar=calendar,
    )


def random_sectors(frame, *, sectors=2):
    """Two snapshots: some days after the first date, and half-way, when one stock moves."""
    codes = frame["code"].unique().sort()
    dates = frame["date"].unique().sort()
    first, second = dates[len(dates) // 10], dates[len(dates) // 2]
    names = [f"sector {i % sectors}" for i in range(len(codes))]
    moved = [names[1], *names[1:]]
    table = pl.DataFrame(
        {
            "as_of": [first] * len(codes) + [second] * len(codes),
            "code": [*codes, *codes],
            "sector": names + moved,
            "segment": ["prime"] * (2 * len(codes)),
        }
    )
    return table.sort("code", "as_of")


def random_index(frame, *, seed=1):
    """An index that starts late, misses a day and ends early."""
    dates = frame["date"].unique().sort()
    rng = np.random.default_rng(seed)
    close = 1000 * np.exp(np.cumsum(rng.normal(0, 0.01, len(dates))))
    kept = np.ones(len(dates), bool)
    kept[[0, 1, 30]] = False
    kept[-5:] = False
    return pl.DataFrame({"date": dates, "close": close}).filter(pl.Series(kept))


def assert_same_bits(found, expected):
    """The same rows and the same bits in every feature."""
    assert found.select("date", "code").equals(expected.select("date", "code"))
    for name in found.columns[2:]:
        bits = [t[name].to_numpy().view(np.uint32) for t in (found, expected)]
        np.testing.assert_array_equal(*bits, err_msg=name)
