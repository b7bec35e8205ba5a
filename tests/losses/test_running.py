"""Mean over spread across batches."""

import copy

import pytest
import torch

from flatline.losses.per_day import PerDay
from flatline.losses.running import RunningRatio


def daily(values):
    """Values of one horizon, all valid."""
    value = torch.as_tensor(values, dtype=torch.float32)[:, None]
    return PerDay(value, torch.ones_like(value, dtype=torch.bool))


def noise(days, seed):
    """Daily returns with a small mean."""
    return 0.01 * torch.randn(days, generator=torch.Generator().manual_seed(seed)) + 0.002


def test_batches_add_up_to_one_long_batch():
    """Day by day or at once: the same mean over spread, while the memory lasts."""
    returns, ratio = noise(40, 0), RunningRatio(1, memory=1000)
    for part in returns.split(3):
        value, ready, days = ratio(daily(part), write=True)
    assert ready.all()
    assert float(days) == 40
    expected = returns.mean() / returns.std(correction=0)
    torch.testing.assert_close(value[0], expected)


def test_undefined_before_twenty_days():
    """Nineteen days have no ratio, twenty have one."""
    ratio = RunningRatio(1, memory=60)
    assert not ratio(daily(noise(19, 1)), write=True)[1].any()
    assert ratio(daily(noise(1, 2)), write=True)[1].all()


def test_undefined_for_days_that_do_not_differ():
    """Twenty equal days have no spread."""
    assert not RunningRatio(1, memory=60)(daily([0.01] * 25), write=True)[1].any()


def test_days_that_are_not_valid_do_not_count():
    """A day without a portfolio is no day of 0 return."""
    ratio, day = RunningRatio(1, memory=60), daily(noise(30, 3))
    valid = torch.arange(30)[:, None] % 3 > 0
    value, _, days = ratio(PerDay(torch.where(valid, day.value, 0.0), valid), write=True)
    kept = day.value[valid]
    assert float(days) == 20
    torch.testing.assert_close(value[0], kept.mean() / kept.std(correction=0))


def test_the_past_fades():
    """The moments of long ago are forgotten at the pace of the memory."""
    ratio = RunningRatio(1, memory=20)
    ratio(daily(noise(200, 4) + 1.0), write=True)
    for seed in range(60):
        ratio(daily(noise(10, 100 + seed)), write=True)
    torch.testing.assert_close(ratio.mean[0], torch.tensor(0.002), atol=0.005, rtol=0)


def test_no_gradient_reaches_earlier_batches():
    """Each batch can be backpropagated on its own."""
    ratio = RunningRatio(1, memory=60)
    for seed in range(3):
        returns = noise(20, seed).requires_grad_()
        value, _, _ = ratio(daily(returns), write=True)
        value.sum().backward()
        assert (returns.grad != 0).all()


def test_the_state_resumes_exactly():
    """A restored ratio goes on with the same numbers to the last bit."""
    ratio = RunningRatio(1, memory=60)
    ratio(daily(noise(50, 5)), write=True)
    restored = RunningRatio(1, memory=60)
    restored.load_state_dict(copy.deepcopy(ratio.state_dict()))
    for seed in (6, 7):
        a, b = (r(daily(noise(5, seed)), write=True)[0] for r in (ratio, restored))
        assert torch.equal(a, b)


def test_evaluation_neither_reads_nor_writes():
    """In eval mode the ratio is that of its own days."""
    ratio = RunningRatio(1, memory=60)
    ratio(daily(noise(50, 8)), write=True)
    state = copy.deepcopy(ratio.state_dict())
    own = noise(20, 9)
    value, _, _ = ratio.eval()(daily(own), write=True)
    torch.testing.assert_close(value[0], own.mean() / own.std(correction=0))
    assert all(torch.equal(state[key], now) for key, now in ratio.state_dict().items())


def test_a_nan_shows_once():
    """A batch with a NaN shows it, and does not spoil the batches after it."""
    ratio = RunningRatio(1, memory=60)
    ratio(daily(noise(30, 10)), write=True)
    assert ratio(daily([torch.nan, 0.01]), write=True)[0].isnan().all()
    assert torch.isfinite(ratio(daily(noise(5, 11)), write=True)[0]).all()


@pytest.mark.parametrize("write", [True, False])
def test_looking_does_not_write(write):
    """Only a call that says so is remembered."""
    ratio = RunningRatio(1, memory=60)
    ratio(daily(noise(30, 12)), write=write)
    assert float(ratio.days) == (30 if write else 0)
