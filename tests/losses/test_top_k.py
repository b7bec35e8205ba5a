"""The objective of a long-only book: its soft top, and the limit in which it is the hard one."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from flatline.days import Days
from flatline.errors import SettingsError
from flatline.harness.laws import make_scored_days
from flatline.losses.top_k import top_k_loss
from loss_cases import blend, inputs


def args_of(batch):
    """What a loss takes."""
    return batch.score, batch.target, batch.mask, batch.days


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 999), stocks=st.integers(10, 60), held=st.integers(1, 9))
def test_a_narrow_border_holds_the_top_itself(seed, stocks, held):
    """As the border narrows the loss becomes minus the mean gain of the k best scores."""
    batch = make_scored_days([stocks], horizons=1, ties=False, seed=seed)
    found = top_k_loss(*args_of(batch), share=held / stocks, tau=1e-9).value
    target = batch.target[:, 0]
    gain = (target - target.mean()) / target.std(correction=0)
    best = batch.score[:, 0].topk(held).indices
    assert float(found) == pytest.approx(-float(gain[best].mean()), rel=1e-6)


def test_a_wide_border_holds_the_market():
    """As the border widens every stock is held alike, which earns nothing above the mean."""
    batch = make_scored_days([30], horizons=1, seed=1)
    assert float(top_k_loss(*args_of(batch), tau=1e6).value.abs()) < 1e-5


def test_the_top_alone_is_what_counts():
    """The gradient is larger at the border of the top than at the bottom, unlike that of MSE."""
    score = torch.linspace(-3, 3, 101, dtype=torch.float64)[:, None].requires_grad_()
    target = score.detach().flip(0).roll(7, 0)
    known = torch.ones_like(score, dtype=torch.bool)
    loss = top_k_loss(score, target, known, Days.from_lengths([101]), share=0.1, tau=0.1)
    loss.value.sum().backward()
    push = score.grad[:, 0].abs()
    assert push[85:95].max() > 1000 * push[:50].max()


def test_following_the_gradient_finds_the_best_stocks():
    """From constant scores, gradient steps put the best tenth on top."""
    batch = make_scored_days([100], horizons=1, ties=False, seed=2)
    score = torch.zeros(100, 1, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([score], lr=0.05)
    for _ in range(200):
        optimizer.zero_grad()
        top_k_loss(score, *args_of(batch)[1:]).value.sum().backward()
        optimizer.step()
    wanted = set(batch.target[:, 0].topk(10).indices.tolist())
    assert set(score[:, 0].topk(10).indices.tolist()) == wanted


@pytest.mark.parametrize("share", [0.0, 1.0, 20.0, float("nan")])
def test_a_number_of_stocks_is_no_share(share):
    """20 stocks are refused, with what to give instead."""
    batch = make_scored_days([5], horizons=1)
    with pytest.raises(SettingsError, match=r"^share is .*, expected above 0 and under 1\. "):
        top_k_loss(*args_of(batch), share=share)


def test_the_rankers_objective_is_the_sum_of_its_terms():
    """ListNet, RankNet, a little MSE and the top add up by their weights, each with a gradient."""
    weights = {"listnet": 1.0, "ranknet": 0.5, "mse": 0.1, "top_k": 0.25}
    (forecast, labels, days), _ = inputs()
    report = blend(weights)(forecast, labels, days, measure_share=True)
    expected = sum(weight * report.terms[name].mean() for name, weight in weights.items())
    torch.testing.assert_close(report.total, expected)
    assert min(report.gradient_share.values()) > 0.01


@pytest.mark.parametrize("unit", [1e-3, 1.0, 100.0])
def test_the_temperatures_are_in_spreads_of_the_day(unit):
    """Returns in another unit, with scores in it too, leave the ranking terms as they were."""
    (forecast, labels, days), _ = inputs()
    loss = blend({"listnet": 1.0, "ranknet": 1.0, "top_k": 1.0}, listnet_tau=0.5, top_k_tau=0.2)
    moved = loss(
        forecast._replace(point=forecast.point * unit),
        labels._replace(value=labels.value * unit),
        days,
    )
    torch.testing.assert_close(moved.total, loss(forecast, labels, days).total)
