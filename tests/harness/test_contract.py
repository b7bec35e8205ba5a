"""A healthy model of any make passes the contract; each breach is caught by its own check."""

import pytest
import torch
from torch import nn

from flatline.harness import Status
from flatline.harness.case import Case
from flatline.harness.suite import judge
from harness.contracted import (
    FEATURES,
    HIDDEN,
    HORIZONS,
    STOCKS,
    UNTRAINED,
    Ranker,
    batches,
    subject,
    verdict,
)


class Recurrent(nn.Module):
    """Two layers with dropout between them, over the features as if they were steps."""

    def __init__(self, kind):
        super().__init__()
        self.body = kind(1, HIDDEN, num_layers=2, dropout=0.5, batch_first=True)
        self.head = nn.Linear(HIDDEN, HORIZONS)

    def forward(self, features, group_day):
        """Scores of every row."""
        return {"point": self.head(self.body(features[..., None])[0][:, -1])}


class Attending(nn.Module):
    """Layers of torch's own transformer, which takes a shortcut in eval mode."""

    def __init__(self):
        super().__init__()
        layer = nn.TransformerEncoderLayer(HIDDEN, 2, 16, dropout=0.4, batch_first=True)
        self.enter = nn.Linear(1, HIDDEN)
        self.body = nn.TransformerEncoder(layer, 2)
        self.place = nn.Parameter(torch.linspace(-1, 1, FEATURES)[:, None], requires_grad=False)
        self.head = nn.Linear(HIDDEN, HORIZONS)

    def forward(self, batch):
        """Scores of every row."""
        steps = self.enter(batch["features"][..., None] + self.place)
        return {"point": self.head(self.body(steps).mean(1))}


