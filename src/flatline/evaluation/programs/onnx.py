"""A model as an ONNX file, and its scores through onnxruntime."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from flatline.batch import DayBatch, Forecast
from flatline.errors import ArtifactError, SettingsError
from flatline.evaluation.programs.card import CARD, Card, Program, read_card
from flatline.evaluation.programs.program import quietly, to_program
from flatline.files import replacing

__all__ = ["check_onnx_installed", "load_onnx", "save_onnx"]

EXTRA = ("onnx", "onnxscript", "onnxruntime")


class NeverWithoutEdges(nn.Module):
    """A model with one more row and an edge from it to itself, which are cut off again.

    onnxruntime gives the sum over no edges a wrong number of axes, so there is always
    one. Rows hear of each other along edges only: the row more changes no other.

    Args:
        model: Returns a `Forecast`.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, inputs: Mapping[str, Tensor]) -> Forecast:
        """Scores of the rows that were given."""
        if "edge_index" not in inputs:
            plain: Forecast = self.model(inputs)
            return plain
        more = {
            name: torch.cat([rows, rows[:1]]) for name, rows in inputs.items() if not _edge(name)
        }
        index = inputs["edge_index"]
        itself = index.new_full((2, 1), inputs["features"].shape[0])
        more["edge_index"] = torch.cat([index, itself], 1)
        if "edge_attr" in inputs:
            attributes = inputs["edge_attr"]
            more["edge_attr"] = torch.cat(
                [attributes, attributes.new_zeros(1, attributes.shape[1])]
            )
        point, quantiles = self.model(more)
        return Forecast(point[:-1], None if quantiles is None else quantiles[:-1])


def _edge(name: str) -> bool:
    return name.startswith("edge_")


def save_onnx(model: nn.Module, like: DayBatch, card: Card, path: Path) -> None:
    """Write a model as ONNX with its card, whole or not at all.

    Args:
        model: Returns a `Forecast`.
        like: A batch that the model takes.
        card: What features, horizons and levels are.
        path: File to write.

    Raises:
        SettingsError: A library of the extra is missing.
        ArtifactError: An operation of the model has no ONNX form.
    """
    check_onnx_installed()
    program, filled = to_program(model, like, card, wrap=NeverWithoutEdges)
    try:
        with quietly():
            made = torch.onnx.export(
                program,
                dynamo=True,
                verbose=False,
                input_names=list(filled.inputs),
                output_names=list(filled.outputs),
            )
    except torch.onnx.OnnxExporterError as error:
        cause = error.__cause__ or error
        reason = " ".join(str(cause).split())[:300]
        raise ArtifactError(
            f"model cannot be written as ONNX ({reason}), expected operations that ONNX has. "
            "Export it with --program instead."
        ) from error
    if made is None:  # Only where an input was given instead of a program.
        raise ArtifactError("ONNX export gave nothing, expected a model. Update torch.")
    made.model.metadata_props[CARD] = filled.model_dump_json()
    made.model.graph.name = filled.model
    with replacing(path) as partial, quietly():
        made.save(str(partial), external_data=False)


def load_onnx(path: Path) -> Program:
    """An ONNX file of `save_onnx`, run by onnxruntime on the CPU.

    Raises:
        SettingsError: onnxruntime is missing.
        ArtifactError: The file is missing or damaged, or has no card.
    """
    check_onnx_installed()
    import onnxruntime  # noqa: PLC0415 (an extra)

    try:
        session = onnxruntime.InferenceSession(
            path.read_bytes(), providers=["CPUExecutionProvider"]
        )
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise ArtifactError(
            f"program {path} cannot be read ({reason}), expected a file of "
            "`flatline export --onnx`. Export it again."
        ) from error
    card = read_card(session.get_modelmeta().custom_metadata_map.get(CARD, ""), path)

    def run(inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        found: list[Any] = session.run(
            list(card.outputs), {name: tensor.numpy() for name, tensor in inputs.items()}
        )
        return {n: torch.from_numpy(x) for n, x in zip(card.outputs, found, strict=True)}

    return Program(card, run)


def check_onnx_installed() -> None:
    """Refuse to begin without the libraries of the extra.

    Raises:
        SettingsError: One is missing.
    """
    for name in EXTRA:
        try:
            import_module(name)
        except ImportError as error:
            raise SettingsError(
                f"{name} is not installed ({error}), expected for ONNX. "
                "Install it: pip install 'flatline[onnx]'."
            ) from error
