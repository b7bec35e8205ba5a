"""Changing prices shows what a pipeline knows too early, and a label that is not its horizon's."""

import polars as pl
import pytest
import torch

from flatline.errors import DataError
from flatline.harness import Case, Status, judge
from flatline.harness.pipeline import Pipeline
from flatline.harness.suites.pipeline import CHECKS
from harness.priced import bars, subject


def verdicts(one):
    """Every verdict on the pipeline of a subject, by check."""
    case = Case(one)
    return {check.id: judge(check, case) for check in CHECKS}


@pytest.fixture(scope="module")
def healthy():
    """Verdicts on the healthy pipeline."""
    return verdicts(subject())


def test_a_healthy_pipeline_passes_every_check(healthy):
    """Point in time, fitted on train days, purged, labels as long as their horizons."""
    assert {c: (v.status, v.measured) for c, v in healthy.items() if v.status != Status.PASS} == {}
    assert all(v.false_alarm_rate == 0 for v in healthy.values())


@pytest.mark.parametrize(
    ("fault", "caught_by", "path"),
    [
        ("sees tomorrow", "inputs_know_no_future", "features:return_1"),
        ("filled across stocks", "inputs_know_no_future", "features:return_1"),
        ("graph from the future", "inputs_know_no_future", "edges"),
        ("scaler saw the test", "scaler_knows_train_only", "features:"),
        ("survivors only", "universe_knows_no_future", "rows"),
        ("no purge", "splits_are_purged", "train"),
        ("label looks back", "labels_span_their_horizon", "column 0, column 1"),
        ("horizon off by one", "labels_span_their_horizon", "horizon 5"),
        ("cached edges", "same_whatever_came_before", "edges"),
        ("takes the stocks as they come", "same_whatever_came_before", "features:"),
    ],
)
def test_a_fault_is_caught_and_its_culprit_named(healthy, fault, caught_by, path):
    """The check that passes on the healthy pipeline fails on the faulty one."""
    assert healthy[caught_by].status == Status.PASS
    verdict = verdicts(subject(fault))[caught_by]
    assert verdict.status == Status.FAIL, verdict.measured
    assert path in verdict.culprit.path
    assert verdict.culprit.remedy
    assert verdict.hint


@pytest.mark.parametrize("without", ["stocks", "codes"])
def test_rows_without_a_stock_are_told_by_their_place(without):
    """A batch that names no stock, or prices of one code, can be judged as well."""
    made = subject().pipeline
    frame = made.prices if without == "stocks" else made.prices.filter(pl.col("code") == "00")

    def batches(prices):
        def of(split):
            for inputs, targets in made.batches(prices)(split):
                kept = {k: v for k, v in inputs.items() if k not in ("stock_id", "edge_index")}
                yield kept, targets

        return of

    found = verdicts(subject(pipeline=Pipeline(prices=frame, batches=batches)))
    assert {v.status for v in found.values()} <= {Status.PASS, Status.SKIP}
    skipped = [c for c, v in found.items() if v.status == Status.SKIP]
    assert skipped == ([] if without == "stocks" else ["universe_knows_no_future"])


def test_dates_may_be_told_from_day_ids():
    """Day ids of a user's own are turned into dates."""
    made = subject().pipeline

    def batches(prices):
        def of(split):
            for inputs, targets in made.batches(prices)(split):
                yield inputs | {"group_day": 1000 + inputs["group_day"]}, targets

        return of

    other = Pipeline(prices=made.prices, batches=batches)
    raised = verdicts(subject(pipeline=other))["inputs_know_no_future"]
    assert raised.status == Status.ERROR
    assert "Add `dates=lambda day: ...` to the Pipeline" in raised.measured
    told = Pipeline(prices=made.prices, batches=batches, dates=lambda day: day - 1000)
    assert verdicts(subject(pipeline=told))["inputs_know_no_future"].status == Status.PASS


def test_a_label_scaled_by_what_came_before_is_no_fault():
    """It moves on days behind the price as well; where it ends is still its horizon."""
    made = subject().pipeline

    def batches(prices):
        def of(split):
            for inputs, targets in made.batches(prices)(split):
                yield inputs, targets / (1 + inputs["features"][:, :, :1].abs().mean(1))

        return of

    one = subject(pipeline=Pipeline(prices=made.prices, batches=batches))
    verdict = verdicts(one)["labels_span_their_horizon"]
    assert verdict.status == Status.PASS, verdict.measured


def test_a_subject_without_a_pipeline_is_not_judged():
    """That is said, check by check."""
    found = verdicts(subject(pipeline=None)).values()
    assert {v.measured for v in found} == {"not judged: the subject has no `pipeline`"}


@pytest.mark.parametrize(
    ("parts", "says"),
    [
        ({"date": "day"}, "expected 'day' among them. Name the right one with date="),
        ({"changed": ["price"]}, "expected 'price' among them"),
        ({"prices": bars().select("date", "code")}, "Name those to change with changed="),
    ],
)
def test_prices_that_cannot_be_changed_are_refused(parts, says):
    """A missing column is named, with the argument that corrects it."""
    with pytest.raises(DataError, match=says):
        Pipeline(**{"prices": bars(), "batches": lambda prices: {}} | parts)


def test_an_error_of_the_pipeline_says_where_it_was_raised():
    """The subject's own code is blamed, not the harness."""

    def batches(prices):
        raise KeyError("adj_close")

    verdict = verdicts(subject(pipeline=Pipeline(prices=bars(), batches=batches)))
    assert {v.status for v in verdict.values()} == {Status.ERROR}
    assert all("test_pipeline.py" in v.hint for v in verdict.values())


def test_batches_may_be_a_mapping():
    """A mapping of lists does as well as a function of the split."""
    made = subject().pipeline
    whole = Pipeline(
        prices=bars(),
        batches=lambda prices: {s: list(made.batches(prices)(s)) for s in made.splits},
    )
    assert {v.status for v in verdicts(subject(pipeline=whole)).values()} == {Status.PASS}
    assert torch.is_tensor(next(iter(whole.make(bars())("train")))[1])
