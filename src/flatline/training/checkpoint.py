"""Checkpoints that appear whole or not at all, and whose reading never runs code."""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import CheckpointIO
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor, nn

from flatline.errors import ArtifactError
from flatline.files import replacing

__all__ = ["SafeCheckpointIO", "load_weights", "save_weights"]


class SafeCheckpointIO(CheckpointIO):
    """Writes atomically and reads tensors and plain values only, whatever it is asked for.

    Args:
        run_id: Written into every checkpoint, and expected in every one that is read;
            None for no such thing.
    """

    def __init__(self, *, run_id: str | None = None) -> None:
        self._run_id = run_id
        self._proven = False

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: object = None
    ) -> None:
        """Write a checkpoint; the first one of a process is read back.

        Raises:
            ArtifactError: The checkpoint holds an object that is neither a tensor nor plain.
        """
        del storage_options
        with replacing(Path(path)) as partial:
            torch.save(checkpoint | {"run_id": self._run_id}, partial)
        if not self._proven:
            # Better to learn at the first checkpoint than at the first resume
            # that a callback keeps something unreadable in its state.
            self.load_checkpoint(path)
            self._proven = True

    def load_checkpoint(
        self,
        path: str | Path,
        map_location: object = None,
        weights_only: bool | None = True,
    ) -> dict[str, Any]:
        """Read a checkpoint without running any code in it.

        Raises:
            ArtifactError: The file is damaged, holds more than tensors and plain values,
                or is of another run.
        """
        # To the processor, wherever the tensors were: Lightning moves them on.
        del map_location, weights_only
        try:
            loaded = torch.load(path, map_location="cpu", weights_only=True)
        except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise ArtifactError(
                f"checkpoint {path} cannot be read ({reason}), expected tensors and plain values "
                "in a whole file. Start into another folder, or keep no objects in a callback's "
                "state_dict."
            ) from error
        _check_run(path, loaded.pop("run_id", None), self._run_id)
        return dict(loaded)

    def remove_checkpoint(self, path: str | Path) -> None:
        """Remove a checkpoint."""
        Path(path).unlink(missing_ok=True)


def save_weights(model: nn.Module, path: Path, *, about: Mapping[str, Any]) -> None:
    """Write a model's weights and buffers as safetensors, with *about* in its header.

    Args:
        model: Tensors shared between names are written once per name.
        path: File to write.
        about: JSON-able facts, such as the epoch and its score.
    """
    tensors = {
        name: t.detach().cpu().contiguous().clone() for name, t in model.state_dict().items()
    }
    data = save(tensors, metadata={"about": json.dumps(about)})
    with replacing(path) as partial:
        partial.write_bytes(data)


def load_weights(model: nn.Module, path: Path, *, run_id: str | None = None) -> None:
    """Put weights written by `save_weights` into a model of the same shape.

    Args:
        model: To be changed.
        path: The file.
        run_id: What it must say about its run; None to take any.

    Raises:
        ArtifactError: The file is damaged or of another run, or its tensors do not fit
            the model.
    """
    try:
        with safe_open(path, "pt") as file:
            about = json.loads(file.metadata()["about"])
        _check_run(path, about.get("run_id"), run_id)
        tensors: dict[str, Tensor] = load_file(path)
        model.load_state_dict(tensors)
    except (SafetensorError, OSError, RuntimeError, KeyError, TypeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ArtifactError(
            f"weights {path} do not fit the model ({reason}), expected the tensors of this model. "
            "Build the model from the settings beside the weights."
        ) from error


def _check_run(path: str | Path, found: object, expected: str | None) -> None:
    if expected is not None and found != expected:
        raise ArtifactError(
            f"{path} is of run {found}, expected {expected}, the run of its folder. Put the run's "
            "own file back, or start into another folder."
        )
