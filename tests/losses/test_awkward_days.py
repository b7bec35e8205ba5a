"""Days on which little can be said: the terms stay finite, honest, and visibly NaN."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from flatline.losses.laws import LAWS
from loss_cases import NAMES, gradient, named, per_day, score_of
from strategies import make_scored_days, scored_days

EACH = pytest.mark.parametrize("name", NAMES)
FEW = settings(max_examples=25, deadline=None)


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


@EACH
@pytest.mark.parametrize("where", ["score", "target"])
def test_nan_stays_visible(name, where):
    """One NaN among the labelled stocks of a day makes that day NaN, and no other."""
    if where == "target" and name in {"turnover", "exposure"}:
        pytest.skip("does not read the targets")
    batch = make_scored_days([6, 6, 6], shuffle=False)
    part = getattr(batch, where).clone()
    part[14] = torch.nan
    found = per_day(name, batch._replace(**{where: part}))
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


@pytest.mark.parametrize("name", named(at_constant="alive"))
@FEW
@given(batch=scored_days(min_stocks=5, ties=False, missing=0.0))
def test_alive_at_constant_scores(name, batch):
    """The gradient separates the stocks of each day by their labels."""
    # Labels on both sides of the score and of the event on every day: Huber and pinball
    # do not tell stocks apart by labels that are all far above, or all far below.
    target = batch.days.centre(batch.target)
    assert (pull(name, batch._replace(target=target)) > 0).all()


@pytest.mark.parametrize("name", named(at_constant="undefined"))
@FEW
@given(batch=scored_days(), level=st.floats(-1e3, 1e3))
def test_undefined_at_constant_scores(name, batch, level):
    """No day is valid, whatever the level and the order of the rows."""
    assert not per_day(name, constant(batch, level)).valid.any()


@pytest.mark.parametrize("name", named(at_constant="undefined"))
@pytest.mark.parametrize("stocks", [50, 4000])
def test_rounding_is_not_a_spread(name, stocks):
    """In single precision too a constant is a constant, however many stocks share it."""
    batch = make_scored_days([stocks, stocks - 1])
    score = torch.full_like(batch.score, 0.1, dtype=torch.float32)
    assert not per_day(name, batch, score).valid.any()


@pytest.mark.parametrize("name", named(at_constant="dead"))
def test_dead_at_constant_scores(name):
    """No gradient tells stocks apart by their labels: it is 0, or as often against them."""
    pulls = [pull(name, make_scored_days([7, 7], seed=seed)) for seed in range(10)]
    assert min(float(p.min()) for p in pulls) <= 0
