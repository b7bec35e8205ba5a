"""What every loss returns: one number per day and horizon, and which of them count."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from flatline.errors import NoValidDayError

__all__ = ["PerDay"]


@dataclass(frozen=True, slots=True, eq=False)
class PerDay:
    """One number per day and horizon, and which of them mean anything.

    Args:
        value: Shape (days, horizons). 0 where not valid.
        valid: Shape (days, horizons), bool.

    Example:
        >>> valid = torch.tensor([[True], [False], [True]])
        >>> PerDay(torch.tensor([[1.0], [0.0], [3.0]]), valid).mean()
        tensor([2.])
    """

    value: Tensor
    valid: Tensor

    def mean(self) -> Tensor:
        """Average over the valid days, one number per horizon: (horizons,).

        Raises:
            NoValidDayError: A horizon has no valid day. A silent 0 here would
                train on nothing and look like success.
        """
        days = self.valid.sum(0)
        if not bool((days > 0).all()):
            empty = torch.nonzero(days == 0).flatten().tolist()
            raise NoValidDayError(
                f"valid days per horizon are {days.tolist()}, expected at least 1 each: horizon "
                f"columns {empty} have none. Give more labelled stocks a day, or drop the horizon."
            )
        return torch.where(self.valid, self.value, 0.0).sum(0) / days
