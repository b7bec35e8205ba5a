"""A model is more than one object: fresh ones, copies, states and files."""

import json
import pickle

import pytest
import torch
from safetensors.torch import load_model, save_model
from torch import nn

from flatline.harness import Status
from flatline.harness.case import Case
from flatline.harness.probes.passes import first_steps
from flatline.harness.probes.saving import unpickling
from flatline.harness.suite import judge
from harness.contracted import BY_ID, FEATURES, HORIZONS, Ranker, subject, verdict

ONLY = Ranker()


class SharedLayers(Ranker):
    """A default that all instances share."""

    def __init__(self, layers=[]):  # noqa: B006 (that is the fault)
        super().__init__()
        layers.append(self.encoder)
        self.encoder = layers[0]


class Unseeded(Ranker):
    """Weights from a generator of its own."""

    draw = torch.Generator().manual_seed(0)

    def __init__(self):
        super().__init__()
        nn.init.normal_(self.head.weight, generator=self.draw)


@pytest.mark.parametrize(
    ("model", "culprit"),
    [
        pytest.param(lambda: ONLY, "norm", id="the-same-object"),
        pytest.param(SharedLayers, "encoder", id="mutable-default"),
        pytest.param(Unseeded, "head", id="own-generator"),
    ],
)
def test_models_that_are_not_fresh_are_caught(model, culprit):
    """What they share or differ in is named."""
    assert verdict("models_are_fresh", subject()).status == Status.PASS
    found = verdict("models_are_fresh", subject(model))
    assert found.status == Status.FAIL
    assert found.culprit.path == culprit


TABLE, GRID = torch.randn(FEATURES, FEATURES), torch.linspace(0.5, 1.5, FEATURES)
RUNNING = torch.zeros(FEATURES)


class Pretrained(Ranker):
    """A frozen table and a constant, both in the memory that they came in."""

    def __init__(self):
        super().__init__()
        self.table = nn.Embedding.from_pretrained(TABLE)
        self.register_buffer("grid", GRID)

    def encode(self, features):
        """What is known of each row."""
        return super().encode(features * self.grid + self.table.weight[0])


class Thawed(Pretrained):
    """The same table, trained."""

    def __init__(self):
        super().__init__()
        self.table = nn.Embedding.from_pretrained(TABLE, freeze=False)


class RunsOn(Pretrained):
    """A running level that every model of the class adds to."""

    def __init__(self):
        super().__init__()
        self.register_buffer("level", RUNNING)

    def encode(self, features):
        """What is known of each row."""
        if self.training:
            self.level.add_(0.1 * features.detach().mean(0))
        return super().encode(features - self.level)


def test_constants_may_be_shared():
    """What no training changes; a table that is trained, or a level that runs, may not."""
    assert verdict("models_are_fresh", subject(Pretrained)).status == Status.PASS
    for model, name in ((Thawed, "table.weight"), (RunsOn, "level")):
        found = verdict("models_are_fresh", subject(model))
        assert found.status == Status.FAIL
        assert found.culprit.evidence.startswith(name)


class HoldsALambda(Ranker):
    """A function without a name in one of its parts."""

    def __init__(self):
        super().__init__()
        self.drop.decide = lambda: 0.3


class HoldsHistory(Ranker):
    """Remembers a tensor with all that it was made of."""

    def encode(self, features):
        """What is known of each row."""
        state = super().encode(features)
        self.last = state if state.requires_grad else getattr(self, "last", None)
        return state


class RemembersOutputs(Ranker):
    """Keeps of its last pass what no pickle can hold."""

    def forward(self, batch):
        """Scores of every row."""
        self.last = lambda: batch
        return super().forward(batch)


def test_a_model_is_pickled_as_a_worker_gets_it():
    """Before its first pass: what it remembers of later ones stays where it was made."""
    assert verdict("pickle_agrees", subject(RemembersOutputs)).status == Status.PASS


class Forgets(Ranker):
    """Copies without its scale."""

    def __init__(self):
        super().__init__()
        self.scale = 2.0

    def __getstate__(self):
        """All but the scale."""
        return self.__dict__ | {"scale": 1.0}

    def encode(self, features):
        """What is known of each row."""
        return super().encode(self.scale * features)


