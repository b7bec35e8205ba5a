"""What the tensors of a batch's inputs are: which axis holds rows, steps, features."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from flatline.errors import SettingsError, ShapeError
from flatline.harness.trees import leaves

if TYPE_CHECKING:
    from flatline.harness.subject import Subject

__all__ = ["DAY_NAMES", "Input", "Role", "day_column", "device_of", "inputs_of", "rows_of"]

# What the day of each row is called, in the order in which it is looked for.
DAY_NAMES = ("group_day", "day", "days", "day_id", "date", "dates", "date_id")
EDGES, EDGE_ATTRIBUTES = ("ends", "edges"), ("edges", "features")
# As recurrent networks of torch take it by default.
STEPS_FIRST = ("lookback", "rows", "features")
BY_ROW = {1: ("rows",), 2: ("rows", "features"), 3: ("rows", "lookback", "features")}

Axes = Mapping[str, Sequence[str]]


class Role(StrEnum):
    """What an input is to the model."""

    ROWS = "values of each row"
    CATEGORY = "category of each row"
    MASK = "mask of each row"
    DAY = "day of each row"
    EDGES = "edges"
    EDGE_ATTRIBUTES = "attributes of the edges"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Input:
    """One tensor among the inputs.

    Args:
        path: Where it is, such as `features`, `0` or `static.x`; empty where the inputs
            are one tensor.
        role: What it is to the model.
        axes: Name of each axis.
        shape: In the batch that was looked at.
    """

    path: str
    role: Role
    axes: tuple[str, ...]
    shape: tuple[int, ...]

    def axis(self, name: str) -> int | None:
        """The position of an axis, None where there is none of that name."""
        return self.axes.index(name) if name in self.axes else None

    def __str__(self) -> str:
        return f"{self.path or 'inputs'} ({', '.join(self.axes)}): {self.role}"


def inputs_of(subject: Subject, inputs: Any) -> tuple[Input, ...]:  # noqa: ANN401 (the subject's own)
    """What every tensor of one batch's inputs is, declared or inferred.

    Raises:
        SettingsError: Axes are declared for an input that is not there, or not as many as it has.

    Example:
        >>> from flatline.harness import Subject
        >>> subject = Subject(name="any", model=torch.nn.Identity, batches={}, loss=torch.sub,
        ...                   scores=lambda y: y)
        >>> for one in inputs_of(subject, {"x": torch.rand(6, 5, 3), "day": torch.arange(6) // 3}):
        ...     print(one)
        x (rows, lookback, features): values of each row
        day (rows): day of each row
    """
    found = dict(leaves(inputs))
    declared = dict(subject.axes or {})
    for path, axes in declared.items():
        if path not in found or found[path].ndim != len(axes):
            shape = tuple(found[path].shape) if path in found else "absent"
            raise SettingsError(
                f"axes of input {path!r} of subject {subject.name!r} are {tuple(axes)}, and the "
                f"input is {shape}, expected a name for every axis of one of {sorted(found)}. "
                "Correct `axes` of the Subject."
            )
    # Days that are declared say how many rows there are, whatever the inputs look like.
    days = subject.day_of(inputs) if callable(subject.days) else None
    seen = _Seen(
        rows=rows_of(inputs, declared) if days is None else len(days),
        day=day_column(inputs) if subject.days is None else None,
        edges=next((x for path, x in found.items() if _is_edges(path, x, declared)), None),
        declared=declared,
    )
    return tuple(_input(path, x, seen) for path, x in found.items())


def rows_of(inputs: Any, axes: Axes | None = None) -> int:  # noqa: ANN401
    """How many rows a batch has: the axis declared as such, the days, or the commonest first one.

    Raises:
        ShapeError: There is no tensor to count.
    """
    found = dict(leaves(inputs))
    for path, names in (axes or {}).items():
        if "rows" in names and path in found:
            return found[path].shape[list(names).index("rows")]
    day = day_column(inputs)
    if day is not None:
        return len(day)
    # A graph has more edges than rows, and its tensors are named after them.
    by_row = [x for path, x in found.items() if x.ndim and "edge" not in path]
    counted = Counter(x.shape[0] for x in by_row if x.is_floating_point())
    counted = counted or Counter(x.shape[0] for x in by_row)
    if not counted:
        raise ShapeError(
            "inputs hold no tensor with one entry for each row, expected one for each stock and "
            "day. Give the model's features among the inputs, or add `axes` to the Subject."
        )
    return counted.most_common(1)[0][0]


def day_column(inputs: Any) -> Tensor | None:  # noqa: ANN401
    """The day of each row, where the inputs are a mapping that names it."""
    if not isinstance(inputs, Mapping):
        return None
    named = (inputs[name] for name in DAY_NAMES if name in inputs)
    return next((x for x in named if isinstance(x, Tensor) and _is_column(x)), None)


def device_of(inputs: Any) -> torch.device:  # noqa: ANN401
    """Where a batch lies."""
    return next((x.device for _, x in leaves(inputs)), torch.device("cpu"))


def _is_column(x: Tensor) -> bool:
    return x.ndim == 1 and not x.is_floating_point() and x.dtype != torch.bool


def _is_edges(path: str, x: Tensor, declared: Axes) -> bool:
    if path in declared:
        return tuple(declared[path]) == EDGES
    return "edge" in path and x.ndim == 2 and x.shape[0] == 2 and not x.is_floating_point()


class _Seen(NamedTuple):
    rows: int
    day: Tensor | None
    edges: Tensor | None
    declared: Axes


def _input(path: str, x: Tensor, seen: _Seen) -> Input:
    shape = tuple(x.shape)
    if x is seen.edges:
        return Input(path, Role.EDGES, EDGES, shape)
    if x is seen.day:
        return Input(path, Role.DAY, ("rows",), shape)
    axes = tuple(seen.declared[path]) if path in seen.declared else _guess(path, x, seen)
    if "edges" in axes:
        return Input(path, Role.EDGE_ATTRIBUTES, axes, shape)
    if "rows" not in axes:
        return Input(path, Role.OTHER, axes, shape)
    if x.dtype == torch.bool:
        return Input(path, Role.MASK, axes, shape)
    return Input(path, Role.ROWS if x.is_floating_point() else Role.CATEGORY, axes, shape)


def _guess(path: str, x: Tensor, seen: _Seen) -> tuple[str, ...]:
    edges, by_row = seen.edges, x.ndim > 0 and x.shape[0] == seen.rows
    if edges is not None and "edge" in path and x.ndim and x.shape[0] == edges.shape[1]:
        return EDGE_ATTRIBUTES[: x.ndim]
    if by_row and x.ndim in BY_ROW:
        return BY_ROW[x.ndim]
    if x.ndim == 3 and x.is_floating_point() and x.shape[1] == seen.rows:
        return STEPS_FIRST
    first = ("rows",) if by_row else ()
    return first + tuple(f"axis {i}" for i in range(len(first), x.ndim))
