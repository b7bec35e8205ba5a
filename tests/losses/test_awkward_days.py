"""Days on which little can be said: the terms stay finite, honest, and visibly NaN."""

import pytest
import torch

from flatline.harness.laws import make_scored_days
from flatline.losses.laws import LAWS
from loss_cases import NAMES, gradient, named, per_day, score_of

EACH = pytest.mark.parametrize("name", NAMES)


def edge_case(kind):
    """Three days that are awkward in one way."""
    batch = make_scored_days([6, 6, 6], ties=kind == "ties", missing=0.3)
    if kind == "one stock":
        return make_scored_days([1, 1, 1])
    if kind == "constant scores":
        return batch._replace(score=torch.full_like(batch.score, 0.1))
    if kind == "constant targets":
        return batch._replace(target=torch.where(batch.mask, 0.1, torch.nan))
    if kind == "zero targets":
        return batch._replace(target=torch.where(batch.mask, 0.0, torch.nan))
    if kind == "no label":
        return batch._replace(
            mask=torch.zeros_like(batch.mask), target=torch.full_like(batch.target, torch.nan)
        )
    if kind == "huge":
        return batch._replace(score=batch.score * 1e6)
    if kind == "unknown scores":
        return batch._replace(score=torch.where(batch.mask, batch.score, torch.inf))
    return batch


KINDS = (
    "ties",
    "one stock",
    "constant scores",
    "constant targets",
    "zero targets",
    "no label",
    "huge",
    "unknown scores",
    "missing",
)
# Terms with a meaning on a day of one stock, and on a day of equal targets.
SINGLE = {"mse", "huber", "pinball", "bce"}
LEVEL_TARGETS = SINGLE | {"sharpe", "turnover", "exposure"}


@EACH
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_awkward_days_are_finite(name, kind, dtype):
    """Value and gradient are finite, and 0 where the day is not valid."""
    batch = edge_case(kind)
    score = score_of(name, batch).to(dtype)
    found, grad = per_day(name, batch, score), gradient(name, batch, score)
    assert torch.isfinite(found.value).all()
    assert torch.isfinite(grad).all()
    assert (found.value[~found.valid] == 0).all()
    if not found.valid.any():
        assert (grad == 0).all()


@EACH
def test_meaningless_days_are_invalid(name):
    """Days without labels, of one stock, or of constants count only where they mean something."""

    def any_valid(kind):
        return bool(per_day(name, edge_case(kind)).valid.any())

    assert not any_valid("no label")
    assert any_valid("one stock") == (name in SINGLE)
    assert any_valid("constant scores") == (LAWS[name].at_constant != "undefined")
    assert any_valid("constant targets") == (name in LEVEL_TARGETS)
    assert any_valid("zero targets") == (name in LEVEL_TARGETS - {"huber"})


@pytest.mark.parametrize("name", [n for n in NAMES if n not in {"turnover", "exposure"}])
def test_a_target_that_is_not_a_number_stays_visible(name):
    """One NaN among the labels of a day makes that day NaN, and no other."""
    batch = make_scored_days([6, 6, 6], shuffle=False)
    target = batch.target.clone()
    target[14] = torch.nan
    found = per_day(name, batch._replace(target=target))
    assert found.value[2].isnan().all()
    assert not found.value[:2].isnan().any()


def constant(batch, to=0.0):
    """The batch with one score for all."""
    return batch._replace(score=torch.full_like(batch.score, to))


def pull(name, batch):
    """How much the gradient at constant scores pushes the stocks with higher labels up, by day."""
    score = score_of(name, constant(batch))
    push = -gradient(name, batch, score)
    push = push.sum(-1) if push.ndim == 3 else push
    target = torch.where(batch.mask, batch.target, 0.0)
    names = batch.days.total(batch.mask.double())
    mean = batch.days.spread(batch.days.total(target) / names)
    return batch.days.total(torch.where(batch.mask, push * (target - mean), 0.0))


@pytest.mark.parametrize("name", named(at_constant="dead"))
def test_dead_at_constant_scores(name):
    """No gradient tells stocks apart by their labels: it is 0, or as often against them."""
    pulls = [pull(name, make_scored_days([7, 7], seed=seed)) for seed in range(10)]
    assert min(float(p.min()) for p in pulls) <= 0
