"""A single series: features point in time and against loops, the highest close, its label's end."""

import datetime as dt
import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flatline.data.normalise import make_normaliser
from flatline.data.prices import prices_from_frame
from flatline.data.series import highest_closes, series_panel
from flatline.data.series_features import FEATURE_SETS, series_features
from flatline.data.series_market import make_series_market
from flatline.data.settings import DataSettings
from flatline.data.splits import holdout
from flatline.errors import DataError, SettingsError

ALONE = {"graph": {"enabled": False}, "levels": (), "target": "raw", "normaliser": "zscore"}


def bars(days=260, seed=0):
    """A random walk's bars."""
    rng = np.random.default_rng(seed)
    close = 50 * np.exp(np.cumsum(0.02 * rng.standard_normal(days)))
    opened = close * np.exp(0.01 * rng.standard_normal(days))
    wide = np.exp(0.01 * np.abs(rng.standard_normal((2, days))))
    return pl.DataFrame(
        {
            "open": opened,
            "high": np.maximum(opened, close) * wide[0],
            "low": np.minimum(opened, close) / wide[1],
            "close": close,
            "volume": rng.integers(1, 9, days) * 1e6,
        }
    )


def wilder(x, days=14):
    """Wilder's average in a loop, from the first known value on."""
    found, last = [], None
    for value in x:
        if not math.isnan(value):
            last = value if last is None else last + (value - last) / days
        found.append(math.nan if last is None else last)
    return np.array(found)


def slow_features(frame):
    """The features that a table of averages does not give, by loops over the days."""
    o, h, low, c, v = (frame[n].to_numpy() for n in ("open", "high", "low", "close", "volume"))
    days = range(len(c))
    change = np.array([math.nan, *np.diff(c)])
    reach = np.array([math.nan] + [max(h[t], c[t - 1]) - min(low[t], c[t - 1]) for t in days if t])
    gain, loss = wilder(np.maximum(change, 0)), wilder(np.maximum(-change, 0))

    def ema(x, span):
        found = [x[0]]
        for value in x[1:]:
            found.append(found[-1] + 2 / (span + 1) * (value - found[-1]))
        return np.array(found)

    macd = ema(c, 12) - ema(c, 26)
    signal = np.concatenate([np.full(25, math.nan), ema(macd[25:], 9)])
    flow = np.array([0.0] + [np.sign(c[t] - c[t - 1]) * v[t] / 1e6 for t in days if t])
    log_return = np.array([math.nan, *np.diff(np.log(c))])

    def over(days_back, of):
        return np.array([of(t) if t >= days_back - 1 else math.nan for t in days])

    level = {
        "open": o,
        "mean_20": over(20, lambda t: c[t - 19 : t + 1].mean()),
        "macd": macd,
        "macd_signal": signal,
        "atr": wilder(reach),
        "obv": np.cumsum(flow),
        "volume": v / 1e6,
    }
    ratio = {
        "gap": np.array([math.nan, *(o[1:] / c[:-1] - 1)]),
        "from_mean_60": over(60, lambda t: c[t] / c[t - 59 : t + 1].mean() - 1),
        "macd_ratio": macd / c,
        "atr_ratio": wilder(reach) / c,
        "obv_flow": over(20, lambda t: flow[t - 19 : t + 1].sum() / v[t - 19 : t + 1].sum() * 1e6),
        "volume_ratio": over(20, lambda t: math.log(v[t] / v[t - 19 : t + 1].mean())),
        "rsi": gain / (gain + loss),
        "stochastic": over(
            14,
            lambda t: (
                (c[t] - low[t - 13 : t + 1].min())
                / (h[t - 13 : t + 1].max() - low[t - 13 : t + 1].min())
            ),
        ),
        "volatility_20": over(
            21, lambda t: log_return[t - 19 : t + 1].std(ddof=1) if t >= 20 else math.nan
        ),
    }
    return {"level": level, "ratio": ratio}


