"""A checkpoint gives back the very model it was made of, or says what differs."""

import json
import re

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn

from artifacts.cases import maker
from flatline.artifacts import (
    Manifest,
    load_checkpoint,
    read_manifest,
    save_checkpoint,
    signature_of,
)
from flatline.errors import ArtifactError, SettingsError
from flatline.models.registry import build_model


@pytest.fixture
def saved(tmp_path):
    """A model, and its checkpoint."""
    model = maker.make_model(maker.ATFT)
    path = tmp_path / "checkpoint.safetensors"
    save_checkpoint(path, model, maker.make_manifest(model, maker.ATFT))
    return model, path


def test_a_header_of_any_length_is_read(tmp_path):
    """Its length stands first, and may begin with the byte that a pickle begins with."""
    model, starts = maker.make_model(maker.APEX), set()
    manifest = maker.make_manifest(model, maker.APEX)
    for length in range(8, 8 * 34, 8):
        save_checkpoint(tmp_path / "c", model, manifest.model_copy(update={"run_id": "x" * length}))
        starts.add((tmp_path / "c").read_bytes()[0])
        assert read_manifest(tmp_path / "c").run_id == "x" * length
    assert 0x80 in starts


def other(**changed):
    """Builds the model of the manifest with another size or setting."""

    def build(settings, **sizes):
        settings = settings | {k: v for k, v in changed.items() if k not in sizes}
        return build_model(settings, **(sizes | {k: v for k, v in changed.items() if k in sizes}))

    return build


