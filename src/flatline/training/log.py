"""The log of a run: a CSV that survives a kill, and TensorBoard where it is installed."""

from __future__ import annotations

import csv
import importlib.util
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger

from flatline.errors import ArtifactError
from flatline.files import replacing
from flatline.training.run_folder import Progress

__all__ = ["RunLog"]


class RunLog(Logger):
    """Rows of named numbers per step, in `metrics.csv` and for TensorBoard.

    Every row is on disk before the next step. A column that is new makes the
    file be written again with it, whole. Numbers are written so that reading
    them gives the same float.

    Args:
        folder: Folder of the run.
        run_id: In a column of every row.
        tensorboard: Also write TensorBoard events, where tensorboard is installed.
        resumed_step: Last step that counts of an earlier run in this folder;
            what it logged later is dropped. None where there is no earlier run.
        before: What earlier phases did; steps and epochs are counted on from there.
        phase: Name of the phase, in a column of its own; None for no such column.
    """

    def __init__(
        self,
        folder: Path,
        *,
        run_id: str,
        tensorboard: bool = False,
        resumed_step: int | None = None,
        before: Progress | None = None,
        phase: str | None = None,
    ) -> None:
        super().__init__()
        self._before = before or Progress()
        self._names = ({} if phase is None else {"phase": phase}) | {"run_id": run_id}
        self.path = folder / "metrics.csv"
        self._columns: list[str] = ["step"]
        self._rows: list[dict[str, str]] = []
        if resumed_step is not None and self.path.exists():
            self._take_up(resumed_step)
        else:
            self.path.unlink(missing_ok=True)
        self._events: Any = None
        if tensorboard and importlib.util.find_spec("tensorboard") is not None:
            # Fails at import where the extra is not installed.
            from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415

            purge = None if resumed_step is None else resumed_step + 1
            self._events = SummaryWriter(str(folder / "tensorboard"), purge_step=purge)
            self._events.add_text("run_id", run_id)

    @property
    def name(self) -> str:
        """Name of the log."""
        return "flatline"

    @property
    def version(self) -> str:
        """None worth showing: the run is its folder."""
        return ""

    def log_hyperparams(self, params: object, *args: object, **kwargs: object) -> None:
        """Nothing: the settings are in `settings.json`."""

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Write one row, and its numbers as TensorBoard scalars."""
        at = self._before.steps + (0 if step is None else step)
        if "epoch" in metrics:
            metrics = {**metrics, "epoch": metrics["epoch"] + self._before.epochs}
        numbers = {name: repr(float(value)) for name, value in metrics.items()}
        row = {"step": str(at)} | self._names | numbers
        self._rows.append(row)
        new = [name for name in row if name not in self._columns]
        if new or not self.path.exists():
            self._columns += new
            self._write_all()
        else:
            with self.path.open("a", newline="") as file:
                csv.DictWriter(file, self._columns, restval="").writerow(row)
        if self._events is not None:
            for name, value in metrics.items():
                self._events.add_scalar(name, float(value), at)

    def finalize(self, status: str) -> None:
        """Close the TensorBoard events."""
        del status
        if self._events is not None:
            self._events.close()

    def _take_up(self, resumed_step: int) -> None:
        with self.path.open(newline="") as file:
            reader = csv.DictReader(file)
            # The last row of a killed process may be cut short.
            for row in reader:
                if row["step"].isdigit() and None not in row.values():
                    kept = {name: value for name, value in row.items() if value}
                    self._rows.append(kept)
            self._columns = list(reader.fieldnames or ["step"])
        other = {row.get("run_id") for row in self._rows} - {self._names["run_id"]}
        if other:
            raise ArtifactError(
                f"{self.path} has rows of run {min(map(str, other))}, expected "
                f"{self._names['run_id']} alone. Put the run's own file back, or start into "
                "another folder."
            )
        self._rows = [row for row in self._rows if int(row["step"]) <= resumed_step]
        self._write_all()

    def _write_all(self) -> None:
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, self._columns, restval="")
        writer.writeheader()
        writer.writerows(self._rows)
        with replacing(self.path) as partial:
            partial.write_text(text.getvalue(), newline="")
