"""Rounding stays small: in float32, under autocast, and after a hair's change of inputs."""

import pytest
import torch
from torch import nn

from flatline.harness import Status
from harness.contracted import HIDDEN, HORIZONS, Ranker, subject, verdict


class Cancels(Ranker):
    """The spread of a row by the difference of two squares far larger than it."""

    def encode(self, features):
        """What is known of each row."""
        far = features + 300.0
        spread = far.square().mean(1, keepdim=True) - far.mean(1, keepdim=True).square()
        return torch.tanh(spread + 0.0 * self.encoder(features))


class Drowned(Ranker):
    """Scores behind a level a thousand times their size, which is taken off again."""

    def __init__(self):
        super().__init__()
        self.lift = nn.Linear(HIDDEN, HIDDEN)
        nn.init.constant_(self.lift.bias, 1e3)
        self.lower = nn.Linear(HIDDEN, HIDDEN)
        nn.init.eye_(self.lower.weight)
        nn.init.constant_(self.lower.bias, -1e3)

    def encode(self, features):
        """What is known of each row."""
        return self.lower(self.lift(super().encode(features)))


class Steep(Ranker):
    """A wave so short that inputs next to each other have nothing in common."""

    def encode(self, features):
        """What is known of each row."""
        return super().encode(torch.sin(1e6 * features))


class OverItsSpread(Ranker):
    """Divides a row that is constant by its own spread."""

    def encode(self, features):
        """What is known of each row."""
        level = features[:, :1].expand_as(features) + 1e-7 * features
        return super().encode((level - level.mean(1, keepdim=True)) / level.std(1, keepdim=True))


@pytest.mark.parametrize(
    ("check", "model"),
    [
        pytest.param("float64_agrees", Cancels, id="cancellation"),
        pytest.param("bf16_agrees", Drowned, id="drowned-in-bf16"),
        pytest.param("well_conditioned", Steep, id="steep"),
        pytest.param("well_conditioned", OverItsSpread, id="division-by-a-spread-of-nothing"),
    ],
)
def test_lost_digits_are_caught(check, model):
    """Beside the healthy subject."""
    assert verdict(check, subject()).status == Status.PASS
    found = verdict(check, subject(model))
    assert found.status == Status.FAIL
    assert found.value > found.bound
    assert found.hint


def test_the_first_module_that_is_off_is_named():
    """In bfloat16 a level of 1000 leaves steps of 4."""
    assert verdict("bf16_agrees", subject(Drowned)).culprit.path in {"lift", "lower"}


class OnlySingle(Ranker):
    """Makes float32 numbers of its own."""

    def encode(self, features):
        """What is known of each row."""
        return super().encode(features) @ torch.eye(HIDDEN, dtype=torch.float32)


def test_a_model_of_one_precision_is_not_judged_at_another():
    """The reason says what it raised."""
    found = verdict("float64_agrees", subject(OnlySingle))
    assert found.status == Status.SKIP
    assert "does not run in float64 (RuntimeError" in found.measured


class Constant(Ranker):
    """The same score for all, whatever comes in."""

    def forward(self, batch):
        """Scores of every row."""
        return {"point": torch.full((len(batch["features"]), HORIZONS), 0.1) + 0 * self.head.bias}


@pytest.mark.parametrize("check", ["float64_agrees", "bf16_agrees", "well_conditioned"])
def test_a_constant_loses_no_digits(check):
    """That it is constant is for others to say."""
    assert verdict(check, subject(Constant)).status == Status.PASS


class NotANumber(Ranker):
    """Scores that are no numbers."""

    def forward(self, batch):
        """Scores of every row."""
        return {"point": super().forward(batch)["point"] * torch.nan}


@pytest.mark.parametrize("check", ["float64_agrees", "bf16_agrees", "well_conditioned"])
def test_what_is_no_number_does_not_agree(check):
    """A NaN never passes for a small difference."""
    assert verdict(check, subject(NotANumber)).status == Status.FAIL
