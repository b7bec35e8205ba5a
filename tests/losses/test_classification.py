"""Weights and powers of the cross-entropy of a class."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import binary_cross_entropy_with_logits

from flatline.days import Days
from flatline.errors import SettingsError
from flatline.losses.classification import bce_with_logits_loss
from flatline.losses.settings import BlendSettings

FOCAL = st.floats(0, 5)
WEIGHT = st.floats(0.1, 10)


def cost(score, event, **options):
    """The loss of one row."""
    score = torch.tensor([[score]], dtype=torch.float64)
    target = torch.tensor([[1.0 if event else -1.0]], dtype=torch.float64)
    known = torch.ones(1, 1, dtype=torch.bool)
    return float(
        bce_with_logits_loss(score, target, known, Days.from_lengths([1]), **options).value
    )


@given(st.floats(-30, 30), st.booleans(), WEIGHT)
def test_without_a_power_it_is_torchs_own(score, event, weight):
    """Weighted as torch weights the positive class."""
    expected = binary_cross_entropy_with_logits(
        torch.tensor(score, dtype=torch.float64),
        torch.tensor(float(event), dtype=torch.float64),
        pos_weight=torch.tensor(weight, dtype=torch.float64),
    )
    assert cost(score, event, pos_weight=weight) == pytest.approx(float(expected), rel=1e-9)


@given(st.floats(-10, 10), st.booleans(), FOCAL)
def test_a_power_takes_weight_from_rows_that_are_forecast_well(score, event, gamma):
    """The share of the plain cost that is left is the missing probability to that power."""
    missing = torch.sigmoid(torch.tensor(-score if event else score, dtype=torch.float64))
    plain, focal = cost(score, event), cost(score, event, focal_gamma=gamma)
    assert focal == pytest.approx(plain * float(missing) ** gamma, rel=1e-6, abs=1e-12)


@given(st.floats(-10, 10), st.floats(0.01, 5), FOCAL, WEIGHT)
def test_the_higher_logit_belongs_to_the_event(low, lead, gamma, weight):
    """Of two scores the event should have the higher one, whatever the options."""
    options = {"focal_gamma": gamma, "pos_weight": weight}
    right = cost(low + lead, event=True, **options) + cost(low, event=False, **options)
    wrong = cost(low, event=True, **options) + cost(low + lead, event=False, **options)
    assert right <= wrong


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("score", [-500.0, -40.0, 0.0, 40.0, 500.0])
def test_gradients_stay_finite_where_a_row_is_certain(gamma, score):
    """Powers below one have an infinite slope at 0; the loss has none."""
    leaf = torch.tensor([[score], [score]], requires_grad=True)
    target = torch.tensor([[0.02], [-0.02]])
    known = torch.ones(2, 1, dtype=torch.bool)
    days = Days.from_lengths([2])
    found = bce_with_logits_loss(leaf, target, known, days, focal_gamma=gamma).value.sum()
    found.backward()
    assert torch.isfinite(found)
    assert torch.isfinite(leaf.grad).all()


@pytest.mark.parametrize("name", ["bce_pos_weight", "bce_focal_gamma"])
def test_options_are_refused_where_nothing_reads_them(name):
    """Without a weight on bce they would change nothing."""
    with pytest.raises(SettingsError, match=f"{name} is 2.0 but changes nothing"):
        BlendSettings(weights={"mse": 1.0}, **{name: 2.0})


@pytest.mark.parametrize(
    "options", [{"bce_pos_weight": 0.0}, {"bce_pos_weight": -1.0}, {"bce_focal_gamma": -0.1}]
)
def test_options_out_of_range_are_refused(options):
    """A weight is above 0, a power at least 0."""
    with pytest.raises(SettingsError, match="expected a valid value"):
        BlendSettings(weights={"bce": 1.0}, **options)
