"""What a loss promises, as its author declares it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from flatline.errors import SettingsError

__all__ = ["AtConstant", "Best", "Promises"]

AtConstant = Literal["alive", "undefined", "dead"]
Best = Literal["forecast", "order", "direction"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Promises:
    """What a loss promises beyond what every loss must keep. What is None is not judged.

    Args:
        at_constant: What it does at exactly constant scores. `alive`: its gradient pushes
            stocks with higher labels up against the others. `undefined`: the day is not valid,
            or the loss refuses. `dead`: it has a value but no gradient that tells stocks apart.
        best: What has the least loss: a `forecast` equal to the targets, the `order` of the
            targets among all orders of the same scores, or just the right `direction`: scores
            equal to the targets lose less than the same upside down.
        shift: Whether adding a number to a day's scores changes nothing.
        scale: Whether multiplying a day's scores by a positive number changes nothing.
        ranks: Whether only the order of the scores counts, give or take a smoothing.
        degree: Multiplying scores and targets by a multiplies the value by a**degree.
        mean_of_days: The loss of several days is the mean of theirs.
        follows: Its value on a day depends on the day before.
        differentiable: Its gradient is the derivative of its value; False for a surrogate.
        unit: Spread of the targets it is made for: 0.01 for daily returns as fractions.

    Raises:
        SettingsError: A promise is none of these, or the unit is not above 0.

    Example:
        >>> Promises(at_constant="undefined", shift=True, scale=True).best
        'direction'
    """

    at_constant: AtConstant | None = "alive"
    best: Best | None = "direction"
    shift: bool | None = None
    scale: bool | None = None
    ranks: bool | None = None
    degree: float | None = None
    mean_of_days: bool = True
    follows: bool = False
    differentiable: bool = True
    unit: float = 1.0

    def __post_init__(self) -> None:
        """Refuse words that mean nothing."""
        known = {
            "at_constant": ("alive", "undefined", "dead", None),
            "best": ("forecast", "order", "direction", None),
        }
        for name, words in known.items():
            if getattr(self, name) not in words:
                raise SettingsError(
                    f"{name} is {getattr(self, name)!r}, expected one of {words}. "
                    "Choose what the loss promises, or None where it is not to be judged."
                )
        if not self.unit > 0:
            raise SettingsError(
                f"unit is {self.unit}, expected above 0. Give the spread of the targets."
            )
