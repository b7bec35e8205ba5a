"""The embedded market looks like one: bars, calendar, universe, factors."""

import numpy as np
import polars as pl
import pytest
from scipy.stats import kurtosis

from flatline.data.market import Market, Signals, make_market
from flatline.data.market_paths import Size, draw_clusters, draw_universe
from flatline.errors import SettingsError


@pytest.fixture(scope="module")
def tiny():
    """A market of this size, drawn once."""
    return make_market("tiny", seed=3)


@pytest.fixture(scope="module")
def small():
    """A market of this size, drawn once."""
    return make_market("small", seed=3)


def log_returns(market: Market) -> np.ndarray:
    """Within-day centred, so that the market factor is out."""
    r = np.diff(market.log_close, axis=0)
    return r - r.mean(axis=1, keepdims=True)


def test_the_same_seed_gives_the_same_market(tiny):
    """Two draws of one seed agree to the last bit, frames and truth."""
    again = make_market("tiny", seed=3)
    assert again.prices.equals(tiny.prices)
    assert again.sectors.equals(tiny.sectors)
    assert again.index.equals(tiny.index)
    assert np.array_equal(again.true_edges, tiny.true_edges)
    assert np.array_equal(again.expected_return((5,)), tiny.expected_return((5,)), equal_nan=True)


def test_another_seed_gives_another_market(tiny):
    """Prices, calendar, sectors and edges all depend on the seed."""
    other = make_market("tiny", seed=4)
    assert not other.prices.equals(tiny.prices)
    assert not np.array_equal(other.dates, tiny.dates)
    assert not other.sectors.equals(tiny.sectors)
    assert not np.array_equal(other.true_edges, tiny.true_edges)


def test_global_random_state_is_left_alone():
    """Drawing a market neither reads nor moves numpy's global generator."""
    before = np.random.get_state()[1].copy()  # noqa: NPY002 - the legacy state is what is watched
    make_market("tiny", seed=5)
    assert np.array_equal(before, np.random.get_state()[1])  # noqa: NPY002


def test_frames_have_the_agreed_columns(tiny):
    """Names and types are those the reader of prices expects."""
    assert tiny.prices.schema == {
        "date": pl.Date,
        "code": pl.String,
        "open": pl.Float64,
        "high": pl.Float64,
        "low": pl.Float64,
        "close": pl.Float64,
        "volume": pl.Int64,
    }
    assert tiny.sectors.schema == {
        "as_of": pl.Date,
        "code": pl.String,
        "sector": pl.String,
        "segment": pl.String,
    }
    assert tiny.index.schema == {"date": pl.Date, "close": pl.Float64}


def test_bars_are_consistent(small):
    """Low <= open, close <= high; prices are positive and finite, volumes at least 1."""
    bars = small.prices
    assert bars.null_count().sum_horizontal().item() == 0
    assert (
        bars.select(pl.col("open", "high", "low", "close").is_finite().all()).row(0) == (True,) * 4
    )
    assert (bars["low"] > 0).all()
    assert (bars["low"] <= bars.select(pl.min_horizontal("open", "close")).to_series()).all()
    assert (bars["high"] >= bars.select(pl.max_horizontal("open", "close")).to_series()).all()
    assert (bars["volume"] >= 1).all()


def test_rows_are_unique_and_match_the_mask(tiny):
    """The frame holds exactly the present (date, code) pairs, sorted, with the dense closes."""
    day, stock = np.nonzero(tiny.present)
    assert not tiny.prices.select("date", "code").is_duplicated().any()
    assert np.array_equal(tiny.prices["date"].to_numpy(), tiny.dates[day])
    assert tiny.prices["code"].to_list() == tiny.codes[stock].tolist()
    assert np.allclose(np.log(tiny.prices["close"].to_numpy()), tiny.log_close[day, stock])


def test_codes_and_dates_ascend(tiny):
    """Positions in codes are positions in a panel, which sorts them."""
    assert tiny.codes.tolist() == sorted(set(tiny.codes.tolist()))
    assert (np.diff(tiny.dates) > np.timedelta64(0)).all()
    assert tiny.index["date"].to_numpy().tolist() == tiny.dates.tolist()
    assert tiny.sectors["code"].to_list() == tiny.codes.tolist()
    assert (tiny.sectors["as_of"].to_numpy() == tiny.dates[0]).all()


def test_holidays_are_skipped_weekdays(tiny):
    """No row on a weekend, and some weekday of the span has none."""
    assert np.is_busday(tiny.dates).all()
    assert np.busday_count(tiny.dates[0], tiny.dates[-1]) > len(tiny.dates) - 1


