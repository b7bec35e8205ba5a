"""What the reference subjects are made of: axis, classes, oracle, attention, periods."""

import numpy as np
import pytest
import torch

from flatline.errors import SettingsError
from flatline.evaluation.experiment import assemble
from flatline.harness.probes.scoring import focus
from flatline.models.attention import attention_entropy
from flatline.settings import load_settings
from flatline.subjects import GATE_SETTINGS, find_reference, reference
from flatline.subjects.attention import attention_weights
from flatline.subjects.references import expected_of

TINY = ("data.source.market=tiny",)


@pytest.fixture(scope="module")
def experiments():
    """Each reference on its smallest market, by name."""
    return {
        name: assemble(load_settings(file, environ={}, overrides=TINY))
        for name, file in GATE_SETTINGS.items()
    }


@pytest.fixture(scope="module")
def subjects(experiments):
    """Each reference subject, by name."""
    return {name: find_reference(name)(made) for name, made in experiments.items()}


def test_the_series_is_judged_along_time_and_as_a_classifier(subjects):
    """One series and cross-entropy alone; the others rank the stocks of a day."""
    axes = {name: subject.axis for name, subject in subjects.items()}
    assert axes == {"apex": "stocks", "atft_gat_fan": "stocks", "patchtst": "time"}
    classifiers = {name for name, subject in subjects.items() if subject.probabilities}
    assert classifiers == {"patchtst"}


def test_every_reference_has_the_parts_that_checks_ask_for(subjects):
    """An oracle, a later period and attention."""
    for subject in subjects.values():
        assert subject.oracle
        assert subject.attention
        assert subject.later == "test"


def test_a_split_comes_in_the_same_order_each_time(subjects):
    """What was measured before the training is measured again after it."""
    for subject in subjects.values():
        for split in ("train", "valid", "test"):
            first, second = (next(iter(subject.batches(split)))[0] for _ in range(2))
            assert torch.equal(first["group_day"], second["group_day"])
            assert torch.equal(first["features"], second["features"])


def test_periods_do_not_overlap(subjects):
    """The later period lies behind the validation days, and those behind the train days."""
    for subject in subjects.values():
        ends = [
            torch.cat([inputs["group_day"] for inputs, _ in subject.batches(split)])
            for split in ("train", "valid", "test")
        ]
        assert ends[0].max() < ends[1].min()
        assert ends[1].max() < ends[2].min()


def test_the_oracle_of_the_series_is_the_chance_of_its_class(experiments, subjects):
    """It is a probability, and the class comes as often as it says."""
    experiment = experiments["patchtst"]
    chance = expected_of(experiment)[:, 0]
    assert ((chance > 0) & (chance < 1)).all()
    target = experiment.panel.target[:, 0]
    happened = subjects["patchtst"].class_of(torch.from_numpy(target)).numpy()
    known = np.isfinite(happened).all(1)
    # Days share their spells and labels their days: a tenth of them tell something new.
    error = np.sqrt((chance * (1 - chance)).mean(0) / (known.sum() / 10))
    assert (np.abs(happened[known].mean(0) - chance[known].mean(0)) < 4 * error).all()


def test_settings_of_another_model_are_refused():
    """A subject is what its name says."""
    settings = load_settings(GATE_SETTINGS["apex"], environ={}, overrides=TINY)
    with pytest.raises(SettingsError, match=r"model.name is 'apex', expected 'patchtst'"):
        reference("patchtst", settings)


@pytest.mark.parametrize("name", sorted(GATE_SETTINGS))
def test_attention_weights_add_up_to_one_and_leave_the_model_alone(subjects, name):
    """One row each, along the keys; the same scores before and after."""
    subject = subjects[name]
    inputs, _ = next(iter(subject.batches("valid")))
    torch.manual_seed(0)
    model = subject.model().eval()
    with torch.no_grad():
        before = model(inputs).point
        weights = attention_weights(model, inputs)
        after = model(inputs).point
    assert len(weights) == len(inputs["group_day"])
    assert torch.allclose(weights.sum(-1), torch.ones(()), atol=1e-5)
    assert torch.equal(before, after)
    assert not any(module._forward_pre_hooks for module in model.modules())


@pytest.mark.parametrize("name", ["apex", "patchtst"])
def test_focus_is_one_less_the_models_own_entropy(subjects, name):
    """Two writings of the same figure agree."""
    subject = subjects[name]
    inputs, _ = next(iter(subject.batches("valid")))
    torch.manual_seed(0)
    model = subject.model().eval()
    own = 1 - attention_entropy(model, inputs).mean()
    assert float(focus(attention_weights(model, inputs)).mean()) == pytest.approx(
        float(own), abs=1e-6
    )
