"""The figures of a forecast agree with scikit-learn and say what they do not know."""

import numpy as np
import pytest
from scipy import stats

from flatline.errors import SettingsError, ShapeError
from flatline.metrics.daily import daily_metrics
from flatline.metrics.forecast import forecast_figures, quantile_coverage

# A peer to agree with; the GPU smoke is collected where it may not be installed.
sk = pytest.importorskip("sklearn.metrics")


def panel(seed=0, days=6, names=30, horizons=2):
    """Forecasts of moderate skill with holes in the labels."""
    rng = np.random.default_rng(seed)
    day = np.repeat(np.arange(days), names)
    score = 0.01 * rng.standard_normal((day.size, horizons)) + 0.001
    target = score + 0.02 * rng.standard_normal(score.shape)
    target[rng.random(target.shape) < 0.1] = np.nan
    return score, target, day


def test_agrees_with_scikit_learn_and_scipy():
    """Errors, R2 and calibration are what the libraries give for the labelled rows."""
    score, target, day = panel()
    for h, row in enumerate(forecast_figures(score, target, day, horizons=(1, 5))):
        known = ~np.isnan(target[:, h])
        x, y = score[known, h], target[known, h]
        line = stats.linregress(x, y)
        expected = {
            "horizon": (1, 5)[h],
            "rows": y.size,
            "days": 6,
            "undefined_days": 0,
            "yhat_std": x.std(),
            "y_std": y.std(),
            "scale": x.std() / y.std(),
            "r2": sk.r2_score(y, x),
            "mae": sk.mean_absolute_error(y, x),
            "rmse": sk.root_mean_squared_error(y, x),
            "naive_rmse": sk.root_mean_squared_error(y, np.zeros_like(y)),
            "r2_naive": 1 - ((x - y) ** 2).sum() / (y**2).sum(),
            "intercept": line.intercept,
            "slope": line.slope,
        }
        for name, value in expected.items():
            assert getattr(row, name) == pytest.approx(value, rel=1e-9), name


def test_daily_figures_are_those_of_the_daily_metrics():
    """IC, RankIC and their ratios come from the days; handing them over changes nothing."""
    score, target, day = panel()
    found = daily_metrics(score, target, day)
    rows = forecast_figures(score, target, day)
    assert rows == forecast_figures(score, target, day, result=found)
    for h, row in enumerate(rows):
        assert row.ic == found.ic.mean()[h]
        assert row.rank_icir == pytest.approx(found.rank_ic.mean()[h] / found.rank_ic.std()[h])


def test_within_day_scale_leaves_the_market_out():
    """A level per day raises the pooled deviation and leaves that of the day alone."""
    score, target, day = panel()
    (before, _), (after, _) = (
        forecast_figures(score + level * day[:, None], target, day) for level in (0.0, 1.0)
    )
    assert after.yhat_std > 10 * before.yhat_std
    assert after.yhat_std_day == pytest.approx(before.yhat_std_day, rel=1e-9)
    assert after.scale_day == pytest.approx(before.scale_day, rel=1e-9)


@pytest.mark.parametrize("constant", [0.0, 0.1 + 0.2, 1e-9])
def test_a_constant_forecast_has_no_calibration(constant):
    """Calibration, IC and ICIR of a constant are missing, never 0 + 1 yhat."""
    _, target, day = panel(horizons=1)
    (row,) = forecast_figures(np.full(day.size, constant), target, day)
    unknown = (row.intercept, row.slope, row.ic, row.rank_ic, row.icir, row.rank_icir)
    assert unknown == (None,) * 6
    assert (row.yhat_std, row.scale, row.undefined_days) == (0.0, 0.0, 6)
    assert row.rmse > 0


def test_constant_targets_have_no_r2():
    """No deviation to explain: R2 and SCALE are missing."""
    score, _, day = panel(horizons=1)
    (row,) = forecast_figures(score, np.full(day.size, 0.01), day)
    assert (row.r2, row.scale, row.ic, row.undefined_days) == (None, None, None, 6)


