"""Normalisers against loops over days and stocks, and against later days."""

import json
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from data_helpers import noise_from, random_panel, with_arrays
from flatline.data import ways
from flatline.data.fitted_normaliser import FittedNormaliser
from flatline.data.normalise import NORMALISERS, make_normaliser
from flatline.data.panel import Panel
from flatline.errors import ArtifactError, DataError, SettingsError

NAMES = tuple(NORMALISERS)
TRAIN = np.arange(40)


def mixed_panel(*, days=90, seed=0):
    """Columns of every kind: a level, a bounded one, a heavy-tailed one, a shared one."""
    panel = random_panel(days, 12, 4, seed=seed)
    rng = np.random.default_rng(seed + 1)
    x = panel.features.copy()
    x[..., 0] = 100 * np.exp(0.02 * np.cumsum(np.nan_to_num(x[..., 0]), axis=0))
    x[..., 1] = np.tanh(x[..., 1])
    x[..., 2] = 0.02 * x[..., 2] ** 3
    x[..., 3] = rng.standard_normal(days)[:, None]
    x[~panel.present] = np.nan
    return with_arrays(panel, features=x)


def rows_of(panel, days, column):
    """Known train values of a column, as a flat float64 vector."""
    x = panel.features[days, :, column].astype(np.float64)
    return x[np.isfinite(x)]


def same(found, expected, *, atol=2e-6):
    """Equal up to float32, NaN where NaN."""
    np.testing.assert_allclose(found, expected, rtol=2e-6, atol=atol)


def rolling_oracle(x, window, clip):
    """Each stock and day by itself."""
    out = np.full(x.shape, np.nan)
    for t, s, c in np.ndindex(*x.shape):
        past = x[max(0, t - window + 1) : t + 1, s, c].astype(np.float64)
        past = past[np.isfinite(past)]
        if np.isfinite(x[t, s, c]) and len(past) >= np.ceil(window / 2) and past.std() > 0:
            out[t, s, c] = np.clip((x[t, s, c] - past.mean()) / past.std(), -clip, clip)
    return out


def day_oracle(x, standardise):
    """Each day and column by itself."""
    out = np.full(x.shape, np.nan)
    for t in range(len(x)):
        for c in range(x.shape[2]):
            known = np.isfinite(x[t, :, c])
            values = x[t, known, c].astype(np.float64)
            if known.sum() > 1 and values.std() > 1e-6 * np.abs(values).max():
                out[t, known, c] = standardise(values)
    return out


def changes_oracle(x):
    """Change from the day before over its size."""
    out = np.full(x.shape, np.nan)
    for t, s in np.ndindex(*x.shape):
        if t and np.isfinite(x[t, s]) and np.isfinite(x[t - 1, s]):
            out[t, s] = (float(x[t, s]) - float(x[t - 1, s])) / abs(float(x[t - 1, s]))
    return out


def test_raw_changes_nothing():
    """The raw normaliser hands the panel back."""
    panel = mixed_panel()
    assert make_normaliser("raw").fit(panel, TRAIN).apply(panel) is panel


def test_zscore_uses_the_mean_and_spread_of_the_train_rows():
    """Every day is measured from the train mean in train standard deviations."""
    panel = mixed_panel()
    found = make_normaliser("zscore", clip=3.0).fit(panel, TRAIN).apply(panel).features
    for column in range(4):
        train = rows_of(panel, TRAIN, column)
        z = (panel.features[..., column].astype(np.float64) - train.mean()) / train.std()
        same(found[..., column], np.clip(z, -3, 3), atol=1e-5)


def test_percent_change_of_levels_then_zscore():
    """A level becomes its change from the day before, in train standard deviations."""
    panel = mixed_panel()
    fitted = make_normaliser("percent_change").fit(panel, TRAIN)
    assert fitted.ways == ("percent_change", "zscore", "zscore", "zscore")
    change = changes_oracle(panel.features[..., 0])
    train = change[TRAIN][np.isfinite(change[TRAIN])]
    z = np.clip((change - train.mean()) / train.std(), -5, 5)
    same(fitted.apply(panel).features[..., 0], z, atol=1e-5)