@pytest.mark.parametrize(
    ("check", "model", "path"),
    [
        pytest.param("pickle_agrees", HoldsALambda, "drop", id="lambda"),
        pytest.param("deepcopy_agrees", HoldsHistory, "HoldsHistory", id="history"),
        pytest.param("deepcopy_agrees", Forgets, None, id="forgets-in-copy"),
        pytest.param("pickle_agrees", Forgets, None, id="forgets-in-pickle"),
    ],
)
def test_a_copy_that_fails_or_differs_is_caught(check, model, path):
    """The module that stands in the way is named, and its attribute."""
    assert verdict(check, subject()).status == Status.PASS
    found = verdict(check, subject(model))
    assert found.status == Status.FAIL
    if path is not None:
        assert found.culprit.path == path
        assert ("last" if path == "HoldsHistory" else "decide") in found.culprit.evidence


class Projects(Ranker):
    """A random projection that no state holds."""

    def __init__(self):
        super().__init__()
        self.projection = torch.randn(FEATURES, FEATURES)

    def encode(self, features):
        """What is known of each row."""
        return super().encode(features @ self.projection.to(features))


class Averages(Ranker):
    """A running level that no state holds."""

    def __init__(self):
        super().__init__()
        self.level = 0.0

    def encode(self, features):
        """What is known of each row."""
        if self.training:
            self.level = 0.9 * self.level + 0.1 * float(features.abs().mean())
        return super().encode(features + self.level)


class NotPersistent(Ranker):
    """A buffer that is not saved."""

    def __init__(self):
        super().__init__()
        self.register_buffer("table", torch.randn(FEATURES), persistent=False)

    def encode(self, features):
        """What is known of each row."""
        return super().encode(features * self.table)


class Renames(Ranker):
    """A layer that is there after training only."""

    def forward(self, batch):
        """Scores of every row."""
        if self.training and not hasattr(self, "late"):
            self.late = nn.Linear(HORIZONS, HORIZONS)
        return super().forward(batch)


@pytest.mark.parametrize(
    ("model", "says"),
    [
        pytest.param(Projects, "projection", id="random-attribute"),
        pytest.param(Averages, "level", id="running-attribute"),
        pytest.param(NotPersistent, "table", id="buffer-not-persistent"),
        pytest.param(Renames, "late.weight", id="late-layer"),
    ],
)
def test_state_that_a_state_dict_does_not_hold_is_named(model, says):
    """A fresh model of another seed takes over the state, and should score the same."""
    assert verdict("state_round_trips", subject()).status == Status.PASS
    found = verdict("state_round_trips", subject(model))
    assert found.status == Status.FAIL
    assert says in found.measured + (found.culprit.evidence if found.culprit else "")


class StaysBehind(Ranker):
    """A constant that is no buffer, used where it was made."""

    def __init__(self):
        super().__init__()
        self.scale = torch.linspace(0.5, 1.5, FEATURES)

    def encode(self, features):
        """What is known of each row."""
        return super().encode(features * self.scale[None])


class Listed(Ranker):
    """The same, in a list."""

    def __init__(self):
        super().__init__()
        self.scales = [torch.linspace(0.5, 1.5, FEATURES)]

    def encode(self, features):
        """What is known of each row."""
        return super().encode(features * self.scales[0])


class Moved(StaysBehind):
    """The same, brought to where it is used."""

    def encode(self, features):
        """What is known of each row."""
        return Ranker.encode(self, features * self.scale[None].to(features.device))


class Buffered(Ranker):
    """The same as a buffer."""

    def __init__(self):
        super().__init__()
        self.register_buffer("scale", torch.linspace(0.5, 1.5, FEATURES))

    def encode(self, features):
        """What is known of each row."""
        return super().encode(features * self.scale[None])


@pytest.mark.parametrize(
    ("model", "attribute"),
    [
        pytest.param(StaysBehind, "scale", id="attribute"),
        pytest.param(Listed, "scales", id="in-a-list"),
    ],
)
def test_a_tensor_that_stays_on_the_cpu_is_named(model, attribute):
    """Without a GPU: what it would meet there is followed through the forward."""
    for healthy in (Ranker, Moved, Buffered):
        assert verdict("tensors_move_along", subject(healthy)).status == Status.PASS
    found = verdict("tensors_move_along", subject(model))
    assert found.status == Status.FAIL
    assert f"register_buffer('{attribute}'" in found.culprit.remedy


@pytest.mark.gpu
@pytest.mark.parametrize("model", [StaysBehind, Listed])
def test_what_is_said_to_stay_behind_does(model, flatline_cuda):
    """On a GPU those models raise, and those that pass run."""
    features = torch.rand(4, FEATURES, device=flatline_cuda)
    with pytest.raises(RuntimeError, match="same device"):
        model().to(flatline_cuda)({"features": features})
    for healthy in (Ranker, Moved, Buffered):
        healthy().to(flatline_cuda)({"features": features})


