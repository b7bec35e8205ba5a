"""A model as a program that runs without this library: torch.export, any number of rows.

A program takes one mapping with the inputs that the model reads, and gives a
mapping of named outputs. What they mean goes along in a `Card`.
"""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from flatline.artifacts.output_names import NEW, names_of
from flatline.batch import DayBatch, Labels
from flatline.errors import ArtifactError
from flatline.evaluation.programs.card import CARD, Card, Program, read_card
from flatline.files import replacing
from flatline.training.guard import eval_mode

__all__ = [
    "Compared", "check_equal", "load_program", "quietly", "save_program", "to_program",
    "trials",
]  # fmt: skip

# Rounding of single precision, a thousand times: other kernels add in another order.
ROUNDING = 1000 * torch.finfo(torch.float32).eps
ROWS, EDGES = 7, 11


class Scorer(nn.Module):
    """A model with named outputs.

    Args:
        model: Returns a `Forecast`.
        horizons: In trading days.
        names: See `Card`.
    """

    def __init__(self, model: nn.Module, *, horizons: tuple[int, ...], names: str) -> None:
        super().__init__()
        self.model = model
        self.outputs = None if names == NEW else names_of(horizons, names)

    def forward(self, inputs: DayBatch) -> dict[str, Tensor]:
        """Named outputs of a batch."""
        point, quantiles = self.model(inputs)
        if self.outputs is None:
            return (
                {"point": point} if quantiles is None else {"point": point, "quantiles": quantiles}
            )
        out = dict(zip(self.outputs, point.unbind(1), strict=True))
        if quantiles is not None:
            each = zip(self.outputs, quantiles.unbind(1), strict=True)
            out |= {f"quantiles_{name}": values for name, values in each}
        return out


def to_program(
    model: nn.Module,
    like: DayBatch,
    card: Card,
    *,
    wrap: Callable[[nn.Module], nn.Module] | None = None,
) -> tuple[ExportedProgram, Card]:
    """A model as a program for any number of rows, and of edges where it reads them.

    Args:
        model: Returns a `Forecast`; it is copied, in eval mode, to the CPU.
        like: A batch that the model takes; only its keys, types and widths are used.
        card: What the features, horizons and levels are; inputs and outputs are filled in.
        wrap: Put around the model before it is traced.

    Raises:
        ArtifactError: An operation of the model cannot be traced.
    """
    bare = deepcopy(model).cpu()
    scorer = Scorer(bare if wrap is None else wrap(bare), horizons=card.horizons, names=card.names)
    example = _example(like)
    with eval_mode(scorer):
        outputs = tuple(scorer(example))
        program = _traced(scorer, example)
        # What no operation reads is no input: the caller need not have it.
        read = _read_inputs(program, tuple(example))
        if len(read) < len(example):
            program = _traced(scorer, {name: example[name] for name in read})
    changes: dict[str, Any] = {"inputs": read, "outputs": outputs}
    if not any(name.startswith("quantiles") for name in outputs):
        changes["levels"] = ()
    return program, Card(**(card.model_dump() | changes))


def _example(like: DayBatch) -> dict[str, Tensor]:
    """A small batch of the same kind; its sizes are ones that tracing takes for nothing special."""
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(ROWS, *like["features"].shape[1:], generator=generator)
    example: dict[str, Tensor] = {
        "features": features.to(like["features"].dtype),
        "group_day": torch.zeros(ROWS, dtype=torch.int64),
        "stock_id": torch.arange(ROWS),
    }
    static, attributes = like.get("static_features"), like.get("edge_attr")
    if static is not None:
        example["static_features"] = torch.rand(ROWS, static.shape[1]).to(static.dtype)
    if "edge_index" in like:
        example["edge_index"] = torch.randint(ROWS, (2, EDGES), generator=generator)
    if attributes is not None:
        example["edge_attr"] = torch.rand(EDGES, attributes.shape[1]).to(attributes.dtype)
    return example