def test_named_levels_replace_the_guess():
    """Levels given by name are the only ones."""
    fitted = make_normaliser("percent_change", levels=("f2",)).fit(mixed_panel(), TRAIN)
    assert fitted.ways == ("zscore", "zscore", "percent_change", "zscore")


def test_rolling_stays_within_the_stocks_own_past():
    """Each value is measured within its stock's trailing window."""
    panel = mixed_panel()
    found = make_normaliser("rolling", window=7, clip=2.0).fit(panel, TRAIN).apply(panel)
    same(found.features, rolling_oracle(panel.features, 7, 2.0), atol=2e-5)


def test_rolling_calls_a_standing_series_unknown():
    """A series that does not move has no spread to be measured by."""
    panel = mixed_panel()
    x = panel.features.copy()
    x[30:, :, 0] = 0.3
    panel = with_arrays(panel, features=x)
    found = make_normaliser("rolling", window=7).fit(panel, TRAIN).apply(panel).features
    assert np.isnan(found[36:, :, 0]).all()


def test_bounded_squashes_between_train_quantiles():
    """The train quantiles become -1 and 1, and nothing lies outside."""
    panel = mixed_panel()
    found = make_normaliser("bounded", quantile=0.1).fit(panel, TRAIN).apply(panel).features
    for column in range(4):
        low, high = np.quantile(rows_of(panel, TRAIN, column), (0.1, 0.9))
        x = panel.features[..., column].astype(np.float64)
        same(found[..., column], np.clip((2 * x - low - high) / (high - low), -1, 1))


def test_hybrid_tells_bounded_columns_levels_and_others_apart():
    """Bounded ones stay, levels change by percent, the rest roll."""
    panel = mixed_panel()
    fitted = make_normaliser("hybrid", window=7).fit(panel, TRAIN)
    assert fitted.ways == ("percent_change", "keep", "rolling", "rolling")
    found = fitted.apply(panel).features
    assert np.array_equal(found[..., 1], panel.features[..., 1], equal_nan=True)
    same(found[..., 2:], rolling_oracle(panel.features[..., 2:], 7, 5.0), atol=2e-5)


def test_day_zscore_compares_the_stocks_of_each_day():
    """Each day by itself: less its mean, over its spread."""
    panel = mixed_panel()
    found = make_normaliser("day_zscore", clip=2.0).fit(panel, TRAIN).apply(panel).features
    expected = day_oracle(panel.features[..., :3], lambda v: (v - v.mean()) / v.std())
    same(found[..., :3], expected.clip(-2, 2))


def test_day_rank_gives_average_ranks_between_minus_one_and_one():
    """Each day by itself, equal values sharing their rank."""
    panel = mixed_panel()
    panel = with_arrays(panel, features=np.round(panel.features, 1))
    found = make_normaliser("day_rank").fit(panel, TRAIN).apply(panel).features

    def ranks(values):
        return (2 * stats.rankdata(values) - len(values) - 1) / len(values)

    same(found[..., :3], day_oracle(panel.features[..., :3], ranks))


@pytest.mark.parametrize("name", ["day_zscore", "day_rank"])
def test_a_column_that_all_stocks_share_is_standardised_over_days(name):
    """The state of the index survives a within-day normaliser."""
    panel = mixed_panel()
    fitted = make_normaliser(name).fit(panel, TRAIN)
    assert fitted.day_level == ("f3",)
    state = np.nanmean(panel.features[..., 3].astype(np.float64), axis=1)
    train = state[TRAIN]
    z = np.clip((state - train.mean()) / train.std(), -5, 5)
    found = fitted.apply(panel).features[..., 3]
    same(np.nanmean(found, axis=1), z, atol=1e-5)


@pytest.mark.parametrize("name", ["day_zscore", "day_rank"])
def test_one_stock_a_day_is_refused(name):
    """Nobody to compare with is an error when fitting and when applying, not a zero."""
    panel = mixed_panel()
    alone = with_arrays(panel, present=panel.present & (np.arange(12) == 0))
    message = (
        f"stocks a day is 1 at most, expected at least 2 for {name}, which compares the "
        "stocks of a day. Use zscore or rolling for a single series."
    )
    with pytest.raises(DataError, match=re.escape(message)):
        make_normaliser(name).fit(alone, TRAIN)
    with pytest.raises(DataError, match=re.escape(message)):
        make_normaliser(name).fit(panel, TRAIN).apply(alone)