def test_no_label_is_all_unknown():
    """A horizon without labels keeps its row, with nothing in it."""
    score, target, day = panel()
    target[:, 1] = np.nan
    sound, empty = forecast_figures(score, target, day)
    assert sound.rmse is not None
    assert (empty.rows, empty.days, empty.undefined_days) == (0, 0, 6)
    assert {getattr(empty, f) for f in ("mae", "rmse", "naive_rmse", "r2", "slope")} == {None}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_broken_score_is_not_left_out(bad):
    """Pooled figures are missing and the day is undefined, the other horizon is whole."""
    score, target, day = panel()
    target[3] = 0.01
    score[3, 0] = bad
    broken, whole = forecast_figures(score, target, day)
    assert (broken.rmse, broken.yhat_std, broken.slope, broken.undefined_days) == (
        None,
        None,
        None,
        1,
    )
    assert broken.naive_rmse is not None
    assert None not in (whole.rmse, whole.yhat_std, whole.slope)


def test_the_naive_forecasts():
    """Zero, the mean, and each day's mean: each knows more than the one before."""
    score, target, day = panel(horizons=1)
    target += 0.05 * day[:, None]
    zero, mean, by_day = (
        forecast_figures(score, target, day, naive=naive)[0]
        for naive in ("zero", "mean", "day_mean")
    )
    assert zero.naive_rmse > mean.naive_rmse > by_day.naive_rmse
    assert mean.r2_naive == pytest.approx(mean.r2)
    with pytest.raises(SettingsError, match="naive is 'none', expected 'zero'"):
        forecast_figures(score, target, day, naive="none")
    with pytest.raises(ShapeError, match=r"horizons is \[1, 5\], expected 1 of them"):
        forecast_figures(score, target, day, horizons=(1, 5))


def test_true_quantiles_cover_their_level():
    """Quantiles of the distribution the targets come from are met at their rate."""
    rng = np.random.default_rng(0)
    levels = np.array([0.05, 0.25, 0.5, 0.75, 0.95])
    day = np.repeat(np.arange(40), 250)
    centre = rng.standard_normal((day.size, 2))
    quantiles = centre[..., None] + stats.norm.ppf(levels)
    found = quantile_coverage(
        quantiles, centre + rng.standard_normal(centre.shape), day, levels=levels
    )
    error = 4 * np.sqrt(levels * (1 - levels) / day.size)
    assert (np.abs(found.observed - levels) < error).all()
    np.testing.assert_allclose(found.per_day.mean(0), found.observed)
    np.testing.assert_allclose(found.crossing, 0)
    np.testing.assert_allclose(found.width, 2 * stats.norm.ppf(0.95))


def test_coverage_counts_only_labels_and_sees_crossing():
    """Rows without label do not count; upside-down quantiles are a share of the rows."""
    q = np.tile([0.0, 1.0], (4, 1))
    q[1] = [1.0, 0.0]
    found = quantile_coverage(q, [0.5, 0.5, 2.0, np.nan], [0, 0, 1, 2], levels=(0.1, 0.9))
    np.testing.assert_allclose(found.observed, [[1 / 3, 1 / 3]])
    np.testing.assert_allclose(found.per_day[:, 0], [[0.5, 0.5], [0, 0], [np.nan, np.nan]])
    np.testing.assert_allclose(found.crossing, [1 / 3])
    q[0, 1] = np.nan
    broken = quantile_coverage(q, [0.5, 0.5, 2.0, np.nan], [0, 0, 1, 2], levels=(0.1, 0.9))
    np.testing.assert_allclose(broken.observed, [[1 / 3, np.nan]])
    with pytest.raises(ShapeError, match=r"quantiles has shape \(4, 1, 2\), expected \(4, 1, 3\)"):
        quantile_coverage(q, np.ones(4), np.ones(4, int), levels=(0.1, 0.5, 0.9))