def _traced(scorer: nn.Module, example: dict[str, Tensor]) -> ExportedProgram:
    rows, edges = Dim("rows", min=1), Dim("edges", min=0)
    axes: dict[str, dict[int, Any]] = {name: {0: rows} for name in example}
    axes |= {"edge_index": {1: edges}, "edge_attr": {0: edges}}
    try:
        with quietly():
            return torch.export.export(
                scorer, (example,), dynamic_shapes=({name: axes[name] for name in example},)
            )
    except (RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ArtifactError(
            f"model cannot be traced ({reason}), expected operations that torch.export knows, for "
            "any number of rows. Write that operation without looking at values."
        ) from error


def _read_inputs(program: ExportedProgram, names: tuple[str, ...]) -> tuple[str, ...]:
    """The inputs whose values matter; the number of rows can be taken from any of them."""
    size = torch.ops.aten.sym_size.int
    todo = [node for node in program.graph.nodes if node.op == "output"]
    used = set()
    while todo:
        node = todo.pop()
        if node.name not in used and node.target is not size:
            used.add(node.name)
            todo += node.all_input_nodes
    given = zip(names, program.graph_signature.user_inputs, strict=True)
    return tuple(name for name, placeholder in given if placeholder in used)


@contextmanager
def quietly() -> Iterator[None]:
    """Without what torch says about its own workings while it traces."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def save_program(program: ExportedProgram, card: Card, path: Path) -> None:
    """Write a program with its card as a .pt2 file, whole or not at all."""
    data = io.BytesIO()
    with quietly():
        torch.export.save(program, data, extra_files={CARD: card.model_dump_json()})
    with replacing(path) as partial:
        partial.write_bytes(data.getvalue())


def load_program(path: Path) -> Program:
    """Read a program that `save_program` wrote. A program is code: read those you trust.

    Raises:
        ArtifactError: The file is missing, damaged, or has no card.
    """
    extra: dict[str, Any] = {CARD: ""}
    try:
        with quietly(), path.open("rb") as file:
            run = torch.export.load(io.BytesIO(file.read()), extra_files=extra).module()
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise ArtifactError(
            f"program {path} cannot be read ({reason}), expected a .pt2 file of "
            "`flatline export --program`. Export it again."
        ) from error
    return Program(read_card(extra[CARD], path), run)


def trials(batches: Iterable[tuple[DayBatch, Labels]]) -> Iterator[DayBatch]:
    """Batches, and the first one again without its graph and cut down to a single row."""
    first: DayBatch | None = None
    for inputs, _ in batches:
        first = first or inputs
        yield inputs
    if first is None:
        return
    rows = {name: x for name, x in first.items() if not name.startswith("edge_")}
    alone = {name: x[:1] for name, x in rows.items() if isinstance(x, Tensor)}
    yield from (rows, alone)  # type: ignore[misc]


@dataclass(frozen=True, slots=True)
class Compared:
    """How far a program is from its model.

    Args:
        batches: That both scored.
        rows: In them.
        largest: Difference of a score or a quantile, at most.
        bound: What rounding explains.
    """

    batches: int
    rows: int
    largest: float
    bound: float


def check_equal(program: Program, model: nn.Module, batches: Iterable[DayBatch]) -> Compared:
    """Score batches with a program and with its model.

    Raises:
        ArtifactError: They differ by more than rounding.
    """
    count, rows, largest, scale = 0, 0, 0.0, 0.0
    with eval_mode(model):
        for inputs in batches:
            want, got = model(inputs), program(inputs)
            if (want.quantiles is None) is not (got.quantiles is None):
                raise ArtifactError(
                    "quantiles are given by only one of program and model, expected by both or "
                    "none. Export it again."
                )
            for one, other in zip(want, got, strict=True):
                if one is not None and other is not None:
                    scale = max(scale, float(one.abs().max()))
                    # Written so that a NaN on one side only is a difference too.
                    same = (one == other) | (one.isnan() & other.isnan())
                    apart = torch.where(same, 0.0, (one - other).abs().nan_to_num(torch.inf))
                    largest = max(largest, float(apart.max()))
            count, rows = count + 1, rows + len(inputs["features"])
    bound = ROUNDING * scale
    if not largest <= bound:
        raise ArtifactError(
            f"scores of the program differ from the model's by up to {largest:.3g} in {rows} rows, "
            f"expected at most {bound:.3g}. Do not use it; predict with the run."
        )
    return Compared(count, rows, largest, bound)
