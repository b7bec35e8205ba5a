"""What leaves a run: predictions, a torch.export program, an ONNX file, each checked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import nn

from flatline.artifacts.output_names import NEW, check_style
from flatline.errors import SettingsError
from flatline.evaluation.experiment import Experiment, Split
from flatline.evaluation.export import Written, export_predictions
from flatline.evaluation.programs.card import Card, Program, card_of
from flatline.evaluation.programs.onnx import check_onnx_installed, load_onnx, save_onnx
from flatline.evaluation.programs.program import (
    Compared,
    check_equal,
    load_program,
    save_program,
    to_program,
    trials,
)
from flatline.evaluation.run import manifest_of, open_run
from flatline.files import replacing

__all__ = ["Exported", "ExportedProgram", "export_run"]

# Train days are shuffled and may be sampled: they have no fixed rows.
SPLITS: tuple[Split, ...] = ("valid", "test")
# Test days, evenly spaced, on which a program is held against its model.
DAYS = 20


@dataclass(frozen=True, slots=True)
class ExportedProgram:
    """A program that was written, read back and held against its model.

    Args:
        kind: `program` or `onnx`.
        path: The file.
        card: What it takes and gives.
        compared: How far its scores are from the model's.
    """

    kind: str
    path: Path
    card: Card
    compared: Compared


@dataclass(frozen=True, slots=True)
class Exported:
    """All that was written.

    Args:
        run: Folder of the run.
        run_id: Its id.
        predictions: None where none were asked for.
        programs: In the order written.
    """

    run: Path
    run_id: str
    predictions: Written | None
    programs: tuple[ExportedProgram, ...]

    def lines(self) -> list[str]:
        """A sentence for each file: what it is, and what was verified."""
        lines = []
        if self.predictions is not None:
            lines.append(self.predictions.sentence())
        for each in self.programs:
            found, card = each.compared, each.card
            lines.append(
                f"{each.kind}: {each.path}: {', '.join(card.inputs)} to {', '.join(card.outputs)}; "
                f"{found.rows} rows in {found.batches} batches scored beside the model, largest "
                f"difference {found.largest:.3g} (at most {found.bound:.3g})"
            )
        return lines

    def as_data(self) -> dict[str, Any]:
        """The same as plain data, ready for JSON."""
        written = None
        if self.predictions is not None:
            written = asdict(self.predictions) | {"path": str(self.predictions.path)}
        programs = [
            {
                "kind": each.kind,
                "path": str(each.path),
                "card": each.card.model_dump(mode="json"),
                "compared": asdict(each.compared),
            }
            for each in self.programs
        ]
        return {
            "run": str(self.run), "run_id": self.run_id, "predictions": written,
            "programs": programs,
        }  # fmt: skip


def export_run(
    run_dir: Path,
    *,
    prices: tuple[str, ...] = (),
    predictions: Path | None = None,
    split: str = "test",
    names: str = NEW,
    program: Path | None = None,
    onnx: Path | None = None,
    on_stage: Callable[[str], None] = lambda _: None,
) -> Exported:
    """Write what is asked for of a finished run, and check it.

    Args:
        run_dir: Folder of the run.
        prices: Where its price files are now, if not where they were.
        predictions: Parquet file for the scores of *split*.
        split: valid or test.
        names: What scores are called: `new`, or a style of `artifacts.output_names`.
        program: File for the program of torch.export.
        onnx: File for the ONNX program.
        on_stage: Called with the name of each stage as it begins, for progress.

    Raises:
        SettingsError: Nothing is asked for, a name is unknown, or the extra is missing.
        ArtifactError: The run cannot be opened, or what was written is not as it must be.
    """
    _check_asked(predictions, program, onnx, split, names)
    experiment, model = open_run(run_dir, prices=prices, on_stage=on_stage)
    manifest = manifest_of(experiment, model, run_dir)
    written = None
    if predictions is not None:
        on_stage(f"predicting the {split} days")
        chosen: Split = split  # type: ignore[assignment]
        written = export_predictions(
            experiment, model, predictions, run_id=manifest.run_id, split=chosen, names=names
        )
    card = card_of(experiment, manifest, names=names)
    programs = []
    for kind, path in (("program", program), ("onnx", onnx)):
        if path is not None:
            on_stage(f"tracing the model ({kind})")
            programs.append(_program(kind, path, experiment, model, card))
    return Exported(run_dir, manifest.run_id, written, tuple(programs))


def _check_asked(
    predictions: Path | None, program: Path | None, onnx: Path | None, split: str, names: str
) -> None:
    """Everything that can be refused before the prices are read."""
    if predictions is None and program is None and onnx is None:
        raise SettingsError(
            "what to export is nothing, expected --predictions, --program or --onnx with a file. "
            "Name one."
        )
    if split not in SPLITS:
        raise SettingsError(f"split is {split!r}, expected {' or '.join(SPLITS)}. Choose one.")
    check_style(names)
    if onnx is not None:
        check_onnx_installed()


def _program(
    kind: str, path: Path, experiment: Experiment, model: nn.Module, card: Card
) -> ExportedProgram:
    batches = experiment.batches("test", most_days=DAYS)
    like, _ = next(iter(batches))
    read: Program
    # Under its name only once it scores as the model does.
    with replacing(path) as partial:
        if kind == "onnx":
            save_onnx(model, like, card, partial)
            read = load_onnx(partial)
        else:
            save_program(*to_program(model, like, card), partial)
            read = load_program(partial)
        compared = check_equal(read, model, trials(batches))
    return ExportedProgram(kind, path, read.card, compared)
