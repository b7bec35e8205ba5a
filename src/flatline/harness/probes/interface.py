"""How a model takes its inputs, what it gives back, and what can be read from that."""

from __future__ import annotations

import inspect
import traceback
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from inspect import Parameter
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from flatline.errors import FlatlineError
from flatline.harness.card import forward_of, outputs_of
from flatline.harness.case import Case
from flatline.harness.inputs import rows_of
from flatline.harness.probes.passes import start
from flatline.harness.probes.scoring import forward
from flatline.harness.trees import leaves

__all__ = [
    "Called", "OneByOne", "Read", "called", "edited", "one_by_one", "readings", "right_call",
]  # fmt: skip

PLACED = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)


@dataclass(frozen=True, slots=True, eq=False)
class Called:
    """One call of a fresh model, as the subject makes it.

    Args:
        model: For the culprit.
        signature: Arguments of its forward.
        right: The call that forward asks for, in words.
        problem: What it raised, empty where it ran.
        file: Where that was raised, in the code of whoever wrote the model.
        line: Its line.
    """

    model: nn.Module
    signature: str
    right: str
    problem: str = ""
    file: str | None = None
    line: int | None = None


@dataclass(frozen=True, slots=True)
class OneByOne:
    """What a model that takes one mapping makes of tensors given one by one.

    Args:
        signature: Arguments of its forward.
        right: The call that forward asks for, in words.
        accepted: The calls that ran, in words; none of them should.
        message: What the call with all tensors raised.
        keys: Of the mapping.
    """

    signature: str
    right: str
    accepted: tuple[str, ...]
    message: str
    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Read:
    """What can be read from the outputs and the loss of the first batch.

    Args:
        rows: Of the inputs, one of each stock and day.
        held: What the outputs hold, a line for each tensor.
        score: None where it cannot be read. Shape (rows, horizons).
        label: None where it cannot be read. Shape (rows, horizons).
        loss: Of the batch, in train mode; None where it cannot be taken.
        trainable: Whether gradient can come through the loss.
        problem: Why something cannot be read.
        horizons: Columns that the subject declares, None where it does not.
    """

    rows: int
    held: tuple[str, ...]
    score: Tensor | None
    label: Tensor | None
    loss: Tensor | None
    trainable: bool
    problem: str
    horizons: int | None


def called(case: Case) -> Called:
    """Call a fresh model as the subject does."""
    model, (inputs, _) = case.model().eval(), case.batch()
    signature, right = forward_of(model), right_call(model, inputs)
    try:
        with torch.no_grad():
            forward(case.subject, model, inputs, case.place)
    except Exception as error:  # noqa: BLE001 (a model may raise anything)
        file, line = _raised_at(error)
        return Called(model, signature, right, _said(error), file, line)
    return Called(model, signature, right)


@torch.no_grad()
def edited(case: Case) -> tuple[nn.Module, list[str]]:
    """A fresh model, and the inputs that a pass of it changes in place, by their paths."""
    model, (inputs, _) = case.model(), case.batch()
    tensors = list(leaves(inputs))
    before = [x._version for _, x in tensors]  # noqa: SLF001 (torch counts its own writes)
    for train in (True, False):
        forward(case.subject, model.train(train), inputs, case.place)
    counted = zip(tensors, before, strict=True)
    return model, [path for (path, x), was in counted if x._version > was]  # noqa: SLF001


def right_call(model: nn.Module, inputs: Any) -> str:  # noqa: ANN401 (the subject's own)
    """The call that forward asks for, in words.

    Example:
        >>> right_call(nn.Bilinear(1, 1, 1), (0, 0))
        'model(input1, input2)'
        >>> right_call(nn.Identity(), {"x": 0, "day": 0})
        "model({'x': ..., 'day': ...})"
    """
    parameters = list(inspect.signature(model.forward).parameters.values())
    required = [p for p in parameters if p.kind in PLACED and p.default is Parameter.empty]
    named = [p for p in parameters if p.kind is Parameter.KEYWORD_ONLY]
    if isinstance(inputs, Mapping) and set(inputs) <= {p.name for p in parameters}:
        return f"model({', '.join(f'{key}=...' for key in inputs)})"
    if len(required) <= 1 and isinstance(inputs, Mapping):
        return f"model({{{', '.join(f'{key!r}: ...' for key in inputs)}}})"
    placed = [p.name for p in required]
    return f"model({', '.join([*placed, *(f'{p.name}=...' for p in named)]) or 'inputs'})"


def one_by_one(case: Case) -> OneByOne | None:
    """Tensors given one by one to a model that takes one mapping; None if it does not."""
    model, inputs = case.model().eval(), case.of(start).inputs
    parameters = inspect.signature(model.forward).parameters.values()
    placed = [p for p in parameters if p.kind in PLACED]
    required = [p for p in placed if p.default is Parameter.empty]
    if not isinstance(inputs, Mapping) or len(required) != 1 or required[0].name in inputs:
        return None
    tensors = [x for x in inputs.values() if isinstance(x, Tensor)]
    calls = {"model(tensor)": tensors[:1], "model(*tensors)": tensors}
    accepted, message = [], ""
    for call, given in calls.items():
        try:
            # Python warns of an index that is a text, before it refuses it.
            with torch.no_grad(), warnings.catch_warnings(action="ignore"):
                model(*given)
            accepted.append(call)
        except Exception as error:  # noqa: BLE001 (that is what it should do)
            message = _said(error)
    return OneByOne(
        signature=forward_of(model),
        right=right_call(model, inputs),
        accepted=tuple(accepted),
        message=message,
        keys=tuple(str(key) for key in inputs),
    )


def readings(case: Case) -> Read:
    """Read scores, labels and loss of the first batch."""
    subject, first = case.subject, case.of(start)
    rows = rows_of(first.inputs, subject.axes)
    held = tuple(outputs_of(first.outputs, rows))
    score = label = loss = None
    doing, problem = "scores", ""
    try:
        score = subject.score_of(first.outputs)
        doing = "labels"
        label = subject.labels_of(first.targets, score)
        doing = "loss"
        model = case.model().train()
        outputs = forward(subject, model, first.inputs, case.place)
        loss = subject.loss_of(outputs, first.targets, first.inputs)
    except Exception as error:  # noqa: BLE001 (the subject's parts may raise anything)
        problem = f"`{doing}` raised {_said(error)}"
    return Read(
        rows=rows,
        held=held,
        score=score,
        label=label,
        loss=loss.detach() if isinstance(loss, Tensor) else loss,
        trainable=isinstance(loss, Tensor) and loss.requires_grad,
        problem=problem,
        horizons=None if subject.horizons is None else len(subject.horizons),
    )


def _said(error: Exception) -> str:
    text = " ".join(str(error).split())
    # Errors of our own are one sentence with its remedy, and worth all of their length.
    shown = text if isinstance(error, FlatlineError) else text[:200]
    return f"{type(error).__name__}: {shown}"


def _raised_at(error: Exception) -> tuple[str | None, int | None]:
    harness, torchs = Path(__file__).parents[1], Path(torch.__file__).parent
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not Path(frame.filename).is_relative_to(harness)
        and not Path(frame.filename).is_relative_to(torchs)
    ]
    return (frames[-1].filename, frames[-1].lineno) if frames else (None, None)
