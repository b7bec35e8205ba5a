"""A subject's signature as a text that people read and snapshots pin."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Iterator, Mapping
from inspect import Parameter
from typing import Any

from torch import Tensor, nn

from flatline.harness.calls import way_of
from flatline.harness.case import Case
from flatline.harness.inputs import inputs_of, rows_of
from flatline.harness.probes.passes import start
from flatline.harness.subject import Subject
from flatline.harness.trees import leaves

__all__ = ["forward_of", "outputs_of", "signature_card"]

# Axes whose length is that of the batch at hand, and no property of the subject.
VARYING = ("rows", "edges")


def signature_card(subject: Subject | Case) -> str:
    """How a subject is called, what goes in, what comes out, and what its weights are.

    Rows and edges stand for themselves: their number is that of the batch at hand. All
    other lengths are numbers. Types of arguments are left out, for Python writes them
    differently from version to version.

    Args:
        subject: The subject, or a case that already has some of its passes.

    Returns:
        The same text for the same subject, whatever the seed.

    Example:
        >>> import torch
        >>> batch = ({"x": torch.rand(6, 3), "day": torch.arange(6) // 3}, torch.rand(6, 1))
        >>> print(signature_card(Subject(
        ...     name="line", batches={"train": [batch]}, loss=nn.MSELoss(),
        ...     model=lambda: nn.Sequential(nn.Linear(3, 1)),
        ...     call=lambda model, inputs: model(inputs["x"]), scores=lambda outputs: outputs,
        ... )))
        line
        forward(input), called by the subject's own `call`
        inputs
          x (rows, 3) float32: values of each row
          day (rows) int64: day of each row
        outputs
          (rows, 1) float32
        scores (rows, 1) float32
        state: 2 tensors, 4 numbers, d5ef0e08
          0: 2 tensors, 4 numbers, c225e8f8
    """
    case = subject if isinstance(subject, Case) else Case(subject)
    return "\n".join(_lines(case))


def _lines(case: Case) -> Iterator[str]:
    first, described = case.of(start), case.subject
    inputs, rows = first.inputs, rows_of(first.inputs, described.axes)
    own = described.call is not None
    way = "the subject's own `call`" if own else str(way_of(first.model, inputs))
    yield described.name
    yield f"forward{forward_of(first.model)}, called by {way}"
    yield "inputs"
    for one in inputs_of(described, inputs):
        names = [a if a in VARYING else str(n) for a, n in zip(one.axes, one.shape, strict=True)]
        dtype = str(dict(leaves(inputs))[one.path].dtype)
        yield f"  {_named(one.path, ', '.join(names), dtype)}: {one.role}"
    yield "outputs"
    for line in outputs_of(first.outputs, rows):
        yield f"  {line}"
    yield _tensor("scores", described.score_of(first.outputs), rows)
    state = {n: x for n, x in first.model.state_dict().items() if isinstance(x, Tensor)}
    yield f"state: {_digest(state)}"
    for part in dict.fromkeys(name.split(".")[0] for name in state):
        held = {n: x for n, x in state.items() if n.split(".")[0] == part}
        yield f"  {part}: {_digest(held, within=part)}"


def forward_of(model: nn.Module) -> str:
    """The arguments of a model's forward, those with a default marked, without their types.

    Example:
        >>> forward_of(nn.MultiheadAttention(2, 1))[:32]
        '(query, key, value, key_padding_'
    """
    arguments = inspect.signature(model.forward).parameters.values()
    bare = [
        p.replace(
            annotation=Parameter.empty,
            default=... if p.default is not Parameter.empty else Parameter.empty,
        )
        for p in arguments
    ]
    return str(inspect.Signature(bare)).replace("Ellipsis", "...")


def outputs_of(outputs: Any, rows: int) -> list[str]:  # noqa: ANN401 (any nesting)
    """One line for each tensor among the outputs, with its path."""
    return [_tensor(path, x, rows) for path, x in leaves(outputs)]


def _tensor(path: str, x: Tensor, rows: int) -> str:
    shape = ["rows" if i == 0 and n == rows else str(n) for i, n in enumerate(x.shape)]
    return _named(path, ", ".join(shape), str(x.dtype))


def _named(path: str, shape: str, dtype: str) -> str:
    return f"{path} ({shape}) {dtype.removeprefix('torch.')}".strip()


def _digest(state: Mapping[str, Tensor], *, within: str = "") -> str:
    """How many tensors and numbers, and a short text that differs if a name or shape does."""
    text = "\n".join(
        f"{name.removeprefix(f'{within}.')} {tuple(x.shape)} {x.dtype}"
        for name, x in sorted(state.items())
    )
    numbers = sum(x.numel() for x in state.values())
    short = hashlib.sha256(text.encode()).hexdigest()[:8]
    return f"{len(state)} tensors, {numbers:,} numbers, {short}"
