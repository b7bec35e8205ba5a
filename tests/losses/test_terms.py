"""Options and refusals of single terms."""

import numpy as np
import pytest
import torch

import oracles
from flatline.days import Days
from flatline.errors import SettingsError, ShapeError
from flatline.harness.laws import make_scored_days
from flatline.losses.classification import bce_with_logits_loss
from flatline.losses.dispersion import reciprocal_spread_loss, variance_floor_loss
from flatline.losses.portfolio import exposure_loss, turnover_loss
from flatline.losses.quantile import coverage_loss, pinball_loss
from flatline.losses.ranking import lambdarank_loss, listnet_loss, margin_loss, ranknet_loss
from flatline.losses.regression import huber_loss
from flatline.losses.top_k import top_k_loss

OPTIONS = [
    (huber_loss, oracles.huber, {"delta": 0.3}),
    (bce_with_logits_loss, oracles.bce, {"threshold": 1.0}),
    (bce_with_logits_loss, oracles.bce, {"pos_weight": 3.0}),
    (bce_with_logits_loss, oracles.bce, {"focal_gamma": 2.0}),
    (bce_with_logits_loss, oracles.bce, {"focal_gamma": 0.5, "pos_weight": 0.2}),
    (listnet_loss, oracles.listnet, {"tau": 0.3}),
    (listnet_loss, oracles.listnet, {"top_k": 3}),
    (listnet_loss, oracles.listnet, {"top_k": 99}),
    (ranknet_loss, oracles.ranknet, {"tau": 0.5, "ratio": 3.0}),
    (lambdarank_loss, oracles.lambdarank, {"tau": 0.5, "ratio": 1.0}),
    (margin_loss, oracles.margin, {"margin": 0.2, "ratio": 1.3}),
    (top_k_loss, oracles.top_k, {"share": 0.3}),
    (top_k_loss, oracles.top_k, {"tau": 0.1}),
    (variance_floor_loss, oracles.variance_floor, {"floor": 2.0}),
    (reciprocal_spread_loss, oracles.reciprocal_spread, {"softening": 0.5}),
]


@pytest.mark.parametrize(("loss", "oracle", "options"), OPTIONS)
@pytest.mark.parametrize("ties", [False, True])
def test_options_do_what_they_say(loss, oracle, options, ties):
    """Each option agrees with the slow oracle away from its default, and changes the value."""
    batch = make_scored_days([17, 17], horizons=1, ties=ties, seed=8)
    args = batch.score, batch.target, batch.mask, batch.days
    found = loss(*args, **options).value
    for day in range(2):
        here = (batch.group_day == day).numpy()
        expected = oracle(batch.score[here, 0].numpy(), batch.target[here, 0].numpy(), **options)
        assert float(found[day, 0]) == pytest.approx(expected, rel=1e-9)
    if options != {"top_k": 99}:
        assert not torch.allclose(found, loss(*args).value)


def test_a_narrow_count_is_the_coverage():
    """As the sigmoid narrows, the share below a quantile is the one counted."""
    batch = make_scored_days([200], horizons=1, seed=9)
    forecast = torch.zeros(200, 1, 2, dtype=torch.float64)
    forecast[..., 1] = 1.0
    args = forecast, batch.target, batch.mask, batch.days
    found = coverage_loss(*args, levels=(0.4, 0.6), softness=1e-6).value
    share = np.array([(batch.target.numpy() < edge).mean() for edge in (0.0, 1.0)])
    assert float(found) == pytest.approx(float(((share - [0.4, 0.6]) ** 2).mean()), rel=1e-9)


def test_following_the_gradient_of_coverage_covers():
    """Gradient steps on one number per level bring the coverage to the level."""
    batch = make_scored_days([400], horizons=1, seed=10)
    levels = (0.1, 0.5, 0.9)
    edge = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([edge], lr=0.05)
    for _ in range(200):
        optimizer.zero_grad()
        forecast = edge.expand(400, 1, 3)
        loss = coverage_loss(forecast, batch.target, batch.mask, batch.days, levels=levels)
        loss.value.sum().backward()
        optimizer.step()
    share = (batch.target < edge.detach()).double().mean(0)
    torch.testing.assert_close(share, torch.tensor(levels).double(), atol=0.02, rtol=0)


@pytest.mark.parametrize("loss", [pinball_loss, coverage_loss])
def test_levels_are_probabilities(loss):
    """A level in percent is refused."""
    batch = make_scored_days([5], horizons=1)
    with pytest.raises(SettingsError) as error:
        loss(batch.score[..., None], batch.target, batch.mask, batch.days, levels=(5.0,))
    assert str(error.value) == (
        "levels is (5.0,), expected probabilities above 0 and below 1. "
        "Give 0.05 for the quantile with 5 % of the outcomes below it."
    )


def test_quantiles_of_another_number_of_levels_are_refused():
    """Three columns do not fit two levels."""
    batch = make_scored_days([5], horizons=1)
    score = torch.zeros(5, 1, 3)
    with pytest.raises(ShapeError, match="expected \\(rows, horizons, levels\\)"):
        pinball_loss(score, batch.target, batch.mask, batch.days, levels=(0.1, 0.9))


def test_turnover_needs_days_that_follow_each_other():
    """A gap in the ids breaks the chain unless it is allowed."""
    batch = make_scored_days([8, 8, 8], horizons=1)
    ids = torch.tensor([10, 11, 14])[batch.group_day]
    days = Days.from_ids(ids)
    args = batch.score, batch.target, batch.mask, days
    near = turnover_loss(*args, stock_id=batch.stock_id)
    far = turnover_loss(*args, stock_id=batch.stock_id, max_gap=3)
    assert near.valid.flatten().tolist() == [False, True, False]
    assert far.valid.flatten().tolist() == [False, True, True]


def test_turnover_refuses_a_stock_twice_on_a_day():
    """Two rows of one stock have no turnover."""
    batch = make_scored_days([2], horizons=1)
    with pytest.raises(ShapeError) as error:
        turnover_loss(
            batch.score, batch.target, batch.mask, batch.days, stock_id=torch.tensor([4, 4])
        )
    assert str(error.value) == (
        "stock_id 4 has two rows on day 0, expected one row per stock and day. Drop the duplicate."
    )


def test_exposures_are_a_table():
    """One column per factor, even for one factor."""
    batch = make_scored_days([6], horizons=1)
    with pytest.raises(ShapeError) as error:
        exposure_loss(
            batch.score, batch.target, batch.mask, batch.days, exposures=batch.exposures[:, 0]
        )
    assert str(error.value) == (
        "exposures has shape (6,), expected (rows, factors). Give one column per factor."
    )
