"""SPY: base rates, and figures that are known of it, each within its interval."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from flatline.data import holdout, prices_from_frame, read_prices, series_panel
from flatline.evaluation.series.learners import learn_class
from flatline.metrics import auc_interval

pytestmark = pytest.mark.real

HORIZONS = (1, 3, 5)


@pytest.fixture(scope="module")
def spy(real_data):
    """Prices of SPY."""
    return read_prices(real_data / "us_index_daily.parquet")


@pytest.fixture(scope="module")
def panels(spy):
    """Panels of both feature sets, and the fold of the task."""
    made = {
        name: series_panel(spy, code="SPY", horizons=HORIZONS, features=name)
        for name in ("level", "ratio")
    }
    fold = holdout(
        made["ratio"], train_from="1995-01-01", valid_from="2016-01-01", test_from="2022-01-01"
    )
    return made, fold


def test_nothing_of_spy_is_put_aside(spy):
    """8,396 rows without a defect."""
    assert spy.frame.filter(pl.col("code") == "SPY").height == 8396
    assert spy.held.filter(pl.col("code") == "SPY").height == 0


def test_base_rates(panels):
    """15, 37 and 50 % of the days of 1995-2015 are followed by a close one percent higher."""
    made, fold = panels
    rates = (made["ratio"].target[fold.train, 0] > 0.01).mean(axis=0)
    np.testing.assert_allclose(rates, [0.15, 0.37, 0.50], atol=0.0075)


def test_the_level_moves_away(panels, spy):
    """Total returns lie 6.5 times higher in 2024-2026 than in 1995-2015; bare closes do not."""
    made, fold = panels
    level = made["level"]
    close = level.features[:, 0, level.feature_names.index("close")]
    late = level.dates >= np.datetime64("2024-01-01")
    assert close[late].mean() > 6.5 * close[fold.train].mean()
    bare = spy.frame.filter(pl.col("code") == "SPY")["close"].to_numpy()
    assert bare[late].mean() < 6.5 * bare[fold.train].mean()


def around(panel, days, score, column, figure):
    """The AUC, in whose interval over blocks of days a known figure must lie."""
    label = panel.target[days, 0, column] > 0.01
    found = auc_interval(score, label, horizon=HORIZONS[column])
    assert found.low <= figure <= found.high
    return found


def test_a_forest_on_ratios_finds_what_there_is(panels):
    """Test AUC of about 0.72, 0.67 and 0.63 for 1, 3 and 5 days."""
    made, fold = panels
    panel, days = made["ratio"], fold.test[: -max(HORIZONS)]
    chance = learn_class("random forest", panel, fold.train, days, threshold=0.01)
    for column, figure in enumerate((0.72, 0.67, 0.63)):
        found = around(panel, days, chance[:, column], column, figure)
        assert found.low > 0.55


def test_most_of_it_is_volatility(panels):
    """ATR over the close alone: 0.69, 0.65 and 0.61."""
    made, fold = panels
    panel, days = made["ratio"], fold.test[: -max(HORIZONS)]
    score = panel.features[days, 0, panel.feature_names.index("atr_ratio")]
    for column, figure in enumerate((0.69, 0.65, 0.61)):
        around(panel, days, score, column, figure)


def test_the_sign_of_a_return_is_hardly_foretold(panels):
    """A forest on the same ratios: about 0.51 to 0.54, within its interval."""
    made, fold = panels
    panel = made["ratio"]
    wealth = np.cumprod(1 + np.nan_to_num(panel.daily_return[:, 0].astype(np.float64)))
    signs = panel.target.copy()
    for column, h in enumerate(HORIZONS):
        signs[:, 0, column] = np.nan
        signs[:-h, 0, column] = wealth[h:] / wealth[:-h] - 1
    signed = replace(panel, target=signs)
    days = fold.test[: -max(HORIZONS)]
    chance = learn_class("random forest", signed, fold.train, days, threshold=0.0)
    for column, h in enumerate(HORIZONS):
        label = signs[days, 0, column] > 0.0
        found = auc_interval(chance[:, column], label, horizon=h)
        assert found.low < 0.54
        assert found.high > 0.51


def test_a_code_of_many_is_the_code_alone(spy):
    """Other series of the file leave SPY's numbers alone."""
    alone = prices_from_frame(spy.frame.filter(pl.col("code") == "SPY"))
    both = [series_panel(prices, code="SPY", horizons=(1,)) for prices in (spy, alone)]
    np.testing.assert_allclose(both[0].features, both[1].features, rtol=1e-5, equal_nan=True)
