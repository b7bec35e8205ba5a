"""What a subject says may legitimately not matter, in the words of its inputs."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from flatline.errors import SettingsError
from flatline.harness.inputs import Input, Role

if TYPE_CHECKING:
    from flatline.harness.subject import Subject

__all__ = ["ROOT_NAME", "Aspect", "Declared", "Hears", "column_name", "hears_of", "token_of"]

Aspect = Literal["level", "scale", "gradient"]
Hears = Literal["none", "edges", "day", "past"]

# What an input is called that is the whole of the inputs, and what stands for the graph.
ROOT_NAME, EDGES_NAME = "inputs", "edges"
TOKEN = re.compile(
    r"(?P<path>[^:@~]+)"
    r"(?::(?P<column>[^@~]+)|@(?P<first>-?\d+)(?:-(?P<last>\d+))?)?"
    r"(?:~(?P<aspect>level|scale|gradient))?"
)


@dataclass(frozen=True, slots=True)
class _Entry:
    token: str
    path: str
    column: int | None = None
    steps: frozenset[int] | None = None
    aspect: str | None = None


@dataclass(frozen=True, slots=True)
class Declared:
    """What may not matter, held against the inputs that there are.

    An entry of `insensitive_to` is one of

    - `"stock_id"`: a whole input, by its path; `"inputs"` where the inputs are one tensor,
      `"edges"` for the graph with all its attributes;
    - `"features:close"`, `"features:3"`: a feature, by its name in `columns` or its position;
    - `"features@0"`, `"features@0-4"`, `"features@-1"`: steps of the lookback, 0 the oldest;
    - `"features~level"`, `"features~scale"`: what a window's own mean or spread is, as where
      the model standardises each window by itself;
    - `"features~gradient"`, `"features:sector~gradient"`: that it has a gradient, as where
      its values are looked up or rounded.

    Args:
        entries: What was declared.

    Example:
        >>> window = Input("features", Role.ROWS, ("rows", "lookback", "features"), (8, 5, 2))
        >>> declared = Declared.of(
        ...     ["features:close", "features@0"], (window,), columns={"features": ["open", "close"]}
        ... )
        >>> declared.feature(window, 1), declared.step(window, 0), declared.whole(window)
        (True, True, False)
    """

    entries: tuple[_Entry, ...]

    @classmethod
    def of(
        cls,
        tokens: Iterable[str],
        parts: Sequence[Input],
        *,
        columns: Mapping[str, Sequence[str]] | None = None,
    ) -> Declared:
        """The declarations of a subject.

        Raises:
            SettingsError: One is not of the grammar, or names what the inputs do not have.
        """
        given = [tokens] if isinstance(tokens, str) else list(tokens)
        entries = [entry for token in given for entry in _entries(token, parts, columns or {})]
        return cls(tuple(entries))

    def whole(self, part: Input) -> bool:
        """Whether a whole input may not matter."""
        return any(
            e.path == part.path and e.column is None and e.steps is None and e.aspect is None
            for e in self.entries
        )

    def feature(self, part: Input, index: int) -> bool:
        """Whether a feature may not matter, by itself or with its input."""
        return self.whole(part) or any(
            e.path == part.path and e.column == index and e.aspect is None for e in self.entries
        )

    def step(self, part: Input, index: int) -> bool:
        """Whether a step of the lookback may not matter, by itself or with its input."""
        return self.whole(part) or any(
            e.path == part.path and e.steps is not None and index in e.steps for e in self.entries
        )

    def aspect(self, part: Input, name: Aspect, index: int | None = None) -> bool:
        """Whether an input's level, scale or gradient may be missing, or that of one feature."""
        if self.whole(part) or (index is not None and self.feature(part, index)):
            return True
        return any(
            e.path == part.path and e.aspect == name and e.column in (None, index)
            for e in self.entries
        )


def hears_of(subject: Subject, parts: Sequence[Input]) -> Hears:
    """Which other rows may move a row's scores: as declared, else by edges where there are some.

    Raises:
        SettingsError: What is declared is none of the four.
    """
    if subject.hears is None:
        return "edges" if any(part.role is Role.EDGES for part in parts) else "day"
    if subject.hears not in get_args(Hears):
        raise SettingsError(
            f"hears of subject {subject.name!r} is {subject.hears!r}, expected one of "
            f"{', '.join(map(repr, get_args(Hears)))}. {_nearest(subject.hears, get_args(Hears))}"
        )
    return subject.hears


def column_name(part: Input, index: int, columns: Mapping[str, Sequence[str]] | None = None) -> str:
    """What a feature of an input is called: its name where there is one, else its position."""
    names = (columns or {}).get(part.path, ())
    return str(names[index]) if index < len(names) else str(index)


def token_of(part: Input, *, column: str | None = None, step: int | None = None) -> str:
    """An input, feature or step as it is written in `insensitive_to`."""
    path = part.path or ROOT_NAME
    if column is not None:
        return f"{path}:{column}"
    return path if step is None else f"{path}@{step}"


def _entries(
    token: str, parts: Sequence[Input], columns: Mapping[str, Sequence[str]]
) -> list[_Entry]:
    match = TOKEN.fullmatch(token)
    named = {part.path or ROOT_NAME: part for part in parts}
    if match is None:
        raise SettingsError(
            f"insensitive_to has {token!r}, expected an input such as 'stock_id', a feature "
            "'features:close', a step 'features@0' or an aspect 'features~level'. Correct it."
        )
    if match["path"] == EDGES_NAME and EDGES_NAME not in named and token == EDGES_NAME:
        graph = (Role.EDGES, Role.EDGE_ATTRIBUTES)
        # A batch may come without a graph: then there is nothing to be insensitive to.
        return [_Entry(token, part.path) for part in parts if part.role in graph]
    if match["path"] not in named:
        raise SettingsError(
            f"insensitive_to has {token!r}, expected an input of {sorted(named)}. "
            f"{_nearest(match['path'], list(named))}"
        )
    part = named[match["path"]]
    column = None if match["column"] is None else _column(token, match["column"], part, columns)
    steps = None if match["first"] is None else _steps(token, match, part)
    return [_Entry(token, part.path, column, steps, match["aspect"])]


def _column(token: str, name: str, part: Input, columns: Mapping[str, Sequence[str]]) -> int:
    axis = part.axis("features")
    count = 1 if axis is None else part.shape[axis]
    names = [column_name(part, i, columns) for i in range(count)]
    if name in names:
        return names.index(name)
    if name.isdigit() and int(name) < count:
        return int(name)
    raise SettingsError(
        f"insensitive_to has {token!r}, expected a feature of {part.path or ROOT_NAME!r}: "
        f"a position below {count} or a name in `columns`. {_nearest(name, names)}"
    )


def _steps(token: str, match: re.Match[str], part: Input) -> frozenset[int]:
    axis = part.axis("lookback")
    count = 0 if axis is None else part.shape[axis]
    first = int(match["first"])
    last = first if match["last"] is None else int(match["last"])
    if not (-count <= first <= last < count) or (first < 0 <= last):
        raise SettingsError(
            f"insensitive_to has {token!r}, expected steps of {part.path or ROOT_NAME!r} "
            f"from 0 to {count - 1}, or one counted from the newest, -1. Correct it."
        )
    return frozenset(step % count for step in range(first, last + 1))


def _nearest(name: str, known: Sequence[str]) -> str:
    found = difflib.get_close_matches(name, known, n=1)
    return f"Did you mean {found[0]!r}?" if found else "Correct it, or drop it."
