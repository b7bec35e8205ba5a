"""How far the scores go with one part of the inputs."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from flatline.harness.inputs import Input

__all__ = ["Influence", "Influences", "Part"]


class Part(StrEnum):
    """What of the inputs was changed."""

    INPUT = "input"
    FEATURE = "feature"
    STEP = "step"
    LEVEL = "level"
    SCALE = "scale"
    EDGES = "edges"
    NEIGHBOURS = "neighbours"


@dataclass(frozen=True, slots=True)
class Influence:
    """How far the scores go with one part of the inputs.

    Args:
        token: The part, as it is written in `insensitive_to`.
        part: What it is.
        source: The input it is of.
        index: Position of a feature or step.
        moved: Change of the scores where rows trade this part, in units of their change
            where rows trade everything, largest over the horizons.
        gradient: Largest gradient with respect to it, of all scores added up with random
            signs; None where there can be none, as of categories.
        whole: Whether all its values are whole numbers, as those of a category are.
    """

    token: str
    part: Part
    source: Input
    index: int | None
    moved: float
    gradient: float | None = None
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Influences:
    """The influence of everything that could be changed, and what could not.

    Args:
        found: One for each part of the inputs.
        untried: Inputs that nothing could be said of, and why.
        finite: Whether the scores are numbers at all.
    """

    found: tuple[Influence, ...]
    untried: tuple[tuple[str, str], ...]
    finite: bool

    def of(self, *parts: Part) -> tuple[Influence, ...]:
        """Those of these kinds."""
        return tuple(one for one in self.found if one.part in parts)
