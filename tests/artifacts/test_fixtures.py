"""Checkpoints of every format go on giving the scores they gave."""

import json
import pickletools
import zipfile

import numpy as np
import pytest
import torch

from artifacts.cases import FIXTURES, build_atft, load, maker
from flatline.artifacts import load_legacy, read_manifest
from flatline.artifacts.legacy import NESTS

SCORES = json.loads((FIXTURES / "scores.json").read_text())
OLD = sorted(name for name in SCORES if not name.endswith(".safetensors"))
# Scores are of size 1 and come from sums of at most a few hundred float32 numbers of that
# size: another order of adding moves them by some hundred units in the last place, 6e-8.
ROUNDING = 1e-5


def scores(name):
    """What a checkpoint of the fixtures gives now."""
    return maker.scores_of(load(FIXTURES / name), maker.draw_batch(SCORES[name]["batch_seed"]))


@pytest.mark.parametrize("name", SCORES)
def test_gives_the_scores_it_gave(name):
    """Points and quantiles, up to the order in which a CPU adds."""
    found = scores(name)
    for part in ("point", "quantiles"):
        wanted = SCORES[name][part]
        assert (found[part] is None) == (wanted is None)
        if wanted is not None:
            np.testing.assert_allclose(found[part], wanted, rtol=0, atol=ROUNDING)


@pytest.mark.parametrize("name", SCORES)
def test_what_a_checkpoint_holds_is_pinned(name, snapshot):
    """Manifest, names, shapes, types and scores, in a form that people can read and compare.

    Scores are shown to two decimals: none lies nearer than 1e-4 to where that flips, far
    beyond what the CPU's rounding can do.
    """
    model = load(FIXTURES / name)
    new = name.endswith(".safetensors")
    legacy = None if new else load_legacy(FIXTURES / name, build=build_atft)
    about = read_manifest(FIXTURES / name).model_dump(mode="json") if new else legacy.beside
    point = np.array(SCORES[name]["point"])
    assert {
        "about": about,
        "names": None if new else legacy.names,
        "tensors": {
            key: f"{tuple(value.shape)} {value.dtype}" for key, value in model.state_dict().items()
        },
        "scores": np.round(scores(name)["point"], 2).tolist(),
    } == snapshot
    assert maker.far_from_rounding({"point": point})


@pytest.mark.parametrize("name", SCORES)
def test_a_wrong_weight_changes_the_scores(name):
    """The scores are no idle figure: every checkpoint's depend on its weights."""
    model = load(FIXTURES / name)
    with torch.no_grad():
        next(iter(model.head.parameters())).add_(0.01)
    found = maker.scores_of(model, maker.draw_batch(SCORES[name]["batch_seed"]))
    assert np.abs(np.array(found["point"]) - SCORES[name]["point"]).max() > 10 * ROUNDING


def test_the_script_writes_the_same_bytes(tmp_path):
    """What lies in the folder is what the script and its seed make."""
    maker.main(tmp_path)
    for path in tmp_path.iterdir():
        if path.name != "scores.json":
            assert path.read_bytes() == (FIXTURES / path.name).read_bytes(), path.name
    assert {path.name for path in tmp_path.iterdir()} == {*SCORES, "scores.json"}


def test_the_fixtures_are_small():
    """Everybody who clones the project gets them."""
    assert sum(path.stat().st_size for path in FIXTURES.rglob("*") if path.is_file()) < 2**20


def test_the_pickled_ones_carry_what_old_versions_wrote():
    """Version objects, the plain format, archives with and without the order of bytes."""
    parts, versioned = {}, set()
    for name in OLD:
        content = (FIXTURES / name).read_bytes()
        if content.startswith(b"PK"):
            archive = zipfile.ZipFile(FIXTURES / name)
            parts[name] = set(archive.namelist())
            content = archive.read("archive/data.pkl")
        named = {argument for op, argument, _ in pickletools.genops(content) if op.name == "GLOBAL"}
        versioned |= {name} if "torch.torch_version TorchVersion" in named else set()
    assert set(OLD) - set(parts) == {"torch_1_4_plain.pt"}
    assert [name for name in parts if "archive/byteorder" in parts[name]] == [
        "torch_2_6_lightning_compiled.ckpt"
    ]
    assert versioned == {
        "torch_1_13_lightning.ckpt",
        "torch_2_0_compiled.pt",
        "torch_2_6_lightning_compiled.ckpt",
    }


@pytest.mark.parametrize("name", OLD)
def test_torch_itself_reads_the_pickled_ones(name):
    """The re-creations are files of torch: its own reader agrees."""
    with torch.serialization.safe_globals([torch.torch_version.TorchVersion]):
        loaded = torch.load(FIXTURES / name, weights_only=True)
    nest = next((loaded[key] for key in NESTS if key in loaded), loaded)
    wanted = maker.make_model(maker.ATFT).state_dict()
    names = load_legacy(FIXTURES / name, build=build_atft).names
    assert all(torch.equal(nest[old], wanted[new]) for new, old in names.items())
    assert len(names) == len(nest) == len(wanted)
