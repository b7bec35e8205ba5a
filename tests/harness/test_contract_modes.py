"""Train mode and eval mode differ by dropout and batch statistics, and by nothing else."""

import pytest
import torch
from torch import nn

from flatline.harness import Status
from flatline.harness.probes.modes import WithoutDropout
from harness.contracted import FEATURES, Ranker, subject, verdict


class StaysInTraining(Ranker):
    """A norm that was to be kept from changing, and is kept from eval mode."""

    def train(self, mode=True):
        """Set the mode of all but the norm."""
        super().train(mode)
        self.norm.training = True
        return self


class Counts(Ranker):
    """Follows the level of what it sees, whoever asks."""

    def __init__(self):
        super().__init__()
        self.register_buffer("level", torch.zeros(FEATURES))

    def encode(self, features):
        """What is known of each row."""
        self.level = 0.9 * self.level + 0.1 * features.detach().mean(0)
        return super().encode(features - self.level)


@pytest.mark.parametrize(
    ("model", "culprit"),
    [
        pytest.param(StaysInTraining, "norm", id="norm-in-train-mode"),
        pytest.param(Counts, "Counts", id="state-changed-in-eval"),
    ],
)
def test_eval_mode_leaves_the_model_alone(model, culprit):
    """The norm module is named, or the module whose state moves."""
    assert verdict("eval_mode_is_still", subject()).status == Status.PASS
    found = verdict("eval_mode_is_still", subject(model))
    assert found.status == Status.FAIL
    assert found.culprit.path == culprit


class OtherBranch(Ranker):
    """Passes the encoder by once it is used."""

    def __init__(self):
        super().__init__()
        self.short = nn.Linear(FEATURES, self.head.in_features)

    def encode(self, features):
        """What is known of each row."""
        return super().encode(features) if self.training else self.short(features)


class Squashed(Ranker):
    """Squashes its scores in train mode only."""

    def forward(self, batch):
        """Scores of every row."""
        point = super().forward(batch)["point"]
        return {"point": torch.tanh(3 * point) if self.training else point}


class NoisyAndSquashed(Squashed):
    """And shakes them a little."""

    def encode(self, features):
        """What is known of each row."""
        noise = 1e-3 * torch.randn_like(features) if self.training else 0.0
        return super().encode(features + noise)


@pytest.mark.parametrize("model", [OtherBranch, Squashed, NoisyAndSquashed])
def test_another_function_in_train_mode_is_caught(model):
    """Dropout and batch norm are set aside on both sides."""
    assert verdict("modes_agree", subject()).status == Status.PASS
    found = verdict("modes_agree", subject(model))
    assert found.status == Status.FAIL
    assert found.hint


def test_the_module_at_which_the_modes_part_is_named():
    """The first whose output differs."""
    assert verdict("modes_agree", subject(OtherBranch)).culprit.path == "head"


def attention():
    """Dropout within torch's own attention."""
    layer = nn.MultiheadAttention(4, 2, dropout=0.5, batch_first=True)
    return lambda x: layer(x, x, x)[0]


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        pytest.param(lambda: nn.Dropout(0.5), (6, 4), id="dropout"),
        pytest.param(lambda: nn.Dropout2d(0.5), (2, 3, 4, 4), id="dropout-2d"),
        pytest.param(lambda: nn.AlphaDropout(0.5), (6, 4), id="alpha-dropout"),
        pytest.param(nn.RReLU, (6, 4), id="random-slope"),
        pytest.param(attention, (2, 3, 4), id="attention"),
        pytest.param(lambda: nn.BatchNorm1d(4), (6, 4), id="batch-norm"),
        pytest.param(
            lambda: nn.LSTM(4, 4, num_layers=2, dropout=0.5, batch_first=True), (2, 3, 4), id="lstm"
        ),
    ],
)
def test_dropout_is_found_in_whatever_layer(make, shape):
    """Two passes in train mode are equal, and equal to what eval mode gives."""
    layer, x = make(), torch.randn(shape)

    def first(y):
        return y[0] if isinstance(y, tuple) else y

    with WithoutDropout():
        one, two = first(layer(x)), first(layer(x))
    assert torch.equal(one, two)
    if isinstance(layer, nn.Module):
        torch.testing.assert_close(one, first(layer.eval()(x)))
