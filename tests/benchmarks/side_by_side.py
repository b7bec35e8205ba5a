"""Two ways to do one thing, timed in turns, so that what else the machine does falls on both."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

__all__ = ["AT_LEAST", "AT_MOST", "Figure", "Times", "costs", "rates", "take_turns"]

Kind = Literal["at least", "at most"]
AT_LEAST: Kind = "at least"
AT_MOST: Kind = "at most"


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds of every turn of one way."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """What a turn usually takes."""
        return statistics.median(self.seconds)

    @property
    def best(self) -> float:
        """What a turn takes when nothing else runs."""
        return min(self.seconds)


@dataclass(frozen=True, slots=True)
class Figure:
    """A measured ratio and what it should be.

    Args:
        name: What was measured.
        ours: In *unit*.
        peer: In *unit*.
        peer_name: What ours is held against.
        unit: Of ours and peer.
        ratio: Ours to peer; of rates where more is better, of costs where less is.
        target: What the ratio should reach, or stay under.
        kind: Whether the target is the least or the most.
        best_ratio: The same ratio of the best turns instead of the medians.
    """

    name: str
    ours: float
    peer: float
    peer_name: str
    unit: str
    ratio: float
    target: float
    kind: Kind
    best_ratio: float | None = None

    @property
    def met(self) -> bool:
        """Whether the ratio keeps to its target."""
        return self.ratio >= self.target if self.kind == AT_LEAST else self.ratio <= self.target


def take_turns(
    works: Mapping[str, Callable[[], object]], *, turns: int = 15, warm_up: int = 2
) -> dict[str, Times]:
    """Time each piece of work once a turn; the turns that warm up do not count."""
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for turn in range(warm_up + turns):
        for name, work in works.items():
            start = time.perf_counter()
            work()
            if turn >= warm_up:
                seconds[name].append(time.perf_counter() - start)
    return {name: Times(tuple(found)) for name, found in seconds.items()}


def rates(
    name: str, ours: Times, peer: Times, *, peer_name: str, each: float, unit: str, target: float
) -> Figure:
    """How many times the peer's rate ours is, a turn being *each* of *unit*."""
    return Figure(
        name=name,
        ours=each / ours.median,
        peer=each / peer.median,
        peer_name=peer_name,
        unit=unit,
        ratio=peer.median / ours.median,
        target=target,
        kind=AT_LEAST,
        best_ratio=peer.best / ours.best,
    )


def costs(name: str, ours: Times, peer: Times, *, peer_name: str, target: float) -> Figure:
    """What share of the peer's time ours takes."""
    return Figure(
        name=name,
        ours=ours.median * 1e3,
        peer=peer.median * 1e3,
        peer_name=peer_name,
        unit="ms",
        ratio=ours.median / peer.median,
        target=target,
        kind=AT_MOST,
        best_ratio=ours.best / peer.best,
    )
