"""A spread out of range is a fault where the loss holds it there, and only there."""

import numpy as np
import pytest
from torch.nn import functional as F  # noqa: N812 (as everyone calls it)

from flatline.harness import Status, examine
from flatline.harness.case import Case
from flatline.harness.checks.degeneracy import scale_in_range, scale_of_its_own
from flatline.harness.probes.loss_scale import cost_of_spread
from flatline.harness.suites import CHECKS
from flatline.harness.terms import Term
from harness.test_suite import SPLITS, STEPS, Ranker, Whisper, subject

RETURNS = 0.02
SCALE = [check for check in CHECKS if check.id == "scale_in_range"]


def correlation(scores, target):
    """1 - IC: the spread of the scores is nothing to it."""
    score, label = scores - scores.mean(0), target - target.mean(0)
    return 1 - F.cosine_similarity(score, label, dim=0).mean()


def pairwise(scores, target):
    """Logistic loss of all pairs: scores are logits, whatever the unit of the targets."""
    sign = (target[:, None] - target).sign()
    return F.softplus(-sign * (scores[:, None] - scores)).mean()


def mixed(scores, target):
    """As good as free: a squared error of small returns weighs next to nothing."""
    return correlation(scores, target) + F.mse_loss(scores, target)


def returns(split):
    """The toy's batches with targets of 2 %."""
    return [(inputs, RETURNS * target) for inputs, target in SPLITS[split]]


def judged(**parts):
    """Whether the scale is in range, after a training."""
    (verdict,) = examine(subject(**parts), checks=SCALE, steps=STEPS).verdicts
    return verdict


@pytest.mark.parametrize("loss", [correlation, pairwise])
def test_a_loss_without_a_unit_has_no_scale_out_of_range(loss):
    """Scores of a healthy ranker on raw returns; beside it the same whose loss has their unit."""
    free = judged(loss=loss, batches=returns)
    assert free.status == Status.SKIP
    assert "does not hold the scores to it" in free.measured
    assert judged(loss=F.mse_loss).status == Status.PASS


class Shout(Ranker):
    """Scores standardized over the day, and then put on a scale of another unit."""

    def forward(self, inputs):
        """Scores of every row."""
        score = super().forward(inputs)
        return 50 * (score - score.mean(0)) / score.std(0)


@pytest.mark.parametrize("model", [Whisper, Shout])
def test_a_loss_with_a_unit_still_holds_its_scores_to_it(model):
    """The same models are at fault by a squared error, and not by a correlation."""
    assert judged(model=model, loss=F.mse_loss).status == Status.FAIL
    assert judged(model=model, loss=correlation).status == Status.SKIP


def test_what_the_loss_holds_is_measured():
    """Far above 1 for errors in the targets' unit, 0 for correlations, below 0 for pairs."""
    cost = {
        loss: cost_of_spread(Case(subject(loss=loss, batches=returns)))
        for loss in (F.mse_loss, F.l1_loss, correlation, pairwise, mixed)
    }
    assert min(cost[F.mse_loss], cost[F.l1_loss]) > 10
    assert abs(cost[correlation]) < 1e-5
    assert cost[pairwise] < 0
    assert 0 < cost[mixed] < 0.1


@pytest.mark.parametrize(("scale", "free"), [(True, True), (None, False)])
def test_terms_that_say_that_scale_is_nothing_to_them_are_believed(scale, free):
    """Without a measurement; that they keep their word is a check of its own."""
    terms = {"error": Term(value=F.mse_loss, scale=scale)}
    assert (cost_of_spread(Case(subject(loss=F.mse_loss, terms=terms))) == 0) == free


@pytest.mark.parametrize(
    ("spread", "status"),
    [
        pytest.param(1e-3, Status.SKIP, id="small"),
        pytest.param(1e-8, Status.FAIL, id="within-rounding"),
        pytest.param(np.nan, Status.FAIL, id="no-number"),
    ],
)
def test_a_spread_within_rounding_is_a_fault_whatever_the_loss(spread, status):
    """There is a level beside which nothing is left of the scores."""
    draw = np.random.default_rng(0)
    target, day = draw.standard_normal((400, 1)), np.repeat(np.arange(10), 40)
    score = 1 + spread * draw.standard_normal((400, 1))
    verdict = scale_in_range(score, target, day)
    assert verdict.status == Status.FAIL
    assert scale_of_its_own(verdict, score, day, cost=0.0).status == status
    assert scale_of_its_own(verdict, score, day, cost=50.0).status == Status.FAIL
