"""Every term against a slow second writing, and in half precision against itself."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from flatline.harness.laws import ScoredDays, make_scored_days, scored_days
from loss_cases import NAMES, gradient, options_of, per_day, score_of
from oracles import loss_by_day, turnover_by_day

EACH = pytest.mark.parametrize("name", NAMES)
FEW = settings(max_examples=25, deadline=None)


@EACH
@FEW
@given(batch=scored_days(), least=st.sampled_from([2, 5]))
def test_equals_the_slow_oracle(name, batch, least):
    """A loop over days and horizons in numpy gives the same values and the same valid days."""
    options = options_of(name)
    if "min_names" in options:
        options["min_names"] = least
    found = per_day(name, batch, **options)
    if name == "turnover":
        value, valid = turnover_by_day(batch, **options)
    else:
        value, valid = loss_by_day(name, batch, score_of(name, batch), **options)
    assert found.valid.tolist() == valid.tolist()
    torch.testing.assert_close(found.value, torch.from_numpy(value), rtol=1e-7, atol=1e-9)


@EACH
def test_half_precision_scores_are_computed_in_single(name):
    """In bf16 the value is that of the same scores in double, but for single rounding."""
    batch = make_scored_days([40, 40], missing=0.1)
    score = score_of(name, batch).bfloat16()
    found, expected = per_day(name, batch, score), per_day(name, batch, score.double())
    single = batch._replace(target=batch.target.float(), exposures=batch.exposures.float())
    found = per_day(name, single, score)
    assert found.value.dtype == torch.float32
    torch.testing.assert_close(found.value.double(), expected.value, rtol=1e-4, atol=1e-5)
    grad = gradient(name, single, score)
    assert grad.dtype == torch.bfloat16
    assert torch.isfinite(grad).all()


def test_the_batch_of_a_test_is_a_batch():
    """The strategy's tensors fit each other."""
    batch = make_scored_days([3, 1])
    assert isinstance(batch, ScoredDays)
    assert {len(part) for part in batch} == {4}
