"""Building the panel: everything lands on its date and stock, nothing else does."""

import numpy as np
import polars as pl
import pytest

from bars import assert_same_bits, prices_of, random_bars, random_index, random_sectors
from flatline.data import build as build_module
from flatline.data import features as features_module
from flatline.data.build import build_panel
from flatline.data.features import ALL_FEATURES, FEATURES, build_features
from flatline.data.prices import prices_from_frame, read_prices
from flatline.errors import ArtifactError, SettingsError

FRAME = random_bars(seed=20, stocks=8, days=120)
PRICES = prices_of(FRAME, sectors=random_sectors(FRAME), index=random_index(FRAME))


def test_every_row_lands_on_its_date_and_stock():
    """Reading the panel back at (date, code) gives the rows of the features, bit for bit."""
    panel, rows = build_panel(PRICES), build_features(PRICES)
    date = np.searchsorted(panel.dates, rows["date"].to_numpy())
    stock = np.searchsorted(panel.codes, rows["code"].to_numpy().astype(str))
    assert panel.feature_names == FEATURES
    np.testing.assert_array_equal(
        panel.features[date, stock], rows.select(FEATURES).to_numpy().astype(np.float32)
    )
    expected = np.zeros_like(panel.present)
    expected[date, stock] = True
    np.testing.assert_array_equal(panel.present, expected)
    assert panel.rows == FRAME.height
    assert np.isnan(panel.features[~panel.present]).all()


def test_blocks_of_stocks_fill_the_whole_panel(monkeypatch):
    """A panel built one stock at a time is the same panel."""
    whole = build_panel(PRICES)
    monkeypatch.setattr(features_module, "BLOCK_ROWS", 1)
    np.testing.assert_array_equal(build_panel(PRICES).features, whole.features)


def test_daily_return_is_since_the_trading_day_before():
    """After a gap the daily return is unknown: it would span several days."""
    panel = build_panel(PRICES)
    price = {(d, c): a for d, c, a in FRAME.select("date", "code", "adj_close").iter_rows()}
    dates = [d.item() for d in panel.dates]
    for s, code in enumerate(panel.codes):
        for t in range(len(dates)):
            now, before = price.get((dates[t], code)), price.get((dates[max(t - 1, 0)], code))
            expected = now / before - 1 if t and now and before else np.nan
            assert panel.daily_return[t, s] == pytest.approx(
                expected, rel=1e-4, abs=1e-6, nan_ok=True
            )


def test_sectors_are_those_known_on_the_date():
    """The attribute of a date is the newest entry on or before it; -1 before the first."""
    panel = build_panel(PRICES)
    sector = panel.attributes["sector"]
    first, second = PRICES.sectors["as_of"].unique().sort()
    day = panel.dates.astype(object)
    assert (sector.code[day < first] == -1).all()
    named = [[sector.levels[c] for c in row] for row in sector.code[day >= first]]
    before, after = named[0], named[-1]
    assert before == [f"sector {i % 2}" for i in range(8)]
    assert after == ["sector 1", *before[1:]]
    assert np.flatnonzero(np.diff(sector.code[:, 0]))[1] == int(np.argmax(day >= second)) - 1
    assert panel.attributes["segment"].levels == ("prime",)
    assert build_panel(prices_of(FRAME)).attributes == {}


@pytest.mark.parametrize("universe", [1, 3, 100])
def test_the_universe_is_the_days_most_traded_so_far(universe):
    """Present are the stocks with the largest median turnover of their last 60 rows."""
    panel = build_panel(PRICES, universe=universe, features=["body"])
    bars = {c: f for (c,), f in FRAME.group_by("code", maintain_order=True)}
    for t, day in enumerate(panel.dates.astype(object)):
        size = {}
        for code, frame in bars.items():
            past = frame.filter(pl.col("date") <= day)
            if past.height >= 20 and past["date"][-1] == day:
                turnover = (past["close"] * past["volume"]).to_numpy()[-60:]
                size[code] = np.median(turnover)
        expected = sorted(size, key=size.get, reverse=True)[:universe]
        assert panel.codes[panel.present[t]].tolist() == sorted(expected)


