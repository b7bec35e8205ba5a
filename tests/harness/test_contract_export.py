"""An export holds the model's scores: all of them, each under its own key and horizon."""

import numpy as np
import pytest
import torch

from flatline.harness import Status
from flatline.harness.case import Case
from flatline.harness.probes.passes import first_steps
from flatline.harness.suite import judge
from harness.contracted import BY_ID, DAYS, STOCKS, batches, subject, verdict


@torch.no_grad()
def export(model, split):
    """Scores of a split with the day and the stock of each row, in some order."""
    rows = [(model(inputs)["point"], inputs["group_day"], inputs["stock_id"])
            for inputs, _ in with_stocks(split)]  # fmt: skip
    score, day, stock = (torch.cat(column).numpy() for column in zip(*rows, strict=True))
    order = np.random.default_rng(0).permutation(len(score))
    return {"score": score[order], "group_day": day[order], "stock_id": stock[order]}


def with_stocks(split):
    """The usual batches, and which stock each row is."""
    stock = torch.arange(DAYS * STOCKS) % STOCKS
    return [(inputs | {"stock_id": stock}, targets) for inputs, targets in batches(split)]


def of(change):
    """A subject whose export went through *change*."""
    return subject(
        batches=with_stocks, export=lambda model, split: change(export(model.eval(), split))
    )


def rows(choose):
    """Keeps some rows of each column."""
    return lambda found: {name: x[choose] for name, x in found.items()}


HEALTHY = [
    pytest.param(lambda found: found, id="in-any-order"),
    pytest.param(lambda found: {n: x.tolist() for n, x in found.items()}, id="as-lists"),
    pytest.param(lambda found: found | {"score": np.round(found["score"], 5)}, id="at-five-digits"),
]
FAULTY = [
    pytest.param(rows(slice(0)), "nothing was written", id="empty"),
    pytest.param(rows(slice(9)), "87 rows are lost, and 0 are double", id="rows-lost"),
    pytest.param(
        rows(np.r_[0:96, 0:4]), "0 rows are lost, and 4 are double", id="rows-twice"
    ),
    pytest.param(
        lambda found: found | {"score": found["score"][:, ::-1]},
        "columns are swapped: 0 is that of 1, 1 is that of 0",
        id="horizons-swapped",
    ),
    pytest.param(
        lambda found: found | {"score": np.roll(found["score"], 1, 0)},
        "those of other rows",
        id="keys-misaligned",
    ),
    pytest.param(
        lambda found: found | {"score": found["score"] * 100}, "are others", id="in-percent"
    ),
    pytest.param(
        lambda found: found | {"score": found["score"][:, 0]},
        "1 columns of scores for 2 horizons",
        id="horizon-lost",
    ),
]  # fmt: skip


@pytest.mark.parametrize("change", HEALTHY)
def test_an_export_of_all_scores_passes(change):
    """Rows are matched by their keys; rounding as an export may is allowed."""
    assert verdict("export_agrees", of(change)).status == Status.PASS


@pytest.mark.parametrize(("change", "says"), FAULTY)
def test_what_an_export_does_to_scores_is_told(change, says):
    """Lost, double, swapped, misaligned or changed."""
    found = verdict("export_agrees", of(change))
    assert found.status == Status.FAIL
    assert says in found.measured
    assert found.culprit.path == "export"


def export_in_train_mode(model, split):
    """In train mode, in which a pass moves running statistics."""
    return export(model.train(), split)


def export_and_spoil(model, split):
    """As it should be, and then running statistics move."""
    found = export(model.eval(), split)
    export(model.train(), split)
    return found


def test_what_export_does_to_its_model_is_seen_by_no_other():
    """Neither by the scores that it is held against, nor by later checks."""
    case = Case(subject(batches=with_stocks, export=export_and_spoil), steps=2)
    kept = case.of(first_steps).model.norm.running_mean.clone()
    assert judge(BY_ID["export_agrees"], case).status == Status.PASS
    assert torch.equal(case.of(first_steps).model.norm.running_mean, kept)
    wrong = subject(batches=with_stocks, export=export_in_train_mode)
    assert verdict("export_agrees", wrong).status == Status.FAIL


def test_without_keys_rows_are_in_the_order_of_the_batches():
    """As scored, or in another order."""
    in_order = subject(export=lambda model, split: {"score": by_batch(model, split)})
    turned = subject(export=lambda model, split: {"score": by_batch(model, split)[::-1]})
    assert verdict("export_agrees", in_order).status == Status.PASS
    assert "those of other rows" in verdict("export_agrees", turned).measured


@torch.no_grad()
def by_batch(model, split):
    """Scores of a split, one after another."""
    return torch.cat([model(inputs)["point"] for inputs, _ in batches(split)]).numpy()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        pytest.param(lambda found: None, "gives NoneType, expected a mapping", id="nothing-read"),
        pytest.param(
            lambda found: found | {"code": found["stock_id"]}, "column 'code'", id="unknown-key"
        ),
        pytest.param(
            lambda found: {n: found[n] for n in ("score", "group_day")},
            "several rows share",
            id="days-only",
        ),
    ],
)
def test_an_export_that_cannot_be_matched_is_an_error_with_the_remedy(change, says):
    """The line to correct is shown."""
    found = verdict("export_agrees", of(change))
    assert found.status == Status.ERROR
    assert says in found.measured
