"""What suites read off scored rows: arrays, and the floor that rounding sets."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from flatline.harness.checks.degeneracy import probability_floor
from flatline.harness.probes.scoring import Place, Scored
from flatline.metrics.variance import rounding_floor

__all__ = ["array", "array_or_none", "floor_of"]


def array(x: Tensor) -> NDArray[np.float64]:
    """A tensor on the CPU as an array of float64."""
    return x.double().numpy()


def array_or_none(x: Tensor | None) -> NDArray[np.float64] | None:
    """The same of a part that may be absent."""
    return None if x is None else array(x)


def floor_of(scored: Scored, place: Place) -> NDArray[np.float64]:
    """What rounding may make scores vary by, or the probabilities made of them: (horizons,)."""
    score = array(scored.score)
    if scored.probability is None:
        return rounding_floor(score, eps=place.eps)
    return probability_floor(array(scored.probability), score, eps=place.eps)
