"""IC and RankIC beyond the laws of the table."""

import pytest
import torch
from scipy import stats

from flatline.harness.laws import make_scored_days
from flatline.losses.correlation import ic_loss, rank_ic_loss


@pytest.mark.parametrize("stocks", [100, 500])
def test_rank_ic_is_not_pearson(stocks):
    """Scores bent out of shape, in order, leave it near Spearman's and far from Pearson's."""
    batch = make_scored_days([stocks] * 10, horizons=1, seed=1)
    args = (2 * batch.score).exp(), batch.target, batch.mask, batch.days
    hard = rank_ic_loss(*args, softness=1e-6).value
    soft_gap = (rank_ic_loss(*args).value - hard).abs().mean()
    pearson_gap = (ic_loss(*args).value - hard).abs().mean()
    assert soft_gap < 0.2 * pearson_gap


def test_hard_ranks_are_the_limit():
    """As the ramp narrows, the loss becomes one minus Spearman's correlation."""
    batch = make_scored_days([60], horizons=1, seed=2, ties=True)
    found = rank_ic_loss(batch.score, batch.target, batch.mask, batch.days, softness=1e-6).value
    expected = 1 - stats.spearmanr(batch.score[:, 0], batch.target[:, 0]).statistic
    assert float(found) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("stocks", [20, 100, 1000])
def test_soft_ranks_stay_near_the_ranks(stocks):
    """At the default softness the loss is close to Spearman's for days of any size."""
    batch = make_scored_days([stocks] * 10, horizons=1, seed=3)
    args = batch.score, batch.target, batch.mask, batch.days
    hard = rank_ic_loss(*args, softness=1e-6).value
    assert (rank_ic_loss(*args).value - hard).abs().max() < 0.05


def test_following_the_gradient_improves_the_ranks():
    """A few steps down the soft loss raise Spearman's correlation itself."""
    batch = make_scored_days([200], horizons=1, seed=6)
    args = batch.target, batch.mask, batch.days
    score = batch.score.clone().requires_grad_()
    before = float(rank_ic_loss(score, *args, softness=1e-6).value.detach())
    optimizer = torch.optim.Adam([score], lr=0.05)
    for _ in range(40):
        optimizer.zero_grad()
        rank_ic_loss(score, *args).value.sum().backward()
        optimizer.step()
    assert float(rank_ic_loss(score, *args, softness=1e-6).value.detach()) < 0.6 * before
