"""Settings that come with the project: they compare models on the same days, and fit the prices."""

from pathlib import Path

import numpy as np
import pytest
import torch

from flatline.evaluation.experiment import assemble
from flatline.settings import load_settings

SETTINGS = Path(__file__).parents[2] / "settings"


def shipped(name, *overrides):
    """The settings of a file, without what the environment says."""
    return load_settings(SETTINGS / f"{name}.toml", environ={}, overrides=overrides)


@pytest.mark.parametrize("market", ["tokyo", "sp500"])
def test_both_models_of_a_market_see_the_same_days(market):
    """Prices, split, windows, horizons, lookback and labels are those of the other file."""
    prices = "data.source.prices=a.parquet"
    one, other = shipped(market, prices).data, shipped(f"{market}_apex", prices).data
    for part in ("source", "split", "windows", "horizons", "lookback", "target", "normaliser"):
        assert getattr(one, part) == getattr(other, part)


@pytest.mark.parametrize("name", ["apex", "tokyo_apex", "sp500_apex"])
def test_the_ranker_trains_on_one_day_at_a_time(name):
    """However few stocks a day has, a batch holds one."""
    folder = {"apex": "../src/flatline/subjects/apex"}
    prices = [] if name == "apex" else ["data.source.prices=a.parquet"]
    settings = shipped(folder.get(name, name), *prices)
    assert settings.model.name == "apex"
    assert [settings.data.days_per_batch(rows) for rows in (2, 300, 2000)] == [1, 1, 1]


@pytest.mark.real
@pytest.mark.parametrize("name", ["sp500", "sp500_apex"])
def test_the_sp500_settings_fit_their_prices(real_data, name):
    """Three years of tests behind ten of training, hardly a member missing, and finite scores."""
    found = assemble(
        shipped(
            name,
            f"data.source.prices={real_data / 'us_sp500_prices_1999_2021.parquet'}",
            f"data.source.index={real_data / 'us_index_daily.parquet'}",
            "data.source.index_code=SPY",
        )
    )
    dates = found.panel.dates
    first, last = (dates[found.fold.test[k]].astype(str) for k in (0, -1))
    # Labels of 20 days end on 20 + 1 days after: the last days of 2020 have theirs in 2021.
    assert (first, last) == ("2018-01-02", "2020-12-31")
    assert 10 * 250 < len(found.fold.train) < 15 * 250
    assert found.panel.label_end[found.fold.train].max() < found.fold.valid[0]
    assert np.count_nonzero(found.panel.present[found.fold.test], axis=1).min() > 480
    inputs, labels = next(iter(found.batches("train")))
    torch.manual_seed(0)
    assert torch.isfinite(found.model()(inputs).point).all()
    assert labels.known.float().mean() > 0.95
