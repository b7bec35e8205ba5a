"""The ladder of rank distances stands for all pairs."""

import pytest
import torch

from flatline.errors import SettingsError
from flatline.harness.laws import make_scored_days
from flatline.losses.pairs import _pairs_stood_for, strides
from flatline.losses.ranking import margin_loss, ranknet_loss


@pytest.mark.parametrize("ratio", [1.0, 1.6, 3.0])
@pytest.mark.parametrize("names", [2, 3, 4, 5, 7, 52, 53, 500, 553])
def test_every_pair_is_stood_for_once(names, ratio):
    """The weights of all compared pairs add up to the number of pairs, in any batch."""
    for width in (names, names + 1, 2 * names + 100):
        ladder = strides(width, ratio)
        total = 0.0
        for k, stride in enumerate(ladder):
            longer = ladder[k + 1] if k + 1 < len(ladder) else None
            share = _pairs_stood_for(torch.tensor([float(names)]), stride, longer)
            total += float(share) * max(names - stride.distance, 0)
        assert total == pytest.approx(names * (names - 1) / 2)


def test_the_ladder_is_short():
    """The number of distances grows with the logarithm of the number of stocks."""
    assert len(strides(500, 1.6)) == 11
    assert len(strides(5000, 1.6)) == 16


def test_ratio_one_is_every_pair():
    """RankNet over all pairs, written as one matrix of differences."""
    batch = make_scored_days([30], ties=True, horizons=1)
    score, target = batch.score[:, 0], batch.target[:, 0]
    better = target[:, None] > target
    lead = (score[:, None] - score) / target.std(correction=0)
    expected = torch.nn.functional.softplus(-lead)[better].mean()
    found = ranknet_loss(batch.score, batch.target, batch.mask, batch.days, ratio=1.0).value
    torch.testing.assert_close(found[0, 0], expected)


@pytest.mark.parametrize("loss", [ranknet_loss, margin_loss])
def test_few_pairs_stand_for_all(loss):
    """On 500 stocks the value is within 2 % of all pairs, and the gradient points the same way."""
    batch = make_scored_days([500] * 4, horizons=1, seed=5)
    score = batch.score.requires_grad_()
    args = batch.target, batch.mask, batch.days
    few, every = loss(score, *args).value, loss(score, *args, ratio=1.0).value
    torch.testing.assert_close(few, every, rtol=0.02, atol=0)
    gradients = [torch.autograd.grad(value.sum(), score)[0].flatten() for value in (few, every)]
    assert torch.cosine_similarity(*gradients, dim=0) > 0.9


def test_ties_do_not_train():
    """Two stocks of equal target get no gradient from each other."""
    batch = make_scored_days([3], horizons=1)
    target = torch.tensor([[0.0], [0.0], [1.0]], dtype=torch.float64)
    score = torch.tensor([[1.0], [1.3], [50.0]], dtype=torch.float64, requires_grad=True)
    ranknet_loss(score, target, batch.mask, batch.days).value.sum().backward()
    # The third is so far ahead that nothing is left to learn from its pairs.
    assert score.grad.abs().max() < 1e-12


def test_a_ratio_under_one_is_refused():
    """The ladder has to go up."""
    with pytest.raises(SettingsError) as error:
        strides(10, 0.5)
    assert str(error.value) == (
        "ratio is 0.5, expected at least 1. Give 1 for all pairs, 1.6 for few."
    )