FITTED = {"columns": ["gap", "range"], "normaliser": {"centre": [0.0, 1.0]}}


def save(model, path):
    """Weights, and beside them all that was fitted."""
    save_model(model, str(path))
    path.with_suffix(".json").write_text(json.dumps(FITTED))


def load(path):
    """The model, and what was fitted."""
    model = Ranker()
    load_model(model, str(path))
    return model, json.loads(path.with_suffix(".json").read_text())


def load_state(path):
    """By torch, weights only."""
    model = Ranker()
    model.load_state_dict(torch.load(path, weights_only=True))
    return model


def load_any(path):
    """By torch, whatever the file says."""
    return torch.load(path, weights_only=False)


def load_reversed(path):
    """The columns in another order."""
    model, fitted = load(path)
    return model, fitted | {"columns": fitted["columns"][::-1]}


def save_rounded(model, path):
    """Weights at half the digits."""
    torch.save({n: x.bfloat16().float() for n, x in model.state_dict().items()}, path)


def save_state(model, path):
    """By torch."""
    torch.save(model.state_dict(), path)


WHOLE = {"save": save, "load": load, "fitted": FITTED}
SAVED = ("saved_model_agrees", "loading_runs_no_code", "fitted_values_saved")


def test_a_subject_that_saves_all_of_it_passes():
    """By safetensors, or by torch's weights alone."""
    for check in SAVED:
        assert verdict(check, subject(**WHOLE)).status == Status.PASS
        assert verdict(check, subject()).status == Status.SKIP
    plain = subject(save=save_state, load=load_state)
    assert [verdict(check, plain).status for check in SAVED[:2]] == [Status.PASS, Status.PASS]


def save_and_spoil(model, path):
    """All of it, and no weight is left as it was."""
    save(model, path)
    for parameter in model.parameters():
        nn.init.zeros_(parameter)


def test_what_save_does_to_its_model_is_seen_by_no_other_check():
    """The model that later checks look at is another one."""
    case = Case(subject(**WHOLE | {"save": save_and_spoil}), steps=2)
    assert judge(BY_ID["saved_model_agrees"], case).status == Status.PASS
    assert all(bool(p.any()) for p in case.of(first_steps).model.parameters())


@pytest.mark.parametrize(
    ("check", "parts", "says"),
    [
        pytest.param(
            "saved_model_agrees",
            {"save": save_rounded, "load": load_state},
            "scores differ by up to",
            id="rounded",
        ),
        pytest.param(
            "saved_model_agrees",
            {"save": torch.save, "load": load_state},
            "UnpicklingError: Weights only load failed",
            id="pickle-refused",
        ),
        pytest.param(
            "saved_model_agrees",
            {"save": lambda model, path: None, "load": load_state},
            "FileNotFoundError",
            id="nothing-written",
        ),
        pytest.param(
            "loading_runs_no_code",
            {"save": torch.save, "load": load_any},
            "names that the file asked for, expected 0: ",
            id="code-in-pickle",
        ),
        pytest.param(
            "fitted_values_saved",
            {"save": save_state, "load": load_state, "fitted": FITTED},
            "2 are not in the file and 0 come back changed: columns, normaliser",
            id="scaler-left-behind",
        ),
        pytest.param(
            "fitted_values_saved",
            WHOLE | {"load": load_reversed},
            "0 are not in the file and 1 come back changed: columns",
            id="columns-in-another-order",
        ),
    ],
)
def test_what_a_file_loses_or_runs_is_caught(check, parts, says):
    """Beside the subject that saves all of it."""
    found = verdict(check, subject(**parts))
    assert found.status == Status.FAIL
    assert says in found.measured


def test_a_load_that_gives_no_model_is_an_error_with_the_line():
    """A state_dict is no model."""
    found = verdict("saved_model_agrees", subject(save=save_state, load=torch.load))
    assert found.status == Status.ERROR
    assert "Return `model` or `(model, {" in found.measured


def test_only_what_is_read_while_watched_is_heard():
    """Pickles read before or after are nobody's business."""
    text = pickle.dumps(nn.ReLU)
    with unpickling() as names:
        pass
    pickle.loads(text)  # noqa: S301 (of our own making)
    assert names == []
    with unpickling() as names:
        pickle.loads(text)  # noqa: S301
    assert names == ["torch.nn.modules.activation.ReLU"]
