"""The folder of a run: settings, identity, seeds, versions, log, checkpoints."""

from __future__ import annotations

import json
import math
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flatline.errors import ArtifactError, SettingsError
from flatline.files import write_text
from flatline.training.checkpoint import SafeCheckpointIO
from flatline.training.versions import versions

__all__ = ["Progress", "RunFolder"]

BUDGET = ("max_epochs", "max_steps", "max_seconds", "patience")
# What may differ between a run and its resumption without making it another run.
FREE = frozenset(
    {
        *BUDGET, "progress", "tensorboard", "checkpoint_every_n_steps",
        "log_every_n_steps", "accelerator",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Progress:
    """What was done before a phase began.

    Args:
        epochs: Passes over the training days, begun ones included.
        steps: Optimizer steps.
        seconds: Of training.
    """

    epochs: int = 0
    steps: int = 0
    seconds: float = 0.0


class RunFolder:
    """One run's files, each with the id of the run in it.

    `run.json` (id, state, seed, versions, finished phases), `settings.json` (effective
    settings), `metrics.csv`, `checkpoints/last.ckpt`, `checkpoints/best.safetensors`.
    Where there are phases, what one of them goes on from lies in `checkpoints/phase_1/`,
    and the weights that the next one starts with in `checkpoints/phase_1.safetensors`.

    Args:
        path: The folder.
        resumable: Whether it holds a checkpoint to go on from.
        number: Number of the phase that this is the folder of, from 1; 0 without phases.
        before: What the earlier phases did.
    """

    def __init__(
        self, path: Path, *, resumable: bool, number: int = 0, before: Progress | None = None
    ) -> None:
        self.path = path
        self.resumable = resumable
        self.number = number
        self.before = before or Progress()

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        training: Mapping[str, Any],
        effective: Mapping[str, Any] | None = None,
        data: str | None = None,
        resume: bool = False,
    ) -> RunFolder:
        """Make a run's folder, or take up one to resume.

        Args:
            path: The folder; made with its parents.
            training: The training settings, JSON-able; a resumption must agree with them.
            effective: The whole tree of settings to record; None records *training*.
            data: Fingerprint of the data; a resumption must agree with it.
            resume: Take up the run that is there. A folder without a run is started afresh.

        Raises:
            ArtifactError: The folder holds a run and *resume* is off, is not a run folder,
                or was made with other data.
            SettingsError: The run there was made with other settings.
        """
        record = path / "run.json"
        if path.exists() and not path.is_dir():
            raise ArtifactError(f"run folder {path} is a file, expected a folder. Give another.")
        state = _read(record).get("state", "unknown") if record.exists() else None
        # Converted weights came without the optimizer that a training goes on with.
        if state is not None and (not resume or state == "converted"):
            remedy = "Give" if state == "converted" else "Resume it, or give"
            raise ArtifactError(
                f"run folder {path} holds a run ({state}), expected a folder without one. "
                f"{remedy} another folder."
            )
        if path.is_dir() and any(path.iterdir()) and not record.exists():
            raise ArtifactError(
                f"run folder {path} holds other files, expected an empty or a new folder. "
                "Give another folder."
            )
        folder = cls(path, resumable=False)
        folder.resumable = resume and folder.last.exists()
        if record.exists():
            folder._check_same(training)
            folder._check_data(data)
            # What a killed process was writing.
            for partial in (path / "checkpoints").rglob(".*"):
                partial.unlink()
        else:
            folder._create(training, effective, data)
        return folder

    def of_phase(self, number: int) -> RunFolder:
        """The same run in one of its phases, with checkpoints of its own."""
        done = self.phases()
        before = Progress()
        if done:
            before = Progress(*(done[-1][name] for name in ("epochs", "steps", "seconds")))
        folder = RunFolder(self.path, resumable=False, number=number, before=before)
        folder.resumable = folder.last.exists()
        return folder

    @property
    def id(self) -> str:
        """What tells this run from every other."""
        return str(_read(self.path / "run.json").get("id"))

    @property
    def _checkpoints(self) -> Path:
        folder = self.path / "checkpoints"
        return folder / f"phase_{self.number}" if self.number else folder

    @property
    def last(self) -> Path:
        """The resumable checkpoint."""
        return self._checkpoints / "last.ckpt"

    @property
    def broken_off(self) -> Path:
        """The checkpoint of a run whose budget ended within an epoch, until it is finished.

        A killed run does not go on from it: it has yet to be judged there.
        """
        return self._checkpoints / ".broken_off.ckpt"

    @property
    def best(self) -> Path:
        """The weights of the best epoch, once the run is finished."""
        return self.path / "checkpoints" / "best.safetensors"

    @property
    def final(self) -> Path:
        """The weights that a finished run was left with, where they are not to be the best."""
        return self.path / "checkpoints" / "final.safetensors"

    def epoch_weights(self, epoch: int) -> Path:
        """Where the weights of an epoch that was the best so far are kept during the run."""
        return self._checkpoints / f"epoch_{epoch:04d}.safetensors"

    def phase_weights(self, number: int) -> Path:
        """The weights at the end of a phase."""
        return self.path / "checkpoints" / f"phase_{number}.safetensors"

    def phases(self) -> list[dict[str, Any]]:
        """What the finished phases came to, in their order."""
        return list(_read(self.path / "run.json").get("phases", []))

    def end_phase(self, facts: Mapping[str, Any]) -> None:
        """Record that this phase has come to its end, and remove what it could go on from."""
        self.update(phases=[*self.phases(), facts])
        shutil.rmtree(self._checkpoints, ignore_errors=True)

    def keep_only(self, epoch: int | None) -> None:
        """Remove the weights of all epochs but one."""
        for path in self._checkpoints.glob("epoch_*.safetensors"):
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
        return int(SafeCheckpointIO(run_id=self.id).load_checkpoint(self.last)["global_step"])

    def finish(self, result: Mapping[str, Any], training: Mapping[str, Any]) -> None:
        """Record that the run has come to its end, what it came to, and under which settings."""
        _write(self.path / "result.json", {"run_id": self.id, **result})
        self.update(state="finished", training=dict(training))
        if self.broken_off.exists():
            self.broken_off.replace(self.last)
        if self.number:
            # Phases are not gone on with after their end.
            shutil.rmtree(self._checkpoints, ignore_errors=True)

    def finished_result(self, training: Mapping[str, Any]) -> dict[str, Any] | None:
        """What a finished run came to; None where it is unfinished or its budget was changed."""
        record = _read(self.path / "run.json")
        same = all(record["training"].get(name) == training.get(name) for name in BUDGET)
        if record["state"] != "finished" or not same:
            return None
        result = _read(self.path / "result.json")
        if result.pop("run_id", None) != record["id"]:
            raise ArtifactError(
                f"{self.path / 'result.json'} is of another run, expected that of {record['id']}. "
                "Give another folder."
            )
        return result

    def update(self, **facts: object) -> None:
        """Record facts about the run, such as its state."""
        record = self.path / "run.json"
        known = _read(record) if record.exists() else {}
        _write(record, known | facts)

    def _create(
        self,
        training: Mapping[str, Any],
        effective: Mapping[str, Any] | None,
        data: str | None,
    ) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        now = datetime.now(UTC)
        name = _new_id(now)
        told = training if effective is None else effective
        _write(self.path / "settings.json", {"run_id": name, **told})
        self.update(
            id=name,
            started=now.isoformat(timespec="seconds"),
            state="running",
            seed=training.get("seed"),
            versions=versions(),
            data=data,
            training=dict(training),
        )

    def _check_same(self, training: Mapping[str, Any]) -> None:
        before = _read(self.path / "run.json").get("training", {})
        # The phases that are over have had their budgets.
        free = FREE - set(BUDGET) if training.get("phases") else FREE
        names = (before.keys() | training.keys()) - free
        other = sorted(n for n in names if before.get(n) != training.get(n))
        if other:
            name = other[0]
            raise SettingsError(
                f"{name} is {training.get(name)!r}, expected {before.get(name)!r} as in the run to "
                f"resume in {self.path}. Resume with its settings, or give another folder."
            )

    def _check_data(self, data: str | None) -> None:
        before = _read(self.path / "run.json").get("data")
        if before != data:
            raise ArtifactError(
                f"data to resume {self.path} with has fingerprint {data}, expected {before} as in "
                "the run. Resume with its data, or give another folder."
            )


def _new_id(now: datetime) -> str:
    return f"{now:%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"


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
