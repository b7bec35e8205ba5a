"""The laws of a loss: healthy ones keep them all, and each fault breaks the law it is about."""

import sys
from functools import partial

import numpy as np
import pytest
import torch

import flatline as fl
from flatline.errors import SettingsError, ShapeError
from flatline.harness.laws import LAWS, Promises, judged, laws_for, laws_of, make_scored_days
from flatline.harness.laws.suite import keep
from harness import faulty_losses as losses

ORDER = {"at_constant": "undefined", "shift": True, "scale": True, "best": "order"}
PAIRS = {"shift": True, "scale": False}
POINT = {"best": "forecast", "shift": False, "degree": 2}
SOFT = ORDER | {"ranks": True}

HEALTHY = {
    "mean_squared": (losses.mean_squared, POINT),
    "plain_squared": (losses.plain_squared, POINT),
    "torch": (torch.nn.MSELoss(), POINT),
    "daily_ic": (losses.daily_ic, ORDER | {"degree": 0}),
    "listnet": (losses.listnet, PAIRS),
    "listnet_daily": (losses.listnet, PAIRS | {"unit": 0.01}),
    "ranknet": (losses.ranknet, PAIRS),
}
FAULTY = {
    "L01_pooled_ic": (losses.pooled_ic, ORDER, {"mean_of_days", "level_earns_nothing"}),
    "L02_softmax": (losses.softmax_over_days, PAIRS, {"mean_of_days", "level_earns_nothing"}),
    "L03_hard_rank": (losses.hard_rank, {}, {"nearly_constant_scores"}),
    "L04_flipped": (losses.flipped, ORDER, {"direction", "best_order"}),
    "L05_summed": (losses.summed, POINT, {"mean_over_stocks", "mean_of_days"}),
    "L07_broadcast": (losses.broadcast, POINT, {"constant_scores", "best_forecast"}),
    "L08_inverted": (losses.inverted_mask, POINT, {"missing_labels", "direction"}),
    "L08_empty_day": (losses.empty_day_is_zero, POINT, {"unlabelled_day", "nothing_to_learn"}),
    "L09_detached": (losses.detached_penalty, {}, {"derivative"}),
    "L09_clamped": (
        losses.clamped_spread,
        {"at_constant": "dead", "best": None},
        {"nearly_constant_scores"},
    ),
    "L11_raw_listnet": (losses.raw_listnet, PAIRS | {"unit": 0.01}, {"contrast"}),
    "L12_singletons": (losses.skips_singletons, ORDER, {"nothing_to_learn"}),
    "L14_missing": (losses.missing_is_zero, POINT, {"missing_labels", "missing_rows"}),
    "L15_root": (losses.root_at_zero, {"at_constant": "dead"}, {"constant_scores"}),
    "L16_ties": (losses.ties_train, PAIRS, {"ties"}),
    "L18_hidden": (losses.hides_nan, POINT, {"nan_stays_visible"}),
    "L18_spread": (losses.spreads_nan, POINT, {"nan_stays_visible"}),
    "L20_pearson": (partial(losses.soft_rank, softness=50.0), SOFT, {"ranks"}),
}
EXAMPLES = 6


def broken(loss, promises, *, examples=EXAMPLES):
    """The laws that a loss breaks, with what was said of each."""
    case, found = judged(loss, Promises(**promises)), {}
    for law in laws_of(case):
        try:
            keep(law, case, examples=examples, shrink=False)
        except pytest.fail.Exception as failure:
            found[law.id] = str(failure)
        except pytest.skip.Exception:
            continue
    return found


@pytest.mark.parametrize("name", HEALTHY)
def test_a_healthy_loss_keeps_every_law(name):
    """Losses without a fault, in the words of other people, break none."""
    assert broken(*HEALTHY[name]) == {}


