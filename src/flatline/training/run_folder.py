"""The folder of a run: settings, identity, seeds, versions, log, checkpoints."""

from __future__ import annotations

import importlib.metadata
import json
import math
import platform
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flatline.errors import ArtifactError, SettingsError
from flatline.files import write_text
from flatline.training.checkpoint import SafeCheckpointIO

__all__ = ["RunFolder"]

LIBRARIES = ("flatline", "torch", "lightning", "numpy", "polars", "scipy", "torch-geometric")
# What may differ between a run and its resumption without making it another run.
FREE = frozenset(
    {
        "max_epochs", "max_steps", "max_seconds", "patience", "restore_best", "progress",
        "tensorboard", "checkpoint_every_n_steps", "log_every_n_steps", "accelerator",
    }
)  # fmt: skip


class RunFolder:
    """One run's files.

    `run.json` (id, state, seed, versions), `settings.json` (effective
    settings), `metrics.csv`, `checkpoints/last.ckpt`, `checkpoints/best.safetensors`.

    Args:
        path: The folder.
        resumable: Whether it holds a checkpoint to go on from.
    """

    def __init__(self, path: Path, *, resumable: bool) -> None:
        self.path = path
        self.resumable = resumable

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        training: Mapping[str, Any],
        effective: Mapping[str, Any] | None = None,
        resume: bool = False,
    ) -> RunFolder:
        """Make a run's folder, or take up one to resume.

        Args:
            path: The folder; made with its parents.
            training: The training settings, JSON-able; a resumption must agree with them.
            effective: The whole tree of settings to record; None records *training*.
            resume: Take up the run that is there. A folder without a run is started afresh.

        Raises:
            ArtifactError: The folder holds a run and *resume* is off, or is not a run folder.
            SettingsError: The run there was made with other settings.
        """
        record = path / "run.json"
        if path.exists() and not path.is_dir():
            raise ArtifactError(f"run folder {path} is a file, expected a folder. Give another.")
        if record.exists() and not resume:
            state = _read(record).get("state", "unknown")
            raise ArtifactError(
                f"run folder {path} holds a run ({state}), expected a folder without one. "
                "Resume it, or give another folder."
            )
        if path.is_dir() and any(path.iterdir()) and not record.exists():
            raise ArtifactError(
                f"run folder {path} holds other files, expected an empty or a new folder. "
                "Give another folder."
            )
        folder = cls(path, resumable=resume and cls._last(path).exists())
        if record.exists():
            folder._check_same(training)
            # What a killed process was writing.
            for partial in (path / "checkpoints").glob(".*"):
                partial.unlink()
        else:
            folder._create(training, effective)
        return folder

    @staticmethod
    def _last(path: Path) -> Path:
        return path / "checkpoints" / "last.ckpt"

    @property
    def last(self) -> Path:
        """The resumable checkpoint."""
        return self._last(self.path)

    @property
    def best(self) -> Path:
        """The weights of the best epoch, once the run is finished."""
        return self.path / "checkpoints" / "best.safetensors"

    def epoch_weights(self, epoch: int) -> Path:
        """Where the weights of an epoch that was the best so far are kept during the run."""
        return self.path / "checkpoints" / f"epoch_{epoch:04d}.safetensors"

    def keep_only(self, epoch: int | None) -> None:
        """Remove the weights of all epochs but one."""
        for path in (self.path / "checkpoints").glob("epoch_*.safetensors"):
            if epoch is None or path != self.epoch_weights(epoch):
                path.unlink()

    def publish_best(self, epoch: int | None) -> Path | None:
        """Give the weights of the best epoch their lasting name; None where no epoch was fit."""
        if epoch is None:
            self.best.unlink(missing_ok=True)
            return None
        # A run that goes on after its end may have found nothing better.
        if self.epoch_weights(epoch).exists():
            self.epoch_weights(epoch).replace(self.best)
        self.keep_only(None)
        return self.best

    def last_step(self) -> int:
        """The step that the resumable checkpoint was written after."""
        return int(SafeCheckpointIO().load_checkpoint(self.last)["global_step"])

    def finish(self, result: Mapping[str, Any], training: Mapping[str, Any]) -> None:
        """Record that the run has come to its end, what it came to, and under which settings."""
        _write(self.path / "result.json", result)
        self.update(state="finished", training=dict(training))

    def finished_result(self, training: Mapping[str, Any]) -> dict[str, Any] | None:
        """What a finished run came to; None where it is unfinished or its budget was changed."""
        record = _read(self.path / "run.json")
        budget = ("max_epochs", "max_steps", "max_seconds", "patience")
        same = all(record["training"].get(name) == training.get(name) for name in budget)
        if record["state"] != "finished" or not same:
            return None
        return _read(self.path / "result.json")

    def update(self, **facts: object) -> None:
        """Record facts about the run, such as its state."""
        record = self.path / "run.json"
        known = _read(record) if record.exists() else {}
        _write(record, known | facts)

    def _create(self, training: Mapping[str, Any], effective: Mapping[str, Any] | None) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        now = datetime.now(UTC)
        _write(self.path / "settings.json", dict(training if effective is None else effective))
        self.update(
            id=f"{now:%Y%m%d-%H%M%S}-{secrets.token_hex(3)}",
            started=now.isoformat(timespec="seconds"),
            state="running",
            seed=training.get("seed"),
            versions=_versions(),
            training=dict(training),
        )

    def _check_same(self, training: Mapping[str, Any]) -> None:
        before = _read(self.path / "run.json").get("training", {})
        names = (before.keys() | training.keys()) - FREE
        other = sorted(n for n in names if before.get(n) != training.get(n))
        if other:
            name = other[0]
            raise SettingsError(
                f"{name} is {training.get(name)!r}, expected {before.get(name)!r} as in the run to "
                f"resume in {self.path}. Resume with its settings, or give another folder."
            )


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            # Run from a checkout, or without an extra.
            versions[name] = "not installed"
    return versions


def _read(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text()))
    except (OSError, ValueError) as error:
        raise ArtifactError(
            f"{path} cannot be read as JSON, expected the record of a run. Give another folder."
        ) from error


def _write(path: Path, facts: Mapping[str, Any]) -> None:
    text = json.dumps(_plain(facts), indent=2, default=str, allow_nan=False)
    write_text(path, text + "\n")


def _plain(value: object) -> object:
    """JSON has no NaN: a number that is not there is null."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
