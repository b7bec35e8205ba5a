"""Rounding stays small: in float32, under autocast, and after a hair's change of inputs."""

import pytest
import torch
from torch import nn

from flatline.harness import Status
from harness.contracted import DAYS, FEATURES, HIDDEN, HORIZONS, STOCKS, Ranker, subject, verdict


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


STEPS, SIZES = 10, torch.tensor([1.0, 1e8])


def windows(split):
    """Windows of a price that moves by 1 and a volume of 1e8, each stock on its own level."""
    draw = torch.Generator().manual_seed(len(split))
    rows = DAYS * STOCKS
    level = 10 ** torch.linspace(0, 3, STOCKS).repeat(DAYS)[:, None, None]
    features = SIZES * level * (5 + torch.randn(rows, STEPS, 2, generator=draw))
    inputs = {"features": features, "group_day": torch.arange(rows) // STOCKS}
    return [(inputs, torch.randn(rows, HORIZONS, generator=draw))]


class PerWindow(Ranker):
    """Takes level and spread off every window before it is read."""

    def __init__(self):
        super().__init__()
        self.norm, self.encoder = nn.Identity(), nn.Linear(2 * STEPS, HIDDEN)

    def encode(self, features):
        """What is known of each row."""
        apart = features - features.mean(1, keepdim=True)
        return super().encode(self.seen(apart / apart.std(1, keepdim=True)).flatten(1))

    def seen(self, windows):
        """What is read of the windows."""
        return windows


class SteepPerWindow(PerWindow):
    """The same, and then a wave too short."""

    def seen(self, windows):
        """What is read of the windows."""
        return torch.sin(1e6 * windows)


def test_each_feature_is_nudged_in_its_own_units():
    """A volume of 1e8 beside it does not move a price by thousands of its spreads."""
    healthy = verdict("well_conditioned", subject(PerWindow, batches=windows))
    assert healthy.status == Status.PASS
    assert healthy.value < 10
    faulty = verdict("well_conditioned", subject(SteepPerWindow, batches=windows))
    assert faulty.status == Status.FAIL


def one_row(split):
    """A batch of one row."""
    draw = torch.Generator().manual_seed(len(split))
    inputs = {
        "features": torch.randn(1, FEATURES, generator=draw),
        "group_day": torch.zeros(1).long(),
    }
    return [(inputs, torch.randn(1, HORIZONS, generator=draw))]


class Plain(Ranker):
    """Without statistics of the batch."""

    def __init__(self):
        super().__init__()
        self.norm = nn.Identity()


class PlainCancels(Plain):
    """The spread of a row by the difference of two squares far larger than it."""

    encode = Cancels.encode


def test_one_row_has_no_spread():
    """Its condition is not judged, and rounding is held against its size."""
    found = verdict("well_conditioned", subject(Plain, batches=one_row))
    assert found.status == Status.SKIP
    assert "one row" in found.measured
    assert verdict("float64_agrees", subject(Plain, batches=one_row)).status == Status.PASS
    faulty = verdict("float64_agrees", subject(PlainCancels, batches=one_row))
    assert faulty.status == Status.FAIL
    assert "of their size" in faulty.measured
