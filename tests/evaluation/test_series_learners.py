"""Reference learners of a series' class: they learn it, and say what they cannot."""

from dataclasses import replace

import numpy as np
import pytest

from data_helpers import random_panel
from flatline.data import make_series_market, prices_from_frame, series_panel
from flatline.errors import DataError, SettingsError
from flatline.evaluation.series.learners import CLASS_LEARNERS, class_labels, learn_class
from flatline.metrics import auc, auc_interval


@pytest.fixture(scope="module")
def panel():
    """Ratios of the embedded series."""
    prices = prices_from_frame(make_series_market("small").prices)
    return series_panel(prices, horizons=(1, 5))


@pytest.mark.parametrize("name", CLASS_LEARNERS)
def test_a_learner_learns_what_there_is_to_learn(panel, name):
    """Tomorrow is told apart beyond chance, never beyond the truth, at about the base rate."""
    train, test = np.arange(250, 4000), np.arange(4010, 5900)
    truth = make_series_market("small").touch_probability((1, 5))[test]
    chance = learn_class(name, panel, train, test, threshold=0.01)
    label = class_labels(panel, test, 0.01)
    for column, horizon in enumerate((1, 5)):
        found = auc_interval(chance[:, column], label[:, column], horizon=horizon)
        assert found.low <= auc(truth[:, column], label[:, column])
        assert chance[:, column].mean() == pytest.approx(label[:, column].mean(), abs=0.05)
        assert horizon > 1 or found.low > 0.55


def test_a_learner_hears_of_train_days_only(panel):
    """Other labels and features after the train days change no score of an earlier day."""
    train = np.arange(250, 1000)
    other = random_panel(len(panel.dates), 1, len(panel.feature_names), horizons=(1, 5))
    mixed = [
        np.concatenate([getattr(panel, name)[:1000], getattr(other, name)[1000:]])
        for name in ("features", "target")
    ]
    spoiled = panel.with_features(mixed[0], panel.feature_names, normaliser="raw")
    spoiled = replace(spoiled, target=mixed[1])
    name = "logistic regression"
    first, second = (learn_class(name, p, train, train, threshold=0.01) for p in (panel, spoiled))
    np.testing.assert_array_equal(first, second)


def test_labels_are_those_of_the_loss(panel):
    """Above the threshold, unknown where the target is."""
    days = np.arange(len(panel.dates))
    label, target = class_labels(panel, days, 0.01), panel.target[:, 0]
    assert (np.isnan(label) == np.isnan(target)).all()
    known = ~np.isnan(target)
    assert (label[known] == (target[known] > 0.01)).all()


def test_one_class_cannot_be_learned(panel):
    """A threshold that no day reaches is named."""
    with pytest.raises(DataError) as error:
        learn_class("random forest", panel, np.arange(250, 300), np.arange(300, 310), threshold=9.0)
    assert str(error.value) == (
        "horizon 1 has 50 train days of one class only, expected both. "
        "Move loss.bce_threshold, or give more days."
    )


def test_an_unknown_learner_is_named(panel):
    """With those that are known."""
    with pytest.raises(SettingsError) as error:
        learn_class("svm", panel, np.arange(250, 300), np.arange(300, 310), threshold=0.01)
    assert str(error.value) == (
        "learner is 'svm', expected one of ['logistic regression', 'random forest']."
    )
