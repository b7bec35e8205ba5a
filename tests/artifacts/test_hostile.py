"""No damaged or hostile file loads, runs anything, or leaves a trace."""

import json
import os
import pickle
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
import torch

from artifacts.cases import FIXTURES, maker
from artifacts.hostile import CANARY, GOOD, NEW, OLD, ZIPPED, Case, cases
from flatline.artifacts import load_checkpoint, load_legacy, read_manifest
from flatline.errors import ArtifactError
from flatline.models.registry import build_model

CASES = cases()
# More than this would be what a file asked for rather than what it holds.
MOST_MEGABYTES = 150


def read(case, path, target):
    """Read a file into this very model, if it says that it has its sizes."""
    if case.reader == OLD:
        return load_legacy(path, build=lambda: target)

    def build(settings, **sizes):
        with torch.device("meta"):
            outline = build_model(settings, **sizes)
        return target if shapes(outline) == shapes(target) else outline

    return load_checkpoint(path, build=build)


def shapes(model):
    """The shape of each tensor, by name."""
    return {name: value.shape for name, value in model.state_dict().items()}


@cache
def target():
    """A model with weights of its own, and a copy of them; nothing may change it."""
    model = maker.make_model(maker.ATFT)
    with torch.no_grad():
        model.head.horizons["1"].bias.fill_(7.0)
    return model, {name: value.clone() for name, value in model.state_dict().items()}


def refuse(case, folder):
    """Check that a file is refused in one sentence; the model is as before."""
    path = Path(folder) / "file"
    path.write_bytes(case.content)
    model, before = target()
    try:
        read(case, path, model)
    except ArtifactError as error:
        message = str(error)
    else:
        raise AssertionError(f"{case.name} was loaded")
    assert "\n" not in message, message
    assert ", expected " in message or " cannot be built: " in message, message
    assert message.endswith((".", "?")), message
    assert len(message) < 1000, message
    assert str(path) in message, message
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert not CANARY.exists(), "code of the file was run"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_is_refused(case, tmp_path):
    """One ArtifactError, no code run, no change to the model."""
    refuse(case, tmp_path)


def test_there_are_many():
    """Hundreds of files, all different."""
    assert len({(case.reader, case.content) for case in CASES}) >= 200
    assert len({case.name for case in CASES}) == len(CASES)


def test_the_files_they_were_made_of_load(tmp_path):
    """What is refused is the damage: the very same files load without it."""
    for content, reader in ((GOOD, NEW), (ZIPPED, OLD)):
        path = tmp_path / reader
        path.write_bytes(content)
        model = maker.make_model(maker.ATFT)
        wanted = model.head.horizons["1"].bias.clone()
        with torch.no_grad():
            model.head.horizons["1"].bias.fill_(7.0)
        read(Case(reader, content, reader), path, model)
        assert torch.equal(model.head.horizons["1"].bias, wanted)


def test_the_gadgets_work(tmp_path):
    """The canary can sing: read by pickle itself, the files do run their code."""
    for name in ("os.system, bare", "eval, bare", "open, bare", "posix, bare", "inst, bare"):
        case = next(case for case in CASES if case.name == name)
        try:
            pickle.loads(case.content)  # noqa: S301 - our own files, made to do this
            assert CANARY.exists(), name
        finally:
            CANARY.unlink(missing_ok=True)


def test_takes_little_memory(tmp_path):
    """Read one after the other in a fresh process: no file gets what it asks for."""
    root = Path(__file__).parents[1]
    paths = os.pathsep.join([str(root), str(root.parent / "src")])
    process = subprocess.run(  # noqa: S603 - our own interpreter and script
        [sys.executable, "-W", "ignore", "-m", "artifacts.hostile", str(tmp_path)],
        env=os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr[-3000:]
    found = json.loads(process.stdout)
    assert found["files"] == len(CASES)
    assert found["megabytes"] < MOST_MEGABYTES


@pytest.mark.parametrize("reader", [NEW, OLD])
class TestPlaces:
    """What is no file that can be read."""

    def check(self, reader, path, says):
        """The error names the place and what is wrong with it."""
        with pytest.raises(ArtifactError, match=says) as caught:
            read(Case("", b"", reader), path, maker.make_model(maker.ATFT))
        assert str(path) in str(caught.value)

    def test_a_missing_file(self, reader, tmp_path):
        """Said to be missing."""
        self.check(reader, tmp_path / "none", "does not exist, expected a file")

    def test_a_link_to_nothing(self, reader, tmp_path):
        """Missing as well."""
        (tmp_path / "link").symlink_to(tmp_path / "none")
        self.check(reader, tmp_path / "link", "does not exist")

    def test_a_folder(self, reader, tmp_path):
        """Said to be one."""
        self.check(reader, tmp_path, "is a folder, expected a file")

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes on this system")
    def test_a_pipe(self, reader, tmp_path):
        """Not waited for."""
        os.mkfifo(tmp_path / "pipe")
        self.check(reader, tmp_path / "pipe", "is no ordinary file")

    def test_a_device(self, reader):
        """Not read for ever."""
        self.check(reader, Path("/dev/zero"), "is no ordinary file")

    def test_no_permission(self, reader, tmp_path, monkeypatch):
        """Said to be so, whoever runs the test."""
        path = tmp_path / "file"
        path.write_bytes(GOOD)

        def denied(self, *args, **kwargs):
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(Path, "open", denied)
        self.check(reader, path, r"cannot be opened \(Permission denied\)")


def test_a_manifest_alone_is_checked_as_well(tmp_path):
    """Reading the manifest refuses what the header or the manifest betrays."""
    for case in CASES:
        if case.name.startswith(("header", "format version", "data_offsets", "cut at 1")):
            (tmp_path / "file").write_bytes(case.content)
            with pytest.raises(ArtifactError):
                read_manifest(tmp_path / "file")
    assert read_manifest(FIXTURES / "format_1_apex.safetensors").model["name"] == "apex"