@pytest.mark.parametrize("name", FAULTY)
def test_a_fault_breaks_the_law_it_is_about(name):
    """Each fault is told by the laws that it is about."""
    loss, promises, expected = FAULTY[name]
    assert expected <= set(broken(loss, promises))


def test_a_soft_rank_that_is_sharp_is_a_rank():
    """The healthy side of ranks that are too soft."""
    loss = judged(partial(losses.soft_rank, softness=0.05), Promises(**SOFT))
    law = next(law for law in LAWS if law.id == "ranks")
    keep(law, loss, examples=3)


test_a_masked_loss = laws_for(losses.mean_squared, **POINT, examples=5)
test_a_loss_of_vectors = fl.laws_for(
    lambda score, target: (score - target).abs().mean(), best="forecast", flat=True, examples=5
)


def test_the_suite_is_one_test_per_law_with_the_layers_marker():
    """`pytest -m loss_math` finds it; each law has an id of its own."""
    marks = {mark.name: mark for mark in test_a_masked_loss.pytestmark}
    assert set(marks) == {"loss_math", "parametrize"}
    ids = [param.id for param in marks["parametrize"].args[1]]
    assert len(ids) == len(set(ids)) > 15


def test_laws_have_ids_of_their_own():
    """No two laws of the table share an id, and each says what to do."""
    assert len({law.id for law in LAWS}) == len(LAWS)
    assert all(law.says.endswith(".") and law.remedy.endswith(".") for law in LAWS)


def test_an_argument_that_cannot_be_told_is_asked_for():
    """The error shows the line that is missing."""
    with pytest.raises(SettingsError) as error:
        laws_for(lambda score, target, weights: 0)
    assert str(error.value) == (
        "<lambda> takes 'weights', expected one of ('score', 'target', 'mask', 'group_day', "
        "'stock_id', 'exposures'). Say what it takes, as in `laws_for(<lambda>, "
        "takes=('score', 'target'))`, or give it as an option, as in `weights=...`."
    )


def test_a_loss_per_row_is_refused():
    """A loss without a reduction is told to reduce."""
    case = judged(lambda score, target: (score - target).square(), Promises())
    with pytest.raises(ShapeError) as error:
        case(make_scored_days([3, 4]))
    assert str(error.value) == (
        "loss returns shape (7, 2) on 2 days, expected one number, or one per day. "
        "Reduce it over the stocks: `.mean()`."
    )


@pytest.mark.parametrize("promise", [{"best": "perfect"}, {"at_constant": "fine"}, {"unit": 0.0}])
def test_a_promise_nobody_knows_is_refused(promise):
    """A typo is an error, not a law that is never asked."""
    with pytest.raises(SettingsError, match="expected"):
        laws_for(losses.mean_squared, **promise)


def test_a_skipped_law_is_one_that_exists():
    """A typo among the skipped laws is refused."""
    with pytest.raises(SettingsError, match="skip names the law 'row_oder'"):
        laws_for(losses.mean_squared, skip={"row_oder": "no"})


def test_what_a_loss_returns_may_be_a_value_and_its_validity():
    """Anything with `value` and `valid`, a pair of them, a vector of days, or one number."""
    batch = make_scored_days([5, 5, 5])
    days = batch.days.mean((batch.score - batch.target).square())
    for result in (days, (days, days > 0), days.mean(1), days.mean()):
        found = judged(lambda score, target, found=result: found, Promises())(batch)
        assert found.by_day == (isinstance(result, tuple) or result.ndim > 0)
        assert np.isfinite(float(found.total))


def test_without_hypothesis_the_remedy_is_named(monkeypatch):
    """The laws need an extra; the error says which."""
    monkeypatch.setitem(sys.modules, "hypothesis", None)
    with pytest.raises(SettingsError) as error:
        laws_for(losses.mean_squared)
    assert str(error.value) == (
        "hypothesis is not installed, expected it for the laws of a loss. "
        "Install it: pip install 'flatline[laws]'."
    )