class Tied(Ranker):
    """One weight in two places, its norm parted off, and a gate that starts at zero."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.utils.parametrizations.weight_norm(self.encoder)
        self.again = nn.Linear(HIDDEN, HORIZONS)
        self.again.weight = self.head.weight
        self.gate = nn.Parameter(torch.zeros(HORIZONS))
        self.behind = nn.Linear(FEATURES, HORIZONS)

    def forward(self, batch):
        """Scores of every row."""
        state = self.encode(batch["features"])
        late = self.gate * self.behind(batch["features"])
        return {"point": self.head(state) + self.again(state) + late}


class Noisy(Ranker):
    """Noise of its own making while it is trained."""

    def encode(self, features):
        """What is known of each row."""
        if self.training:
            features = features + 0.1 * torch.randn_like(features)
        return super().encode(features)


class Careful(Ranker):
    """A plain tensor, moved to where it is used; a list of options; a cast of its own."""

    def __init__(self):
        super().__init__()
        self.scale = torch.linspace(0.5, 1.5, FEATURES)
        self.levels = [0.1, 0.5, 0.9]

    def encode(self, features):
        """What is known of each row."""
        scale = self.scale.unsqueeze(0).to(features.device)
        return super().encode(features * scale[:, : len(self.levels) + 2])


class OneDay(Ranker):
    """Takes one tensor, returns one."""

    def forward(self, features):
        """Scores of every row."""
        return self.head(self.encode(features))[:, 0]


ONE_DAY = {
    "batches": {
        split: [(inputs["features"][:STOCKS], y[:STOCKS, 0]) for inputs, y in batches(split)]
        for split in ("train", "valid")
    },
    "days": "batch",
    "loss": nn.MSELoss(),
    "scores": lambda outputs: outputs,
}


@pytest.mark.parametrize(
    "one",
    [
        pytest.param(subject(), id="ranker"),
        pytest.param(subject(lambda: Recurrent(nn.LSTM)), id="lstm"),
        pytest.param(subject(lambda: Recurrent(nn.GRU)), id="gru"),
        pytest.param(subject(Attending), id="transformer"),
        pytest.param(subject(Tied), id="tied-and-gated"),
        pytest.param(subject(Noisy), id="noisy-training"),
        pytest.param(subject(Careful), id="plain-tensor-moved"),
        pytest.param(subject(OneDay, **ONE_DAY), id="one-day-one-tensor"),
    ],
)
@pytest.mark.parametrize("seed", range(3))
def test_a_healthy_model_of_any_make_keeps_the_contract(one, seed):
    """No verdict is a failure or an error."""
    case = Case(one, steps=2, seed=seed)
    found = [judge(check, case) for check in UNTRAINED]
    bad = [v for v in found if v.status in {Status.FAIL, Status.ERROR}]
    assert {v.check: v.measured for v in bad} == {}


def test_the_layer_takes_a_moment():
    """All that needs no training, within the 3 s that a small subject is given."""
    case = Case(subject(), steps=2)
    assert sum(judge(check, case).seconds for check in UNTRAINED) < 3


class Frozen(Ranker):
    """An encoder that someone meant to thaw again."""

    def __init__(self):
        super().__init__()
        self.encoder.requires_grad_(False)


class NoDecay(Ranker):
    """A table of random numbers that does not learn."""

    def __init__(self):
        super().__init__()
        self.table = nn.Parameter(torch.randn(FEATURES), requires_grad=False)

    def encode(self, features):
        """What is known of each row."""
        return super().encode(features + self.table)


def for_the_encoder(model):
    """An optimizer that was made before the head was."""
    return torch.optim.AdamW(model.encoder.parameters())


def replaced_later(model):
    """The head is replaced once the optimizer is made."""
    optimizer = torch.optim.AdamW(model.parameters())
    model.head = nn.Linear(HIDDEN, HORIZONS)
    return optimizer


class GrowsLater(Ranker):
    """Makes its head in the first pass."""

    def __init__(self):
        super().__init__()
        del self.head

    def forward(self, batch):
        """Scores of every row."""
        state = self.encode(batch["features"])
        if not hasattr(self, "head"):
            self.head = nn.Linear(HIDDEN, HORIZONS)
        return {"point": self.head(state)}


@pytest.mark.parametrize(
    ("check", "faulty", "culprit"),
    [
        pytest.param("nothing_frozen", subject(Frozen), "encoder", id="frozen-encoder"),
        pytest.param("nothing_frozen", subject(NoDecay), "table", id="frozen-random-table"),
        pytest.param(
            "optimizer_holds_all", subject(optimizer=for_the_encoder), "head", id="encoder-only"
        ),
        pytest.param(
            "optimizer_holds_all", subject(optimizer=replaced_later), "head", id="replaced-later"
        ),
        pytest.param("optimizer_holds_all", subject(GrowsLater), "head", id="made-in-forward"),
    ],
)
def test_what_is_not_trained_is_named(check, faulty, culprit):
    """Beside the healthy subject, of which the same check says nothing."""
    assert verdict(check, subject()).status == Status.PASS
    found = verdict(check, faulty)
    assert found.status == Status.FAIL
    assert found.hint
    assert found.culprit.path == culprit
    assert found.culprit.line is not None


def test_what_is_declared_may_stay_frozen():
    """By the path of a module, or by the name of a parameter."""
    assert verdict("nothing_frozen", subject(Frozen, frozen=["encoder"])).status == Status.PASS
    named = subject(Frozen, frozen=["encoder.weight"])
    assert (
        "encoder.bias has requires_grad=False" in verdict("nothing_frozen", named).culprit.evidence
    )


def test_a_subject_that_trains_itself_has_no_optimizer_to_look_into():
    """It is skipped with the reason, unless it gives both."""
    found = verdict("optimizer_holds_all", subject(fit=lambda model, batches, steps: None))
    assert found.status == Status.SKIP
    assert "own `fit`" in found.measured


class Detached(Ranker):
    """No gradient reaches what is before the head."""

    def encode(self, features):
        """What is known of each row."""
        return super().encode(features).detach()


class ShutForGood(Tied):
    """A gate at zero that does not open, and all behind it."""

    def __init__(self):
        super().__init__()
        nn.init.zeros_(self.behind.weight)
        nn.init.zeros_(self.behind.bias)


class NeverCalled(Ranker):
    """Owns a layer that its forward does not use."""

    def __init__(self):
        super().__init__()
        self.spare = nn.Linear(FEATURES, HIDDEN)


class TimesZero(NeverCalled):
    """Uses it to no effect, so that only its decay moves it."""

    def encode(self, features):
        """What is known of each row."""
        return super().encode(features) + 0.0 * self.spare(features)


@pytest.mark.parametrize("model", [NeverCalled, TimesZero])
@pytest.mark.parametrize("check", ["blocks_get_gradient", "blocks_move"])
def test_a_layer_without_effect_is_named_unless_it_is_declared(check, model):
    """Weight decay moves it, and that is no learning; someone else's code may have such layers."""
    assert verdict(check, subject()).status == Status.PASS
    found = verdict(check, subject(model))
    assert found.status == Status.FAIL
    assert found.culprit.path == "spare"
    assert verdict(check, subject(model, frozen=["spare"])).status == Status.PASS


@pytest.mark.parametrize(
    ("model", "culprit"),
    [
        pytest.param(Detached, "encoder", id="detached"),
        pytest.param(ShutForGood, "behind", id="zero-behind-zero"),
    ],
)
def test_a_gate_that_opens_is_no_dead_block(model, culprit):
    """What starts at zero gets gradient after a step; what is cut off never does."""
    assert verdict("blocks_get_gradient", subject(Tied)).status == Status.PASS
    found = verdict("blocks_get_gradient", subject(model))
    assert found.status == Status.FAIL
    assert found.culprit.path == culprit
