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