@given(
    st.lists(st.floats(0.1, 10), min_size=1, max_size=12), st.sets(st.integers(1, 8), min_size=1)
)
def test_the_target_is_the_highest_close_ahead(closes, horizons):
    """Of the next h days, over today's close; unknown where one of them is not there yet."""
    found = highest_closes(np.array(closes), sorted(horizons))
    for t in range(len(closes)):
        for j, h in enumerate(sorted(horizons)):
            ahead = closes[t + 1 : t + 1 + h]
            expected = max(ahead) / closes[t] - 1 if len(ahead) == h else math.nan
            assert found[t, j] == pytest.approx(expected, rel=1e-5, abs=1e-6, nan_ok=True)


@pytest.mark.parametrize("chosen", FEATURE_SETS)
def test_features_equal_loops(chosen):
    """Each indicator is what its textbook's loop gives."""
    frame = bars()
    found = series_features(frame, chosen)
    for name, expected in slow_features(frame)[chosen].items():
        column = found[name].fill_null(math.nan).to_numpy()
        known = np.isfinite(column)
        assert known[60:].all(), name
        np.testing.assert_allclose(column[known], expected[known], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("chosen", FEATURE_SETS)
@pytest.mark.parametrize("day", [0, 13, 100, 258])
def test_features_do_not_hear_of_later_days(chosen, day):
    """Other bars after a day, or none, leave the features up to it alone, to the last bit."""
    frame, other = bars(), bars(seed=1)
    known = series_features(frame, chosen).head(day + 1)
    spliced = pl.concat([frame.head(day + 1), other.tail(frame.height - day - 1)])
    assert series_features(spliced, chosen).head(day + 1).equals(known)
    assert series_features(frame.head(day + 1), chosen).equals(known)


def test_ratios_do_not_know_the_level():
    """Seven times the price and three times the volume: other levels, the same ratios."""
    frame = bars()
    prices = pl.col("open", "high", "low", "close")
    scaled = frame.with_columns(prices * 7, pl.col("volume") * 3)
    plain, moved = (series_features(f, "ratio").to_numpy() for f in (frame, scaled))
    np.testing.assert_allclose(moved, plain, rtol=1e-8, atol=1e-10)
    plain, moved = (series_features(f, "level") for f in (frame, scaled))
    for name in plain.columns:
        by = 3 if name in {"obv", "volume"} else 7
        np.testing.assert_allclose(moved[name][250], by * plain[name][250], rtol=1e-9)


def test_every_feature_is_known_after_two_hundred_days():
    """The longest average decides; from then on nothing is unknown."""
    for chosen in FEATURE_SETS:
        assert series_features(bars(), chosen)[199:].null_count().sum_horizontal().item() == 0


def test_a_series_that_does_not_move_has_middling_oscillators():
    """No division by 0: RSI and stochastic of a constant are one half."""
    still = pl.DataFrame(
        {n: [5.0] * 30 for n in ("open", "high", "low", "close")} | {"volume": 1e6}
    )
    found = series_features(still, "ratio")
    assert found["rsi"][29] == found["stochastic"][29] == 0.5


def test_a_dividend_is_no_fall():
    """Prices are total returns: the close falls by the dividend, the features do not."""
    days = [dt.date(2024, 1, 1) + dt.timedelta(days=k) for k in range(8)]
    close = [100.0] * 4 + [90.0] * 4
    frame = pl.DataFrame(
        {"date": days, "code": "A", "open": close, "high": close, "low": close, "close": close}
        | {"volume": 10, "adj_close": [90.0] * 8}
    )
    panel = series_panel(prices_from_frame(frame), horizons=(1,), features="level")
    assert np.ptp(panel.features[:, 0, panel.feature_names.index("close")]) < 1e-3
    assert np.nanmax(np.abs(panel.target)) < 1e-6


def test_no_train_label_reads_a_validation_close():
    """Labels end on day t + h: the last train day is the one whose label still ends before."""
    prices = prices_from_frame(make_series_market("tiny").prices)
    panel = series_panel(prices, horizons=(1, 5))
    fold = holdout(panel)
    assert fold.train[-1] + 5 == fold.valid[0] - 1
    assert fold.valid[-1] + 5 == fold.test[0] - 1
    day = fold.train[-1]
    spoiled = prices.frame.with_columns(
        pl.when(pl.int_range(pl.len()) >= fold.valid[0]).then(1.0).otherwise(pl.col("adj_close"))
        .alias("adj_close")
    )  # fmt: skip
    close = spoiled["adj_close"].to_numpy()
    assert np.array_equal(highest_closes(close, (1, 5))[: day + 1], panel.target[: day + 1, 0])


@pytest.mark.parametrize(
    "name", ["raw", "zscore", "percent_change", "rolling", "bounded", "hybrid"]
)
@pytest.mark.parametrize("chosen", FEATURE_SETS)
def test_every_normaliser_takes_a_single_series(name, chosen):
    """Fitted on the train days only; every later day has numbers."""
    prices = prices_from_frame(make_series_market("tiny").prices)
    raw = series_panel(prices, horizons=(1,), features=chosen)
    fold = holdout(raw, train_from=str(raw.dates[260]))
    found = make_normaliser(name).fit(raw, fold.train).apply(raw)
    assert np.isfinite(found.features[fold.test]).all()
    longer = found.features[fold.train].copy()
    spoiled = raw.with_features(raw.features.copy(), raw.feature_names, normaliser="raw")
    spoiled.features[fold.valid[0] :] *= 3.0
    again = make_normaliser(name).fit(spoiled, fold.train).apply(spoiled)
    np.testing.assert_array_equal(again.features[fold.train], longer)


def two_codes():
    """Prices of two codes."""
    frame = make_series_market("tiny").prices.head(40)
    return prices_from_frame(pl.concat([frame, frame.with_columns(code=pl.lit("OTHER"))]))


def test_one_of_several_codes_is_taken():
    """The named one, whatever else the file holds."""
    alone = series_panel(
        prices_from_frame(make_series_market("tiny").prices.head(40)), horizons=(1,)
    )
    panel = series_panel(two_codes(), horizons=(1,), code="SERIES")
    assert panel.codes.tolist() == ["SERIES"]
    np.testing.assert_array_equal(panel.features, alone.features)


@pytest.mark.parametrize("code", [None, "SPX"])
def test_a_code_that_is_not_there_is_named(code):
    """What the prices hold is listed."""
    with pytest.raises(DataError) as error:
        series_panel(two_codes(), horizons=(1,), code=code)
    assert str(error.value) == (
        f"code is {code!r}, expected one of the prices: OTHER, SERIES. Set data.series.code."
    )


def test_an_unknown_feature_set_is_named():
    """With the nearest one."""
    with pytest.raises(SettingsError) as error:
        series_panel(two_codes(), horizons=(1,), features="ratios")
    assert str(error.value) == (
        "features is 'ratios', expected one of level, ratio. Did you mean 'ratio'?"
    )


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"normaliser": "day_rank"}, "normaliser is 'day_rank' with series, expected one that"),
        ({"target": "rank"}, "target is 'rank' with series, expected 'raw' where each day has"),
        ({"levels": (0.5,)}, "levels is (0.5,) with series, expected () where each day has"),
        ({"graph": {}}, "graph.enabled is True with series, expected False where each day has"),
        ({"max_stocks": 5}, "max_stocks is 5 with series, expected None where each day has"),
        ({"source": {"signals": ["newest"]}}, "source.signals is ('newest',) with series"),
        ({"source": {"prices": ["a.csv"], "universe": 5}}, "source.universe is 5 with series"),
        ({"series": {"code": "SPY"}}, "series.code is 'SPY' without prices, expected prices"),
        ({"series": {"codes": "SPY"}}, "codes is no setting of SeriesSettings"),
    ],
)
def test_settings_that_a_single_series_cannot_have_are_refused(values, message):
    """One sentence for each; what changes nothing is not passed over."""
    with pytest.raises(SettingsError) as error:
        DataSettings(**(ALONE | {"series": {}} | values))
    assert message in str(error.value)


def test_settings_of_a_single_series():
    """What it needs, and no more."""
    assert DataSettings(**ALONE, series={"features": "level"}).series.features == "level"
