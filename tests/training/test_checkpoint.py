"""Checkpoints are whole, and reading one never runs code."""

import pickle
import re

import pytest
import torch
from lightning.pytorch.callbacks import Callback

from flatline.errors import ArtifactError
from flatline.training import TrainingSettings, fit
from flatline.training.checkpoint import SafeCheckpointIO, load_weights, save_weights
from training.toy import Toy, ToyLoss, make_batches

SETTINGS = TrainingSettings(max_epochs=1, progress=False, tensorboard=False)


class Bomb:
    """Runs code when it is unpickled."""

    def __reduce__(self):
        return (open, ("/dev/null",))


def test_a_checkpoint_with_code_is_not_read(tmp_path):
    """Whatever Lightning asks for, only tensors and plain values are read."""
    torch.save({"state_dict": {}, "bomb": Bomb()}, tmp_path / "last.ckpt")
    with pytest.raises(ArtifactError, match=r"cannot be read .*expected tensors and plain values"):
        SafeCheckpointIO().load_checkpoint(tmp_path / "last.ckpt", weights_only=False)
    (tmp_path / "raw.ckpt").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(ArtifactError, match="cannot be read"):
        SafeCheckpointIO().load_checkpoint(tmp_path / "raw.ckpt")


def test_a_callback_that_keeps_objects_fails_at_the_first_checkpoint(tmp_path):
    """What could not be resumed is refused when it is written, not when it is needed."""

    class Hoarder(Callback):
        def state_dict(self):
            return {"object": Toy()}

    with pytest.raises(ArtifactError, match="keep no objects in a callback's state_dict"):
        fit(Toy(), ToyLoss(), make_batches(), None, SETTINGS, run_dir=tmp_path / "run",
            callbacks=[Hoarder()])  # fmt: skip


def test_an_interrupted_write_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    """A failure while writing leaves what was there, and no litter."""
    path = tmp_path / "last.ckpt"
    io = SafeCheckpointIO()
    io.save_checkpoint({"global_step": 1}, path)

    def breaks(checkpoint, file):
        file.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(torch, "save", breaks)
    with pytest.raises(OSError, match="disk full"):
        io.save_checkpoint({"global_step": 2}, path)
    assert io.load_checkpoint(path) == {"global_step": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_weights_come_back_the_same(tmp_path):
    """Weights and buffers survive the way through safetensors, to the bit."""
    model, other = Toy(), Toy()
    save_weights(model, tmp_path / "w.safetensors", about={"epoch": 3})
    load_weights(other, tmp_path / "w.safetensors")
    for name, value in model.state_dict().items():
        assert torch.equal(value, other.state_dict()[name])


@pytest.mark.parametrize("damage", ["other model", "cut", "missing"])
def test_weights_that_do_not_fit_are_an_error(tmp_path, damage):
    """Another model's weights, half a file and no file are each one sentence."""
    path = tmp_path / "w.safetensors"
    if damage != "missing":
        save_weights(Toy(width=5 if damage == "other model" else 8), path, about={})
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ArtifactError, match=f"^weights {re.escape(str(path))} do not fit"):
        load_weights(Toy(), path)
