"""The gate on a classifier of a single series: healthy, and faulty ones, side by side."""

import numpy as np
import pytest
import torch

from flatline.errors import SettingsError, ShapeError
from flatline.harness import Status, examine
from flatline.harness.probes.scoring import focus
from flatline.harness.suites import CHECKS
from harness import series

# What one short training tells.
JUDGED = [one for one in CHECKS if one.shares == "smoke"]
NEW = {
    "beyond_class_prior",
    "one_sigmoid",
    "later_scores_vary",
    "later_base_rate",
    "later_attention",
}


def check(subject, *, steps):
    """Verdicts of what one short training tells."""
    return examine(subject, checks=JUDGED, steps=steps).verdicts


@pytest.fixture(scope="module")
def healthy():
    """Verdicts on the healthy classifier, by check."""
    return {v.check: v for v in check(series.classifier(), steps=series.STEPS)}


def test_a_healthy_classifier_passes_every_check(healthy):
    """Nothing fails, and every one of the checks on classes and later days speaks."""
    judged = {c: v for c, v in healthy.items() if v.status != Status.SKIP}
    assert {c: v.measured for c, v in judged.items() if v.status != Status.PASS} == {}
    assert set(judged) >= NEW


def test_every_check_states_numbers_and_how_often_it_cries_wolf(healthy):
    """Measured, bound, unit and false-alarm rate are there to be read by a program."""
    for name in NEW:
        assert np.isfinite([healthy[name].value, healthy[name].bound]).all()
        assert healthy[name].unit
        assert 0 <= healthy[name].false_alarm_rate <= 0.01


@pytest.mark.parametrize(
    ("model", "caught_by", "named"),
    [
        pytest.param(series.Prior, "scores_vary", "class prior (column 0)", id="prior"),
        pytest.param(series.Prior, "beyond_class_prior", "class prior", id="no-spread"),
        pytest.param(series.NoisyPrior, "beyond_class_prior", "class prior", id="noise"),
        pytest.param(series.SecondSigmoid, "one_sigmoid", "second sigmoid", id="second-sigmoid"),
        pytest.param(series.Saturated, "scores_vary", "saturated", id="saturated"),
        pytest.param(series.Levels, "later_scores_vary", "constant (column", id="levels"),
        pytest.param(
            series.Drifting,
            "later_base_rate",
            "off the base rate",
            id="drifting-level",
        ),
        pytest.param(series.Uniform, "later_attention", "uniform attention", id="uniform"),
    ],
)
def test_a_fault_is_caught_and_named(healthy, model, caught_by, named):
    """The check that passes on the healthy classifier fails on the faulty one, with its name."""
    assert healthy[caught_by].status == Status.PASS
    verdict = {v.check: v for v in check(series.classifier(model), steps=series.STEPS)}[caught_by]
    assert verdict.status == Status.FAIL
    assert named in verdict.hint


def test_the_second_sigmoid_is_pointed_at():
    """A sigmoid that is a module is the culprit, with its path."""
    verdicts = {v.check: v for v in check(series.classifier(series.SecondSigmoid), steps=50)}
    assert verdicts["one_sigmoid"].culprit.path == "squash"


class Whisper(series.Attentive):
    """Tells the classes apart by a hair: alive, but on no scale."""

    def forward(self, inputs):
        """Logits of every row."""
        return -0.8 + 1e-3 * super().forward(inputs)


def test_a_spread_that_tells_the_classes_apart_may_be_small():
    """What is faint but right is not the prior; that it is faint, SCALE says."""
    verdicts = {v.check: v for v in check(series.classifier(Whisper), steps=series.STEPS)}
    assert verdicts["beyond_class_prior"].status == Status.PASS
    assert verdicts["scale_in_range"].status == Status.FAIL


@pytest.mark.parametrize(
    ("missing", "skipped", "reason"),
    [
        ({"probabilities": None, "classes": None}, "one_sigmoid", "`probabilities`"),
        ({"later": None}, "later_scores_vary", "`later`"),
        ({"attention": None}, "later_attention", "`attention`"),
    ],
)
def test_a_check_without_its_part_is_skipped_with_the_reason(missing, skipped, reason):
    """What cannot be judged is said, not passed."""
    verdicts = {v.check: v for v in check(series.classifier(**missing), steps=2)}
    assert verdicts[skipped].status == Status.SKIP
    assert reason in verdicts[skipped].measured


def test_a_later_period_of_a_few_days_is_not_judged():
    """Three days tell no spread; that is said."""
    inputs, labels = series.SPLITS["test"][0]
    three = [({name: x[:3] for name, x in inputs.items()}, labels[:3])]
    batches = series.SPLITS | {"test": three}
    subject = series.classifier(batches=batches.__getitem__)
    verdicts = {v.check: v for v in check(subject, steps=2)}
    assert "3 later ones are too few" in verdicts["later_scores_vary"].measured


@pytest.mark.parametrize(
    ("parts", "says"),
    [
        pytest.param({"axis": "stocks"}, "Set axis='time' for a single series", id="stocks"),
        pytest.param(
            {"days": lambda inputs: inputs["group_day"] // 2}, "has 2 rows, expected 1", id="time"
        ),
    ],
)
def test_days_that_do_not_fit_the_axis_are_an_error(parts, says):
    """One row a day has no stocks to compare; two rows a day are no single series."""
    raised = [v for v in check(series.classifier(**parts), steps=2) if v.status == Status.ERROR]
    assert raised
    assert all(says in v.measured for v in raised)


def test_contradicting_parts_are_refused():
    """An unknown axis, and classes nobody has probabilities of."""
    with pytest.raises(SettingsError, match="axis of subject 'series' is 'rows'"):
        series.classifier(axis="rows")
    with pytest.raises(SettingsError, match="given without probabilities"):
        series.classifier(probabilities=None)


def test_focus_is_zero_for_uniform_and_one_for_a_single_key():
    """One less the entropy over its largest, averaged over all that attends."""
    weights = torch.tensor([[[0.25] * 4, [1.0, 0, 0, 0]], [[0.5, 0.5, 0, 0]] * 2])
    assert torch.allclose(focus(weights), torch.tensor([0.5, 0.5]))


@pytest.mark.parametrize(
    ("weights", "says"),
    [
        pytest.param(torch.ones(3, 1), "two keys", id="one-key"),
        pytest.param(torch.full((3, 4), 0.3), "add up to 1 but for 0.2", id="after-dropout"),
    ],
)
def test_weights_that_are_no_attention_are_refused(weights, says):
    """A single key, or weights that do not add up to 1."""
    with pytest.raises(ShapeError, match=says):
        focus(weights)