@pytest.mark.parametrize("seed", range(5))
def test_stocks_list_delist_and_pause(seed):
    """Every draw has a late listing, a delisting, a suspension, and a row for every code."""
    market = make_market("tiny", seed=seed)
    listed, present = market.channels.listed, market.present
    assert (~listed[0] & listed[-1]).any()
    assert (listed[0] & ~listed[-1]).any()
    assert (listed & ~present).any()
    assert not (present & ~listed).any()
    assert present.any(axis=0).all()


@pytest.mark.parametrize(("size", "stocks"), [("tiny", 60), ("small", 300)])
def test_sizes_are_what_they_say(size, stocks):
    """About the advertised number of stocks trade on an average day."""
    market = make_market(size)
    assert market.present.sum(axis=1).mean() == pytest.approx(stocks, rel=0.05)


def test_large_has_its_rows():
    """The universe of the benchmark size holds 10.6 million rows, without drawing its prices."""
    universe = draw_universe(np.random.default_rng(0), Size(codes=4380, days=2500, sectors=33))
    assert universe.present.sum() == pytest.approx(10.6e6, rel=0.01)


@pytest.mark.parametrize("stocks", [12, 40, 64, 316, 4380])
def test_clusters_have_six_to_ten_stocks(stocks):
    """Sizes stay within their bounds and add up, whatever the number of stocks."""
    sizes = draw_clusters(np.random.default_rng(stocks), stocks)
    assert sizes.sum() == stocks
    assert sizes.min() >= 6
    assert sizes.max() <= 10


def test_edges_join_stocks_of_different_sectors_both_ways(small):
    """No true edge is a loop or lies within a sector, so sector averages do not show it."""
    source, target = small.true_edges
    sector = small.sectors["sector"].to_numpy()
    assert (source != target).all()
    assert (sector[source] != sector[target]).all()
    pairs = set(zip(source.tolist(), target.tolist(), strict=True))
    assert pairs == {(b, a) for a, b in pairs}


def test_segments_balance_the_sign(small):
    """Half of the stocks are prime, and they alone have the positive sign."""
    prime = small.sectors["segment"].to_numpy() == "prime"
    assert prime.sum() == len(prime) // 2
    assert np.array_equal(small.channels.sign, np.where(prime, 1.0, -1.0))


def test_peers_move_together_more_than_sectors(small):
    """Mean return correlation: same cluster > same sector > neither."""
    correlation = np.corrcoef(log_returns(small).T)
    sector = small.sectors["sector"].to_numpy()
    cluster = np.zeros_like(correlation, dtype=bool)
    cluster[tuple(small.true_edges)] = True
    same = (sector[:, None] == sector) & ~np.eye(len(sector), dtype=bool)
    neither = correlation[~cluster & ~same & ~np.eye(len(sector), dtype=bool)].mean()
    assert correlation[cluster].mean() > correlation[same].mean() + 0.2
    assert correlation[same].mean() > neither + 0.02


def test_returns_have_fat_tails_and_clustered_volatility(small):
    """Excess kurtosis beyond a normal's, and absolute returns that remember the day before."""
    r = log_returns(small)
    assert kurtosis(r, axis=None) > 1.0
    size = np.abs(r) - np.abs(r).mean(axis=0)
    assert (size[1:] * size[:-1]).mean() / (size**2).mean() > 0.02
    whole = np.abs(r).mean(axis=1)
    assert np.corrcoef(whole[1:], whole[:-1])[0, 1] > 0.3


def test_the_index_follows_the_market(small):
    """Its return is close to the mean return of the stocks that trade."""
    r = np.diff(small.log_close, axis=0)
    mean = np.where(small.channels.listed[1:], r, np.nan)
    index = np.diff(np.log(small.index["close"].to_numpy()))
    assert np.corrcoef(index, np.nanmean(mean, axis=1))[0, 1] > 0.99


def test_an_unknown_size_is_refused():
    """The message names what can be chosen."""
    with pytest.raises(SettingsError) as error:
        make_market("medium")
    assert str(error.value) == (
        "size is 'medium', expected one of tiny, small, large. Choose one of these."
    )


def test_an_unknown_signal_is_refused():
    """The message names the four."""
    with pytest.raises(SettingsError) as error:
        Signals.only("grpah")
    assert str(error.value) == (
        "signal is 'grpah', expected one of newest, pattern, graph, static. Correct the name."
    )


def test_a_strength_that_is_no_number_is_refused():
    """NaN would spread into every price."""
    with pytest.raises(SettingsError) as error:
        Signals(pattern=float("nan"))
    assert str(error.value) == (
        "pattern is nan, expected a finite strength. Use 0 to switch it off."
    )
