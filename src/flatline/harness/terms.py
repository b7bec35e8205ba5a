"""The terms of a subject's loss, as it declares them: what they are, and what they weigh."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from flatline.errors import SettingsError

__all__ = ["Term"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """One weighted term of a loss.

    Args:
        value: The unweighted term, called as the subject's loss is: from (outputs, targets,
            inputs) or (outputs, targets) to a scalar.
        weight: What it counts in the total.
        shift: Adding a number to a day's scores changes nothing; None: not judged.
        scale: Multiplying a day's scores by a positive number changes nothing; None: not judged.
        apart: The days of a batch do not see each other in it.
        rewards: A forecast loses less than the same upside down; False for a penalty.
        share: The share of the gradient that it is meant to have among the terms that read
            the same outputs, above 0 and up to 1; by default its share of their weights.

    Raises:
        SettingsError: The weight is not above 0, or the share is none.

    Example:
        >>> import torch
        >>> term = Term(value=torch.nn.functional.mse_loss, weight=0.5)
        >>> float(term.value(torch.ones(2), torch.zeros(2)))
        1.0
    """

    value: Callable[..., Tensor]
    weight: float = 1.0
    shift: bool | None = None
    scale: bool | None = None
    apart: bool = True
    rewards: bool = True
    share: float | None = None

    def __post_init__(self) -> None:
        """Refuse numbers that mean nothing."""
        if not self.weight > 0:
            raise SettingsError(
                f"weight of a term is {self.weight}, expected above 0. Leave it out to switch it "
                "off."
            )
        if self.share is not None and not 0.0 < self.share <= 1.0:
            raise SettingsError(
                f"share of a term is {self.share}, expected above 0 and up to 1. Give 0.1 for a "
                "tenth of the gradient."
            )