def test_the_universe_hides_rows_and_changes_no_value():
    """Features and targets are those of the whole market."""
    whole, small = build_panel(PRICES), build_panel(PRICES, universe=3)
    assert 0 < small.rows < whole.rows
    np.testing.assert_array_equal(small.features, whole.features)
    np.testing.assert_array_equal(small.target, whole.target)


def test_large_arrays_go_to_files(tmp_path, monkeypatch):
    """With a folder, arrays above the size are mapped read-only and hold the same values."""
    whole = build_panel(PRICES)
    monkeypatch.setattr(build_module, "MAP_ABOVE", whole.target.nbytes)
    mapped = build_panel(PRICES, memory_map=tmp_path / "panel")
    assert isinstance(mapped.features, np.memmap)
    assert not isinstance(mapped.target, np.memmap)
    assert not mapped.features.flags.writeable
    np.testing.assert_array_equal(mapped.features, whole.features)
    with pytest.raises(ArtifactError, match=r"features\.npy exists, expected a folder without it"):
        build_panel(PRICES, memory_map=tmp_path / "panel")


def test_a_universe_of_nobody_is_refused():
    """The number of stocks a day is at least one."""
    with pytest.raises(SettingsError, match="universe is 0, expected a number of stocks from 1 on"):
        build_panel(PRICES, universe=0)


def test_the_order_of_the_input_rows_is_of_no_consequence():
    """Shuffled rows give the same panel, bit for bit."""
    shuffled = FRAME.sample(fraction=1.0, shuffle=True, seed=0)
    ordered, other = (build_panel(prices_from_frame(f)) for f in (FRAME, shuffled))
    np.testing.assert_array_equal(ordered.features, other.features)
    np.testing.assert_array_equal(ordered.target, other.target)


@pytest.mark.parametrize("last_day", [30, 80, 118])
def test_judging_adjusting_and_features_see_no_future(last_day):
    """From raw bars, splits included, to features: truncation changes no bit of the past."""
    raw = with_a_split(FRAME)
    cut = raw["date"].unique().sort()[last_day]
    whole = build_features(prices_from_frame(raw), features=[*ALL_FEATURES])
    part = build_features(
        prices_from_frame(raw.filter(pl.col("date") <= cut)), features=[*ALL_FEATURES]
    )
    assert_same_bits(part, whole.filter(pl.col("date") <= cut))


def with_a_split(frame):
    """Raw bars: the first stock is split 3 to 1 on the 70th day."""
    split = frame["date"].unique().sort()[70]
    after = (pl.col("code") == "1000") & (pl.col("date") >= split)
    third = pl.when(after).then(3.0).otherwise(1.0)
    coefficient = pl.when(after & (pl.col("date") == split)).then(3.0).otherwise(1.0)
    return frame.with_columns(
        *(pl.col(name) / third for name in ("open", "high", "low", "close")),
        volume=pl.col("volume") * third,
        split_coefficient=coefficient,
    )


@pytest.mark.real
def test_real_features_see_no_future(real_data):
    """On some hundred Tokyo stocks, bars after a day change no bit of features before it."""
    raw = pl.read_parquet(real_data / "jp_tse_prices_2013_2018.parquet")
    raw = raw.filter(pl.col("code") < "1720")
    sectors = pl.read_parquet(real_data / "jp_sectors.parquet").rename(
        {"sector33_name": "sector", "market_segment": "segment"}
    )
    cut = pl.date(2018, 11, 30)
    names = [*ALL_FEATURES]
    whole = build_features(prices_from_frame(raw, sectors=sectors), features=names)
    past = prices_from_frame(raw.filter(pl.col("date") <= cut), sectors=sectors)
    assert_same_bits(build_features(past, features=names), whole.filter(pl.col("date") <= cut))


@pytest.mark.real
def test_real_prices_fill_a_panel(real_data):
    """The Tokyo panel of one file: every feature known for most rows, none infinite."""
    prices = read_prices(real_data / "jp_tse_prices_2019_2024.parquet")
    panel = build_panel(prices, features=[n for n in FEATURES if not n.startswith("sector")])
    assert panel.rows == prices.frame.height
    for j, name in enumerate(panel.feature_names):
        known = np.isfinite(panel.features[:, :, j][panel.present]).mean()
        assert known > 0.85, name
    assert not np.isinf(panel.features).any()
