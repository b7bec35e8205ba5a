"""A series whose batches hold one row each: nothing to change place with in its own batch."""

import pytest
import torch
from torch import nn

from flatline.harness import Status, Subject
from flatline.harness.case import Case
from flatline.harness.suite import judge
from flatline.harness.suites import CHECKS

BY_ID = {check.id: check for check in CHECKS}
DAYS, FEATURES = 60, 4


def world(split):
    """One day a batch; the label follows the first feature."""
    draw = torch.Generator().manual_seed(len(split))
    features = torch.randn(DAYS, 1, FEATURES, generator=draw)
    label = features[:, :, :1] + 0.3 * torch.randn(DAYS, 1, 1, generator=draw)
    return [
        ({"x": x, "day": torch.tensor([day])}, y)
        for day, (x, y) in enumerate(zip(features, label, strict=True))
    ]


class Reads(nn.Module):
    """A hidden layer."""

    def __init__(self):
        super().__init__()
        self.hidden = nn.Linear(FEATURES, 8)
        self.head = nn.Linear(8, 1)

    def forward(self, inputs):
        """The score of the day."""
        return self.head(torch.tanh(self.hidden(inputs["x"])))


class KnowsTheDay(Reads):
    """Scores that differ by the date alone."""

    def __init__(self):
        super().__init__()
        self.day = nn.Embedding(DAYS, 8)

    def forward(self, inputs):
        """The score of the day."""
        return self.head(torch.tanh(0 * self.hidden(inputs["x"]) + self.day(inputs["day"])))


def verdict(check, model=Reads):
    """What one check says of a model of the series."""
    one = Subject(
        name="single rows",
        model=model,
        batches=world,
        loss=nn.functional.mse_loss,
        scores=lambda outputs: outputs,
        axis="time",
    )
    return judge(BY_ID[check], Case(one, steps=30))


@pytest.mark.parametrize("check", ["start_scores_vary", "scores_follow_inputs"])
def test_a_row_alone_changes_place_with_that_of_another_batch(check):
    """A model of the date alone does not follow that; one of the features does."""
    assert verdict(check).status == Status.PASS
    found = verdict(check, KnowsTheDay)
    assert found.status == Status.FAIL
    assert "input-independent" in found.hint


@pytest.mark.parametrize(
    "check",
    [
        "loss_tells_good_from_bad",
        "learns_both_halves",
        "overfits_one_batch",
        "shuffled_targets_show_nothing",
        "shifted_scores_vary",
    ],
)
def test_what_takes_two_rows_is_not_judged_by_one(check):
    """With the reason."""
    found = verdict(check)
    assert found.status == Status.SKIP
    assert found.measured.startswith("not judged: ")
