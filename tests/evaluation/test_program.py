"""A program scores any number of rows as its model does, and says what it takes and gives."""

import builtins
import sys

import pytest
import torch
from torch import nn

from flatline.batch import Forecast
from flatline.errors import ArtifactError, SettingsError
from flatline.evaluation.programs.card import Card, Program, read_card
from flatline.evaluation.programs.onnx import load_onnx, save_onnx
from flatline.evaluation.programs.program import (
    check_equal,
    load_program,
    save_program,
    to_program,
    trials,
)
from flatline.models import AtftGatFanSettings
from flatline.models.registry import MODELS, build_model
from flatline.models.settings import ApexSettings, PatchTSTSettings
from models.cases import LEVELS, SIZES, draw

SMALL = {
    "atft_gat_fan": AtftGatFanSettings(hidden=8, variable_width=2),
    "patchtst": PatchTSTSettings(hidden=8, depth=2, feed_forward=8),
    "apex": ApexSettings(hidden=8),
}
CARD = Card(
    model="m", run_id="r1", features=tuple("abcd"), static=tuple("xyz"),
    edge_attributes=("one", "two", "three"), lookback=20, horizons=(1, 5), levels=LEVELS,
    target_scale="zscore", normaliser="day_zscore",
)  # fmt: skip
READ = {
    "atft_gat_fan": ("features", "static_features", "edge_index", "edge_attr"),
    "patchtst": ("features",),
    "apex": ("features",),
}


def build(settings):
    """A fresh model, the same every time."""
    torch.manual_seed(0)
    return build_model(settings, **SIZES)


def card(**changes):
    """The card of these models."""
    return Card(**(CARD.model_dump() | changes))


def some():
    """One row, two rows, many, several days, and no graph."""
    shapes = [(1, 1), (1, 2), (2, 12), (3, 31)]
    batches = [(draw(seed=k, days=d, stocks=s), None) for k, (d, s) in enumerate(shapes)]
    return list(trials(batches))


def round_trip(kind, model, path, /, **changes):
    """The model as a program that was written and read again."""
    if kind == "onnx":
        pytest.importorskip("onnxruntime")
        pytest.importorskip("onnxscript")
        save_onnx(model, draw(), card(**changes), path)
        return load_onnx(path)
    save_program(*to_program(model, draw(), card(**changes)), path)
    return load_program(path)


def test_every_architecture_is_tried():
    """A new one in the registry must be exported here too."""
    assert set(SMALL) == set(MODELS) == set(READ)


@pytest.mark.parametrize("kind", ["program", "onnx"])
@pytest.mark.parametrize("name", list(SMALL))
def test_a_program_scores_as_its_model(kind, name, tmp_path):
    """On every number of rows, with and without edges; bit for bit where torch runs it."""
    model = build(SMALL[name]).train()
    program = round_trip(kind, model, tmp_path / "m", model=name)
    assert model.training
    found = check_equal(program, model, some())
    assert found.batches == len(some())
    assert found.rows == 1 + 2 + 24 + 93 + 1 + 1
    assert found.largest == 0 or kind == "onnx"
    assert program.card.inputs == READ[name]
    levels = LEVELS if SMALL[name].name != "apex" else ()
    assert program.card.levels == levels
    assert program.card.outputs == (("point", "quantiles") if levels else ("point",))
    assert program.card.run_id == "r1"
    assert program.card.features == tuple("abcd")


def test_outputs_can_have_their_old_names(tmp_path):
    """A score per horizon, under its name, and the same forecast."""
    model = build(SMALL["patchtst"])
    program = round_trip("program", model, tmp_path / "m", names="old")
    assert program.card.outputs == (
        "point_horizon_1", "point_horizon_5",
        "quantiles_point_horizon_1", "quantiles_point_horizon_5",
    )  # fmt: skip
    check_equal(program, model, some())
    out = program.run({"features": draw()["features"]})
    assert out["point_horizon_5"].shape == (24,)
    assert out["quantiles_point_horizon_5"].shape == (24, 5)


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param(AtftGatFanSettings(hidden=8, bypass_gat=True), id="no-graph"),
        pytest.param(
            PatchTSTSettings(hidden=8, norm="batch", task="classification"), id="batchnorm"
        ),
        pytest.param(
            PatchTSTSettings(hidden=8, pooling="max", patch_length=8, stride=7), id="padded"
        ),
    ],
)
def test_other_settings_export_too(settings, tmp_path):
    """Branches that the defaults do not take."""
    model = build(settings)
    program = round_trip("program", model, tmp_path / "m")
    assert check_equal(program, model, some()).largest == 0
    assert "edge_index" not in program.card.inputs