@pytest.mark.parametrize("name", NAMES)
def test_fitting_knows_the_train_days_only(name):
    """Other numbers after the last train day leave the fitted state alone."""
    panel = mixed_panel()
    fitted = make_normaliser(name).fit(panel, TRAIN).state()
    later = noise_from(panel, 40)
    assert make_normaliser(name).fit(later, TRAIN).state() == fitted


@pytest.mark.parametrize("name", NAMES)
def test_applying_knows_no_later_day(name, monkeypatch):
    """Other numbers after day t leave every normalised feature up to t bit-identical."""
    monkeypatch.setattr(ways, "BLOCK_VALUES", 4 * 12 * 9)
    panel = mixed_panel()
    options = {"window": 5} if "window" in NORMALISERS[name] else {}
    fitted = make_normaliser(name, **options).fit(panel, TRAIN)
    before = fitted.apply(panel).features[:61]
    after = fitted.apply(noise_from(panel, 61)).features[:61]
    assert np.array_equal(before, after, equal_nan=True)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("days_a_block", [1, 7, 1000])
def test_blocks_do_not_show(name, days_a_block, monkeypatch):
    """Fitting and applying block by block, over its own memory, is the same as at once."""
    panel = mixed_panel()
    options = {"window": 10} if "window" in NORMALISERS[name] else {}
    whole = make_normaliser(name, **options).fit(panel, TRAIN).apply(panel).features
    monkeypatch.setattr(ways, "BLOCK_VALUES", 4 * 12 * days_a_block)
    own = with_arrays(panel, features=panel.features.copy())
    fitted = make_normaliser(name, **options).fit(own, TRAIN)
    found = fitted.apply(own, overwrite=True)
    assert found.features is own.features
    same(found.features, whole, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_state_survives_json(name):
    """A saved normaliser normalises as before, bit for bit."""
    panel = mixed_panel()
    fitted = make_normaliser(name).fit(panel, TRAIN)
    loaded = FittedNormaliser.from_state(json.loads(json.dumps(fitted.state(), allow_nan=False)))
    assert loaded.state() == fitted.state()
    assert (loaded.first_day, loaded.last_day, loaded.days) == ("2020-01-01", "2020-02-09", 40)
    found, expected = loaded.apply(panel).features, fitted.apply(panel).features
    assert np.array_equal(found, expected, equal_nan=True)


@pytest.mark.parametrize("name", [n for n in NAMES if n != "raw"])
def test_unknown_stays_unknown(name):
    """NaN in is NaN out, an infinite value is unknown, and nothing infinite comes out."""
    panel = mixed_panel()
    x = panel.features.copy()
    x[50, 3] = np.inf
    panel = with_arrays(panel, features=x)
    found = make_normaliser(name).fit(panel, TRAIN).apply(panel)
    assert np.isnan(found.features[~np.isfinite(x)]).all()
    assert not np.isinf(found.features).any()
    assert found.normaliser == name


@given(st.integers(0, 50), st.floats(0.5, 20.0), st.floats(-3.0, 3.0))
def test_day_normalisers_ignore_each_days_level_and_scale(seed, scale, shift):
    """Stretching and shifting a day moves nobody within it."""
    panel = random_panel(6, 9, 2, seed=seed)
    moved = with_arrays(panel, features=panel.features * np.float32(scale) + np.float32(shift))
    for name, atol in (("day_zscore", 1e-4), ("day_rank", 0.5)):
        fitted = make_normaliser(name).fit(panel, np.arange(6))
        found, expected = fitted.apply(moved).features, fitted.apply(panel).features
        np.testing.assert_allclose(found, expected, atol=atol)


def test_a_column_that_stood_still_in_training_becomes_zero():
    """A column without train spread has no unit; it is named and becomes 0."""
    panel = mixed_panel()
    x = panel.features.copy()
    x[:40, :, 2] = 0.1
    panel = with_arrays(panel, features=x)
    fitted = make_normaliser("zscore").fit(panel, TRAIN)
    assert fitted.without_spread == ("f2",)
    found = fitted.apply(panel).features[..., 2]
    assert (found[np.isfinite(found)] == 0).all()


def test_other_columns_are_refused_by_the_first_that_differs():
    """Columns in another order are named, not normalised by another's numbers."""
    panel = mixed_panel()
    fitted = make_normaliser("zscore").fit(panel, TRAIN)
    swapped = panel.with_features(panel.features, ("f0", "f2", "f1", "f3"), normaliser="raw")
    message = (
        "feature 1 is f2, expected f1 as in the train days. "
        "Give the panel the columns, and their order, that the normaliser was fitted on."
    )
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        fitted.apply(swapped)
    fewer = panel.with_features(panel.features[..., :3], ("f0", "f1", "f2"), normaliser="raw")
    with pytest.raises(DataError, match="feature 3 is missing, expected f3"):
        fitted.apply(fewer)


def test_normalising_twice_is_refused():
    """A normalised panel is neither fitted nor normalised again."""
    panel = mixed_panel()
    fitted = make_normaliser("zscore").fit(panel, TRAIN)
    done = fitted.apply(panel)
    with pytest.raises(DataError, match="panel is normalised by zscore, expected raw features"):
        fitted.apply(done)
    with pytest.raises(DataError, match="panel is normalised by zscore, expected raw features"):
        make_normaliser("day_rank").fit(done, TRAIN)


def test_a_memory_mapped_panel_is_normalised_into_a_new_file(tmp_path):
    """Read-only memory cannot be overwritten; a new file can hold the result."""
    panel = mixed_panel()
    panel.save(tmp_path / "panel")
    mapped = Panel.load(tmp_path / "panel")
    fitted = make_normaliser("day_zscore").fit(mapped, TRAIN)
    with pytest.raises(DataError, match="features is read-only"):
        fitted.apply(mapped, overwrite=True)
    found = fitted.apply(mapped, memory_map=tmp_path / "features.npy")
    assert isinstance(found.features, np.memmap)
    expected = fitted.apply(panel).features
    assert np.array_equal(found.features, expected, equal_nan=True)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("median", {}, "normaliser is 'median', expected one of raw, zscore"),
        ("zscore", {"window": 5}, "option of zscore is window, expected one that changes it: clip"),
        ("raw", {"clip": 5.0}, "option of raw is clip, expected one that changes it: none"),
        ("rolling", {"window": 1}, "window is 1, expected at least 2 days"),
        ("zscore", {"clip": 0.0}, "clip is 0.0, expected a positive number"),
        ("bounded", {"quantile": 0.5}, "quantile is 0.5, expected a share from 0 to below 0.5"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(name, options, message):
    """Unknown names, useless options and impossible numbers are errors."""
    with pytest.raises(SettingsError, match=re.escape(message)):
        make_normaliser(name, **options)


@pytest.mark.parametrize(
    ("days", "message"),
    [
        ([], "train days is empty, expected positions from 0 to 89"),
        ([3, 90], "train days is 3 to 90, expected positions from 0 to 89"),
    ],
)
def test_train_days_must_be_in_the_panel(days, message):
    """No day, or a day that does not exist, is an error."""
    with pytest.raises(DataError, match=message):
        make_normaliser("zscore").fit(mixed_panel(), np.array(days, dtype=np.int64))


def test_a_foreign_state_is_refused():
    """A state of another format or with parts missing is an error that says so."""
    with pytest.raises(ArtifactError, match="normaliser format is None, expected 1"):
        FittedNormaliser.from_state({})
    with pytest.raises(ArtifactError, match=re.escape("normaliser state has keys ['format']")):
        FittedNormaliser.from_state({"format": 1})


@pytest.mark.parametrize("part", ["ways", "centre", "scale", "feature_names"])
def test_a_state_with_a_column_less_is_refused(part):
    """Statistics that are not one per column would be applied to the wrong ones."""
    state = make_normaliser("zscore").fit(mixed_panel(), TRAIN).state()
    assert FittedNormaliser.from_state(state).state() == state
    with pytest.raises(ArtifactError, match=r"^normaliser state has .* one per feature"):
        FittedNormaliser.from_state(state | {part: state[part][:-1]})
