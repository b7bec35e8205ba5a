"""The subject's own evaluation loop: a sound one, and loops that are not, side by side."""

import pytest
import torch
from torch import nn

from flatline.harness import CHECKS, Case, Status, Subject, judge

(CHECK,) = (check for check in CHECKS if check.id == "predictions_agree")


class Net(nn.Module):
    """A layer with dropout."""

    def __init__(self):
        super().__init__()
        self.drop, self.head = nn.Dropout(0.3), nn.Linear(5, 2)

    def forward(self, inputs):
        """Scores of every row."""
        return self.head(self.drop(inputs["features"]))


def world(seed, days=4):
    """A few days, the last one shorter."""
    draw = torch.Generator().manual_seed(seed)
    sizes = [30] * (days - 1) + [12]
    return [
        (
            {"features": torch.randn(n, 5, generator=draw), "day": torch.full((n,), day)},
            torch.randn(n, 2, generator=draw),
        )
        for day, n in enumerate(sizes)
    ]


SPLITS = {"train": world(1), "valid": world(2)}


def rows(model, batches):
    """Scores, targets and days of all rows."""
    with torch.no_grad():
        found = [(model(x), y, x["day"]) for x, y in batches]
    return tuple(torch.cat(column) for column in zip(*found, strict=True))


def sound(model, split):
    """Eval mode, every batch, in another order."""
    model.eval()
    score, target, day = rows(model, SPLITS[split])
    order = torch.randperm(len(day))
    return score[order].numpy(), target[order].numpy(), day[order].numpy()


def in_train_mode(model, split):
    """Dropout stays on, so that a constant model shows a spread."""
    return rows(model.train(), SPLITS[split])


def last_dropped(model, split):
    """The short last batch is dropped."""
    return rows(model.eval(), SPLITS[split][:-1])


def swapped(model, split):
    """Horizons in another order than the labels."""
    score, target, day = rows(model.eval(), SPLITS[split])
    return score.flip(1), target, day


def misaligned(model, split):
    """Scores of other rows than the targets beside them."""
    score, target, day = rows(model.eval(), SPLITS[split])
    return score.roll(1, 0), target, day


@pytest.mark.parametrize(
    ("predict", "evidence"),
    [
        pytest.param(sound, None, id="healthy"),
        pytest.param(in_train_mode, "scores differ by up to", id="dropout-in-validation"),
        pytest.param(last_dropped, "90 of 102 rows are scored", id="last-batch-dropped"),
        pytest.param(swapped, "scores differ by up to", id="horizons-swapped"),
        pytest.param(misaligned, "scores differ by up to", id="rows-misaligned"),
    ],
)
def test_an_evaluation_loop_scores_every_row_in_eval_mode(predict, evidence):
    """Only the sound loop passes; the others are named with their code."""
    subject = Subject(
        name="toy", model=Net, batches=SPLITS, loss=nn.functional.mse_loss,
        scores=lambda outputs: outputs, predict=predict,
    )  # fmt: skip
    verdict = judge(CHECK, Case(subject, steps=3))
    if evidence is None:
        assert verdict.status == Status.PASS
        return
    assert verdict.status == Status.FAIL
    assert evidence in verdict.culprit.evidence
    assert verdict.culprit.line == predict.__code__.co_firstlineno
