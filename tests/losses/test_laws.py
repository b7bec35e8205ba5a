"""Every term keeps the laws that the table declares for it."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from flatline.losses.blend import TERMS
from flatline.losses.laws import LAWS
from loss_cases import NAMES, gradient, named, options_of, per_day, score_of
from oracles import loss_by_day, turnover_by_day
from strategies import ScoredDays, make_scored_days, scored_days

# Float64 sums of a few dozen terms in another order differ by less.
CLOSE = 1e-9
EACH = pytest.mark.parametrize("name", NAMES)
FEW = settings(max_examples=25, deadline=None)


def assert_same(a, b):
    """Same values, same valid days."""
    assert torch.equal(a.valid, b.valid)
    torch.testing.assert_close(a.value, b.value, rtol=CLOSE, atol=CLOSE)


def test_every_term_declares_its_laws():
    """The table and the blend know the same terms."""
    assert set(LAWS) == set(TERMS)


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
@FEW
@given(batch=scored_days(), seed=st.integers(0, 999))
def test_the_order_of_the_rows_changes_nothing(name, batch, seed):
    """Permuting stocks within days, and interleaving days, leaves every value alone."""
    order = torch.randperm(len(batch.group_day), generator=torch.Generator().manual_seed(seed))
    moved = batch.rows(order)
    assert_same(per_day(name, moved, score_of(name, batch)[order]), per_day(name, batch))


@EACH
@FEW
@given(a=scored_days(), b=scored_days(), seed=st.integers(0, 99))
def test_a_further_day_is_one_further_value(name, a, b, seed):
    """Days do not see each other: joining two batches joins their values."""
    wide = min(a.target.shape[1], b.target.shape[1])
    a, b = (narrow(batch, wide) for batch in (a, b))
    # Far apart, so that no day of the one follows a day of the other.
    b = b._replace(group_day=b.group_day + 1000)
    both = a.joined(b)
    score = torch.cat([score_of(name, a), score_of(name, b)])
    parts = per_day(name, a), per_day(name, b)
    joined = per_day(name, both, score)
    assert torch.equal(joined.valid, torch.cat([part.valid for part in parts]))
    expected = torch.cat([part.value for part in parts])
    torch.testing.assert_close(joined.value, expected, rtol=CLOSE, atol=CLOSE)


def narrow(batch, wide):
    """The first few horizons of a batch."""
    return batch._replace(
        score=batch.score[:, :wide], target=batch.target[:, :wide], mask=batch.mask[:, :wide]
    )


@EACH
@FEW
@given(batch=scored_days(), seed=st.integers(0, 999))
def test_the_ids_of_the_days_do_not_matter(name, batch, seed):
    """Other day ids give the same values, in the order of the new ids."""
    count = batch.days.count
    if LAWS[name].follows:
        ids = torch.arange(count) + 17
    else:
        ids = torch.randperm(1000, generator=torch.Generator().manual_seed(seed))[:count] - 500
    renamed = per_day(name, batch._replace(group_day=ids[batch.group_day]))
    plain, order = per_day(name, batch), ids.argsort()
    torch.testing.assert_close(renamed.value, plain.value[order], rtol=CLOSE, atol=CLOSE)
    assert torch.equal(renamed.valid, plain.valid[order])


def moved_by_day(batch, score, by):
    """Scores of each day moved by a number of its own."""
    shift = by * (1 + batch.group_day.to(score.dtype))
    return score + shift.reshape(-1, *[1] * (score.ndim - 1))


def stretched_by_day(batch, score, by):
    """Scores of each day multiplied by a positive number of its own."""
    stretch = by ** (1 + batch.group_day.to(score.dtype))
    return score * stretch.reshape(-1, *[1] * (score.ndim - 1))


@pytest.mark.parametrize("name", named(shift=True))
@FEW
@given(batch=scored_days(), by=st.floats(-5, 5))
def test_ignores_each_days_level(name, batch, by):
    """Shifting a day's scores leaves its value alone."""
    # Half softness cuts a score at the edge of a ramp the same way, but for rounding.
    moved = per_day(name, batch, moved_by_day(batch, batch.score, by))
    torch.testing.assert_close(moved.value, per_day(name, batch).value, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("name", named(scale=True))
@FEW
@given(batch=scored_days(), by=st.floats(0.1, 10))
def test_ignores_each_days_scale(name, batch, by):
    """Stretching a day's scores leaves its value alone."""
    moved = per_day(name, batch, stretched_by_day(batch, batch.score, by))
    torch.testing.assert_close(moved.value, per_day(name, batch).value, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("name", named(shift=False))
def test_feels_the_level(name):
    """What is not declared invariant to a shift is not."""
    batch = make_scored_days([9, 9])
    moved = per_day(name, batch, moved_by_day(batch, score_of(name, batch), 0.3))
    assert ((moved.value - per_day(name, batch).value).abs() > 1e-4).all()


@pytest.mark.parametrize("name", named(scale=False))
def test_feels_the_scale(name):
    """What is not declared invariant to scale is not."""
    batch = make_scored_days([9, 9])
    # Around the day's mean, so that the level is not what is felt; small, so under the floor.
    score = 0.05 * score_of(name, batch)
    moved = per_day(name, batch, stretched_by_day(batch, score, 1.2))
    assert ((moved.value - per_day(name, batch, score).value).abs() > 1e-6).all()


@pytest.mark.parametrize("name", [n for n in NAMES if LAWS[n].degree is not None])
@FEW
@given(batch=scored_days(), by=st.floats(0.01, 100))
def test_the_unit_of_the_returns_is_a_factor(name, batch, by):
    """Scores and targets in another unit change the value by that unit to the degree declared."""
    moved = batch._replace(target=batch.target * by)
    found = per_day(name, moved, score_of(name, batch) * by).value
    expected = per_day(name, batch).value * by ** LAWS[name].degree
    torch.testing.assert_close(found, expected, rtol=1e-7, atol=1e-12)


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


@pytest.mark.parametrize("name", named(best="forecast"))
@FEW
@given(batch=scored_days(missing=0.0))
def test_a_perfect_forecast_is_the_minimum(name, batch):
    """No scores have less loss than the targets themselves."""
    target = (
        batch.target if LAWS[name].reads == "point" else batch.target[..., None].expand(-1, -1, 3)
    )
    best, found = per_day(name, batch, target), per_day(name, batch)
    valid = best.valid & found.valid
    assert (best.value <= found.value + CLOSE)[valid].all()
    assert best.value[best.valid].abs().le(1e-7).all()


def in_target_order(batch):
    """The same scores, dealt out in the order of the targets, day by day and by horizon."""
    score = batch.score.clone()
    for day in batch.group_day.unique():
        here = batch.group_day == day
        for column in range(score.shape[1]):
            place = batch.target[here, column].argsort().argsort()
            score[here, column] = batch.score[here, column].sort().values[place]
    return score


@pytest.mark.parametrize("name", named(best="order"))
@settings(max_examples=200, deadline=None)
@given(batch=scored_days(min_stocks=2, max_stocks=30, max_days=2, ties=False, missing=0.0))
def test_perfect_order_is_the_minimum(name, batch):
    """No order of the same scores has less loss than the order of the targets."""
    best = per_day(name, batch, in_target_order(batch))
    found = per_day(name, batch)
    assert (best.value <= found.value + CLOSE)[found.valid].all()


READS_LABELS = [n for n in NAMES if n not in {"turnover", "exposure", "coverage"}]
READS_LABELS = [n for n in READS_LABELS if "spread" not in n and n != "variance_floor"]


@pytest.mark.parametrize("name", READS_LABELS)
@FEW
@given(batch=scored_days(min_stocks=3, ties=False, missing=0.0))
def test_better_scores_lose_less(name, batch):
    """The targets as scores lose less than the targets upside down."""
    batch = batch._replace(target=batch.days.centre(batch.target))
    good = score_of(name, batch._replace(score=batch.target))
    bad = score_of(name, batch._replace(score=-batch.target))
    better, worse = per_day(name, batch, good), per_day(name, batch, bad)
    assert better.valid.all()
    assert (better.value < worse.value).all()


@pytest.mark.parametrize("name", named(shift=True))
def test_knowing_only_the_market_earns_nothing(name):
    """Scores that hold each day's mean return alone are worth as much as none."""
    batch = make_scored_days([8, 8, 8])
    level = batch.days.spread(batch.days.mean(batch.target))
    market, nothing = per_day(name, batch, level), per_day(name, batch, 0 * level)
    assert torch.equal(market.valid, nothing.valid)
    torch.testing.assert_close(market.value, nothing.value, rtol=CLOSE, atol=CLOSE)


@EACH
@pytest.mark.parametrize("shuffle", [True, False])
def test_the_gradient_is_the_derivative(name, shuffle):
    """Finite differences in float64 agree, away from kinks."""
    batch = make_scored_days([7, 7, 7], missing=0.1, shuffle=shuffle, seed=3)
    score = score_of(name, batch).clone()
    if name in named(at_constant="dead"):
        score = 0.1 * score  # under the floor, where there is something to differentiate
    score.requires_grad_()
    assert torch.autograd.gradcheck(lambda s: per_day(name, batch, s).value, score)


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
