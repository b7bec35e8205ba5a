"""What a subject learned is judged where chance leaves room to tell: few batches, tiny models."""

import pytest
import torch
from torch import nn

from flatline.harness import Status, examine
from flatline.harness.suites import CHECKS
from harness.test_suite import SPLITS, STEPS, Ranker, stalled, subject

BY_ID = {check.id: check for check in CHECKS}


def judged(check, **parts):
    """One verdict on the toy with other parts, after a training."""
    return examine(subject(**parts), checks=[BY_ID[check]], steps=STEPS).verdicts[0]


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_training_on_few_batches_is_not_failed(count):
    """It learns what it has; beside it one that does not move, and one that runs away."""

    def batches(split):
        return SPLITS[split][:count]

    def backwards(model):
        return torch.optim.SGD(model.parameters(), lr=1e-2, maximize=True)

    assert judged("loss_falls", batches=batches).status in {Status.PASS, Status.SKIP}
    for optimizer in (stalled, backwards):
        still = judged("loss_falls", batches=batches, optimizer=optimizer)
        assert still.status != Status.PASS
    assert still.status == Status.FAIL


class OneWeight(nn.Module):
    """A line through the one feature that matters: fresh ones rank all stocks right, or wrong."""

    def __init__(self):
        super().__init__()
        self.line = nn.Linear(1, 2)

    def forward(self, inputs):
        """Scores of every row."""
        return self.line(inputs["features"][:, :1])


def test_skill_of_a_model_with_one_weight_is_not_judged():
    """Its luck reaches all there is; beside it a model whose luck leaves room."""
    tiny, usual = (judged("skill_against_oracle", model=m) for m in (OneWeight, Ranker))
    assert (tiny.status, usual.status) == (Status.SKIP, Status.PASS)
    assert "of untrained models has a rank correlation" in tiny.measured