@pytest.mark.parametrize(
    "settings", [maker.ATFT, maker.PATCHTST, maker.APEX], ids=lambda s: s["name"]
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
def test_a_model_comes_back_to_the_bit(tmp_path, settings, dtype):
    """Weights, buffers, precision and manifest of every architecture; in evaluation mode."""
    model = maker.make_model(settings, dtype)
    manifest = maker.make_manifest(model, settings)
    save_checkpoint(tmp_path / "c", model, manifest)
    again, read = load_checkpoint(tmp_path / "c", build=build_model)
    assert read == manifest == read_manifest(tmp_path / "c")
    assert not again.training
    for name, tensor in model.state_dict().items():
        found = again.state_dict()[name]
        assert found.dtype == tensor.dtype
        assert torch.equal(found, tensor), name


def test_buffers_that_count_come_back(tmp_path):
    """What BatchNorm measured in training, its whole number of batches included."""
    model = maker.make_model(maker.PATCHTST).train()
    model(maker.draw_batch(0))
    save_checkpoint(tmp_path / "c", model, maker.make_manifest(model, maker.PATCHTST))
    again = load_checkpoint(tmp_path / "c", build=build_model).model
    counts = {n: t for n, t in again.state_dict().items() if n.endswith("num_batches_tracked")}
    assert counts
    assert all(int(count) == 1 for count in counts.values())
    batch = maker.draw_batch(1)
    assert torch.equal(again(batch).point, model.eval()(batch).point)


class Tied(nn.Module):
    """Two names for one tensor."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(3, 3, bias=False)
        self.second = nn.Linear(3, 3, bias=False)
        self.second.weight = self.first.weight

    def forward(self, batch):
        """Unused."""
        return batch


def test_shared_tensors_stay_shared(tmp_path):
    """Names that were one tensor are one again; a file in which they differ is refused."""
    manifest = maker.make_manifest(Tied(), maker.ATFT)
    model = Tied().bfloat16()
    save_checkpoint(tmp_path / "c", model, manifest)
    again = load_checkpoint(tmp_path / "c", build=lambda settings, **sizes: Tied()).model
    assert again.second.weight is again.first.weight
    assert again.first.weight.dtype == torch.bfloat16
    assert torch.equal(again.first.weight, model.first.weight)
    model.second.weight = nn.Parameter(model.second.weight + 1)
    save_checkpoint(tmp_path / "c", model, manifest)
    with pytest.raises(ArtifactError, match=r"has different first.weight and second.weight"):
        load_checkpoint(tmp_path / "c", build=lambda settings, **sizes: Tied())


def test_a_view_is_saved_whole(tmp_path):
    """A transposed weight is written as the numbers it stands for."""
    model = nn.Linear(2, 3, bias=False)
    model.weight = nn.Parameter(torch.arange(6.0).reshape(2, 3).T)
    save_checkpoint(tmp_path / "c", model, maker.make_manifest(model, maker.ATFT))
    again = load_checkpoint(
        tmp_path / "c", build=lambda settings, **sizes: nn.Linear(2, 3, bias=False)
    ).model
    assert torch.equal(again.weight, model.weight)


@pytest.mark.parametrize("wrap", [torch.compile, nn.DataParallel], ids=["compiled", "parallel"])
def test_wrappers_leave_no_trace(tmp_path, saved, wrap):
    """Names are those of the model itself."""
    model, path = saved
    save_checkpoint(tmp_path / "c", wrap(model), maker.make_manifest(model, maker.ATFT))
    assert (tmp_path / "c").read_bytes() == path.read_bytes()


def test_the_file_is_safetensors(saved):
    """Any other reader of the format finds the same tensors, and the manifest as text."""
    model, path = saved
    found = load_file(path)
    assert all(torch.equal(found[name], tensor) for name, tensor in model.state_dict().items())
    with safe_open(path, "pt") as file:
        manifest = json.loads(file.metadata()["manifest"])
    assert manifest["horizons"] == [1, 5]


def test_loading_leaves_the_random_numbers_alone(saved):
    """Building a model draws; whoever loads one does not notice."""
    torch.manual_seed(3)
    wanted = torch.rand(1)
    torch.manual_seed(3)
    load_checkpoint(saved[1], build=build_model)
    assert torch.equal(torch.rand(1), wanted)


def test_an_interrupted_write_leaves_the_old_file(saved, monkeypatch):
    """Whole or not at all, without litter."""
    model, path = saved
    before = path.read_bytes()

    def breaks(self, target):
        raise OSError("disk full")

    monkeypatch.setattr(type(path), "replace", breaks)
    with pytest.raises(OSError, match="disk full"):
        save_checkpoint(path, model, maker.make_manifest(model, maker.ATFT))
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_what_differs_is_said_by_name(saved):
    """Missing, left over and mis-shaped tensors, the first few of each."""
    path = saved[1]
    message = (
        f"checkpoint {path} lacks head.horizons.20.bias, head.horizons.20.trunk.inner.weight, "
        "head.horizons.20.trunk.inner.bias and 6 more; has head.horizons.5.bias, "
        "head.horizons.5.linear.weight, head.horizons.5.scale.factor and 6 more left over; has "
        "head.horizons.1.bias as (4,) for (6,), head.horizons.1.linear.weight as (4, 4) for "
        "(6, 4), expected the tensors of AtftGatFan. Build the model from the settings it was "
        "saved with."
    )
    with pytest.raises(ArtifactError) as caught:
        load_checkpoint(path, build=other(horizons=(1, 20), levels=(0.05, 0.25, 0.5, 0.75, 0.95)))
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("fact", "value", "says"),
    [
        (
            "run_id",
            "another",
            r"^run_id of checkpoint .* is '20261121-000000-f1a71e', expected 'an",
        ),
        ("horizons", (5, 1), r"^horizons of checkpoint .* is \(1, 5\), expected \(5, 1\)"),
        ("data_fingerprint", "0", r"^data_fingerprint of checkpoint"),
        ("colour", "red", r"^expected names 'colour', expected facts of a manifest"),
    ],
)
def test_what_is_expected_must_hold(saved, fact, value, says):
    """Any fact of the manifest can be asked for; an unknown one is a mistake."""
    with pytest.raises(ArtifactError, match=says):
        load_checkpoint(saved[1], build=build_model, expected={fact: value})


def test_what_holds_is_accepted(saved):
    """The facts of the manifest themselves."""
    manifest = read_manifest(saved[1])
    facts = {name: getattr(manifest, name) for name in Manifest.model_fields}
    assert load_checkpoint(saved[1], build=build_model, expected=facts).manifest == manifest


def test_a_model_that_is_called_otherwise_is_refused(saved):
    """The signature is compared: what was saved is not what is built."""

    class Changed(nn.Module):
        def forward(self, features, codes):
            return features

    with pytest.raises(ArtifactError, match=r"signature of .* with kind 'AtftGatFan', expected"):
        load_checkpoint(saved[1], build=lambda settings, **sizes: Changed())
    model = saved[0]
    manifest = maker.make_manifest(Changed(), maker.ATFT)
    with pytest.raises(ArtifactError, match=r"signature of manifest for"):
        save_checkpoint(saved[1], model, manifest)


def test_the_signature_sees_the_arguments():
    """Another argument, or another order, is another fingerprint."""

    class One(nn.Module):
        def forward(self, batch, mask):
            return batch

    first = signature_of(One())
    One.forward = lambda self, mask, batch: batch
    assert signature_of(One()).fingerprint != first.fingerprint
    assert signature_of(One()).kind == first.kind


class TestPartial:
    """Modules taken from a file one by one."""

    def test_takes_what_is_listed_and_nothing_else(self, saved):
        """The encoder comes from the file, the heads are those that were built."""
        heads = {}

        def build(settings, **sizes):
            model = build_model(settings, **(sizes | {"horizons": (1, 5, 20)}))
            heads.update({n: t.clone() for n, t in model.head.state_dict().items()})
            return model

        model = load_checkpoint(saved[1], build=build, partial=("encoder", "gat")).model
        source = saved[0].state_dict()
        for name, tensor in model.state_dict().items():
            if name.split(".")[0] in {"encoder", "gat"}:
                assert torch.equal(tensor, source[name])
            elif name.startswith("head."):
                assert torch.equal(tensor, heads[name.removeprefix("head.")])

    @pytest.mark.parametrize("prefix", ["enc", "encoder.lst", "", "decoder"])
    def test_a_module_that_is_not_there_is_refused(self, saved, prefix):
        """A prefix names a module, not the beginning of one."""
        with pytest.raises(ArtifactError, match=f"^partial names {prefix!r}, expected a module"):
            load_checkpoint(saved[1], build=build_model, partial=("gat", prefix))

    def test_a_listed_module_must_fit(self, saved):
        """Partial means some modules, not some of the tensors that happen to fit."""
        with pytest.raises(ArtifactError, match=r"has encoder\..* as .* for "):
            load_checkpoint(saved[1], build=other(hidden=8), partial=("encoder",))


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_numbers_that_are_not_finite_are_not_saved(saved, value):
    """A broken model does not replace a good file."""
    model, path = saved
    before = path.read_bytes()
    with torch.no_grad():
        model.head.horizons["1"].bias[0] = value
    with pytest.raises(ArtifactError, match=r"^head.horizons.1.bias of model has 1 numbers that"):
        save_checkpoint(path, model, maker.make_manifest(model, maker.ATFT))
    assert path.read_bytes() == before


def test_types_that_the_format_lacks_are_refused(tmp_path):
    """Complex weights would not come back."""
    model = nn.Linear(2, 1, dtype=torch.complex64)
    with pytest.raises(ArtifactError, match=r"weight has type torch.complex64, expected one of"):
        save_checkpoint(tmp_path / "c", model, maker.make_manifest(model, maker.ATFT))


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"features": 4}, "feature_names has 3 names, expected 4"),
        ({"feature_names": ("a", "b", "a")}, "feature_names repeats a name"),
        ({"feature_names": ("a", "b", "c")}, "normaliser.feature_names differs from"),
        ({"normaliser": {}}, "normaliser.feature_names differs from"),
        ({"horizons": ()}, "horizons is ()"),
        ({"lookback": 10**9}, "lookback is 1000000000"),
        ({"model": {}}, "model has keys []"),
        ({"run_id": ""}, "run_id is ''"),
        ({"colour": 1}, "colour is no setting of Manifest"),
    ],
)
def test_a_manifest_that_contradicts_itself_is_refused(changed, says):
    """What is wrong with it is the whole message."""
    good = maker.make_manifest(maker.make_model(maker.ATFT), maker.ATFT)
    facts = {name: getattr(good, name) for name in Manifest.model_fields}
    with pytest.raises(SettingsError, match=re.escape(says)):
        Manifest(**(facts | changed))


def test_a_manifest_survives_json():
    """Every float to the bit, every tuple."""
    good = maker.make_manifest(maker.make_model(maker.ATFT), maker.ATFT)
    assert Manifest.from_json(good.as_json(), source="it") == good
