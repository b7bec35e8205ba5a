"""Learning a few rows by heart: healthy models, and faulty ones, side by side."""

import numpy as np
import pytest
import torch
from torch import nn

from flatline.harness import Status
from flatline.harness.case import Case
from flatline.harness.probes.memory import first_rows, memory
from flatline.harness.suite import judge
from flatline.harness.suites.planted import CHECKS
from harness import series, windowed

HEART, OTHERS = "overfits_one_batch", "shuffled_targets_show_nothing"


def verdicts(subject):
    """Verdicts of the two checks on one subject, by check."""
    case = Case(subject)
    return {check.id: judge(check, case) for check in CHECKS if check.shares == "memory"}


@pytest.mark.parametrize(
    "subject",
    [
        pytest.param(windowed.subject(), id="stocks"),
        pytest.param(series.classifier(), id="classes-of-a-series"),
    ],
)
def test_a_healthy_model_learns_by_heart_and_knows_nothing_of_others(subject):
    """It follows the labels of a few rows, and those of no others."""
    found = verdicts(subject)
    assert {c: v.measured for c, v in found.items() if v.status != Status.PASS} == {}
    assert found[HEART].value > 1.5 * found[HEART].bound


class Drowned(windowed.Hearing):
    """Drops all but one in a thousand of its hidden units."""

    def __init__(self):
        super().__init__()
        self.head = nn.Sequential(nn.Dropout(0.999), self.head)


def unknown_only(outputs, targets):
    """A loss whose mask is upside down."""
    known = torch.isfinite(targets)
    return (outputs - torch.nan_to_num(targets)).square()[~known].mean()


def stalled(model):
    """An optimizer whose learning rate is lost in rounding."""
    return torch.optim.SGD(model.parameters(), lr=1e-12)


@pytest.mark.parametrize(
    "parts",
    [
        pytest.param({"model": Drowned}, id="dropout"),
        pytest.param({"loss": unknown_only}, id="mask-inverted"),
        pytest.param({"optimizer": stalled}, id="stalled"),
    ],
)
def test_what_cannot_be_trained_learns_nothing_by_heart(parts):
    """The check fails and says where to look."""
    verdict = verdicts(windowed.subject(**parts))[HEART]
    assert verdict.status == Status.FAIL
    assert "a few rows by heart" in verdict.hint


def with_labels(batches):
    """The same batches with the first label among the attributes, in another unit."""
    return [
        (inputs | {"static": torch.cat([inputs["static"], 3 - 100 * label[:, :1]], 1)}, label)
        for inputs, label in batches
    ]


class Told(windowed.Hearing):
    """Has room for one more attribute."""

    def __init__(self):
        super().__init__()
        self.static = nn.Linear(windowed.STATIC + 1, windowed.WIDTH)

    def attributes(self, inputs):
        """Attributes, the label where it is known."""
        return torch.nan_to_num(inputs["static"])


def test_labels_among_the_inputs_are_found_and_named():
    """A model that is told the labels follows them on rows it never learned."""
    batches = {split: with_labels(of) for split, of in windowed.SPLITS.items()}
    columns = {"static": ["size", "age", "beta", "return"]}
    verdict = verdicts(windowed.subject(Told, batches=batches, columns=columns))[OTHERS]
    assert verdict.status == Status.FAIL
    assert verdict.culprit.path == "static:return"


def test_scores_that_are_no_numbers_learn_nothing():
    """NaN fails where something should be learned, and is not judged where nothing should."""
    found = verdicts(windowed.subject(scores=lambda outputs: outputs * torch.nan))
    assert [found[HEART].status, found[OTHERS].status] == [Status.FAIL, Status.SKIP]


def test_too_few_weights_are_not_judged():
    """A line with three numbers cannot hold the labels of 64 rows; that is said."""

    def three():
        return nn.Linear(3, 1)

    batches = [({"x": torch.randn(80, 3), "day": torch.zeros(80).long()}, torch.randn(80, 1))]
    subject = windowed.subject(
        model=three,
        batches=lambda split: batches,
        call=lambda model, inputs: model(inputs["x"]),
        loss=nn.functional.mse_loss,
    )
    verdict = verdicts(subject)[HEART]
    assert verdict.status == Status.SKIP
    assert "4 weights and 64 rows" in verdict.measured


def test_a_class_that_never_came_up_is_not_judged():
    """Labels of one value cannot be learned by heart."""
    batches = {split: [(i, 0 * y) for i, y in of] for split, of in windowed.SPLITS.items()}
    found = verdicts(windowed.subject(batches=batches))
    assert {v.status for v in found.values()} <= {Status.SKIP, Status.ERROR}


def test_the_first_rows_keep_their_edges():
    """Edges within the rows that are kept join the same rows; the others go."""
    inputs, targets = windowed.SPLITS["train"][0]
    cut, labels = first_rows(windowed.subject(), inputs, targets, 10)
    assert torch.equal(cut["features"], inputs["features"][:10])
    assert labels.shape == (10, windowed.HORIZONS)
    source, target = inputs["edge_index"]
    within = (source < 10) & (target < 10)
    assert torch.equal(cut["edge_index"], inputs["edge_index"][:, within])


def test_random_labels_of_others_agree_as_often_as_stated():
    """Over many seeds, the agreement with labels never learned spreads by its stated error."""
    subject = windowed.subject(optimizer=stalled)
    found = [memory(Case(subject, seed=seed)).others for seed in range(30)]
    ratios = np.array([one.value / one.error for one in found])
    # The mean square of 30 standard normals: its spread is the root of 2 / 30.
    assert abs(np.square(ratios).mean() - 1) < 4 * np.sqrt(2 / 30)