class Wrong(nn.Module):
    """A model that scores as another one does, but for one thing."""

    def __init__(self, model, change):
        super().__init__()
        self.model, self.change = model, change

    def forward(self, batch):
        """The changed forecast."""
        return self.change(self.model(batch))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        pytest.param(lambda f: f, None, id="healthy"),
        pytest.param(lambda f: f._replace(point=f.point + 0.01), "differ", id="point"),
        pytest.param(
            lambda f: f._replace(quantiles=f.quantiles.flip(-1)), "differ", id="quantiles"
        ),
        pytest.param(lambda f: f._replace(point=f.point * torch.nan), "up to inf", id="nan"),
        pytest.param(lambda f: Forecast(f.point), "given by only one", id="no-quantiles"),
    ],
)
def test_a_program_that_scores_otherwise_is_refused(change, says):
    """One that agrees passes; a shift, a swap, a NaN or a missing output is found."""
    model = build(SMALL["patchtst"])
    program = Program(
        card(inputs=("features",)), lambda inputs: forecast(change(model(full(inputs))))
    )
    if says is None:
        assert check_equal(program, model, some()).largest == 0
        return
    with pytest.raises(ArtifactError, match=says):
        check_equal(program, model, some())


def full(inputs):
    """Inputs of a program as a batch of one day."""
    day = torch.zeros(len(inputs["features"]), dtype=torch.int64)
    static = torch.zeros(len(day), 3)
    return inputs | {"group_day": day, "stock_id": day, "static_features": static}


def forecast(found):
    """A forecast as named outputs."""
    return {name: x for name, x in found._asdict().items() if x is not None}


def test_a_nan_on_both_sides_is_no_difference():
    """A broken model is exported as broken as it is; its scores are counted elsewhere."""
    model = Wrong(build(SMALL["apex"]), lambda f: f._replace(point=f.point * torch.nan))
    program = Program(card(inputs=("features",)), lambda inputs: forecast(model(full(inputs))))
    assert check_equal(program, model, some()).largest == 0


def test_an_operation_that_looks_at_values_is_named(tmp_path):
    """The reason and what to do instead, not a trace."""
    model = Wrong(build(SMALL["apex"]), lambda f: f if f.point.sum() > 0 else Forecast(-f.point))
    with pytest.raises(
        ArtifactError, match=r"^model cannot be traced \(.*without looking at values"
    ):
        to_program(model, draw(), card())


def test_an_operation_that_onnx_lacks_is_named(tmp_path):
    """Complex numbers have no form there; the torch program has them."""
    pytest.importorskip("onnxscript")

    def roots(found):
        spectrum = torch.fft.fft(found.point, dim=1)
        return found._replace(
            point=torch.linalg.eigvals(spectrum[:, :, None] * spectrum[:, None]).real
        )

    model = Wrong(build(SMALL["apex"]), roots)
    with pytest.raises(ArtifactError, match=r"cannot be written as ONNX .* with --program instead"):
        save_onnx(model, draw(), card(), tmp_path / "m.onnx")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["program", "onnx"])
@pytest.mark.parametrize("content", [None, b"", b"PK\x03\x04", b"x" * 1000])
def test_a_file_that_is_no_program_is_one_sentence(kind, content, tmp_path):
    """Missing, empty, cut short or of another kind."""
    if kind == "onnx":
        pytest.importorskip("onnxruntime")
    path = tmp_path / "m"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ArtifactError, match=r"^program .* cannot be read .*Export it again\.$"):
        (load_onnx if kind == "onnx" else load_program)(path)


def test_a_program_without_a_card_is_refused(tmp_path):
    """A program that something else wrote does not say what its numbers are."""
    program, _ = to_program(build(SMALL["apex"]), draw(), card())
    torch.export.save(program, tmp_path / "m.pt2")
    with pytest.raises(ArtifactError, match="has a card that cannot be read"):
        load_program(tmp_path / "m.pt2")
    with pytest.raises(ArtifactError, match="has a card that cannot be read"):
        read_card(card().model_dump_json().replace("run_id", "run"), tmp_path)


def test_an_input_that_a_batch_lacks_is_named():
    """The program of a model with static features, a batch without."""
    program = Program(card(inputs=("features", "static_features")), lambda inputs: inputs)
    batch = {k: v for k, v in draw().items() if k != "static_features"}
    with pytest.raises(ArtifactError, match="expected static_features among them"):
        program(batch)


def test_without_the_extra_the_sentence_says_what_to_install(monkeypatch, tmp_path):
    """Nothing is traced first."""
    real = builtins.__import__

    def without(name, *rest, **more):
        if name.split(".")[0] == "onnxruntime":
            raise ModuleNotFoundError("No module named 'onnxruntime'")
        return real(name, *rest, **more)

    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(
        SettingsError, match=r"onnxruntime is not installed .*pip install 'flatline\[onnx\]'"
    ):
        save_onnx(build(SMALL["apex"]), draw(), card(), tmp_path / "m.onnx")
