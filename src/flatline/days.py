"""Which rows belong to which day: per-day sums, means and ranks.

A trading day is the unit of every loss and metric. `Days` holds the day of
every row of a batch and moves values between the two views: one value per row,
and one value per day. Where the rows of a batch are contiguous days of equal
length (the common case) both directions are plain reshapes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from flatline.errors import ShapeError

__all__ = ["Days"]


@dataclass(frozen=True, slots=True, eq=False)
class Days:
    """The day of every row.

    Build it with `from_ids` or `from_lengths`; rows may be in any order.

    Args:
        index: Position of each row's day, 0 to count - 1. Shape (rows,), int64.
        slot: Position of each row within its day. Shape (rows,), int64.
        lengths: Rows of each day. Shape (days,), int64.
        ids: The day ids as given, ascending. Shape (days,), int64.
        width: Rows of the longest day.
        regular: True when days are contiguous, ascending and equally long.

    Example:
        >>> days = Days.from_ids(torch.tensor([7, 7, 9]))
        >>> days.total(torch.tensor([1.0, 2.0, 3.0]))
        tensor([3., 3.])
        >>> days.spread(torch.tensor([10.0, 20.0]))
        tensor([10., 10., 20.])
    """

    index: Tensor
    slot: Tensor
    lengths: Tensor
    ids: Tensor
    width: int
    regular: bool

    @classmethod
    def from_ids(cls, group_day: Tensor) -> Days:
        """Days from the day id of every row, equal ids being one day.

        Args:
            group_day: Day of each row, in any order. Shape (rows,), integer.

        Raises:
            ShapeError: *group_day* is empty, or not a vector of integers.
        """
        if group_day.ndim != 1 or group_day.numel() == 0 or group_day.is_floating_point():
            raise ShapeError(
                f"group_day has shape {tuple(group_day.shape)} and type {group_day.dtype}, "
                "expected one integer per row and at least one row. "
                "Give the day of every row as an int64 vector."
            )
        ids, index, lengths = torch.unique(group_day, return_inverse=True, return_counts=True)
        return cls._build(index, lengths, ids.to(torch.int64))

    @classmethod
    def from_lengths(cls, lengths: Sequence[int]) -> Days:
        """Days that follow each other, the first with `lengths[0]` rows, and so on.

        Raises:
            ShapeError: There is no day, or a day has no row.

        Example:
            >>> Days.from_lengths([2, 1]).index
            tensor([0, 0, 1])
        """
        sizes = torch.as_tensor(list(lengths), dtype=torch.int64)
        if sizes.numel() == 0 or int(sizes.min()) < 1:
            raise ShapeError(
                f"lengths is {list(lengths)}, expected at least one day and one row per day. "
                "Leave days without rows out."
            )
        ids = torch.arange(sizes.numel())
        return cls._build(torch.repeat_interleave(ids, sizes), sizes, ids)

    @classmethod
    def _build(cls, index: Tensor, lengths: Tensor, ids: Tensor) -> Days:
        order = torch.argsort(index, stable=True)
        first = torch.cumsum(lengths, 0) - lengths
        slot = torch.empty_like(index)
        slot[order] = torch.arange(index.numel(), device=index.device) - first[index[order]]
        width = int(lengths.max())
        even = width * lengths.numel() == index.numel()
        sorted_rows = bool((index[1:] >= index[:-1]).all())
        return cls(index, slot, lengths, ids, width, even and sorted_rows)

    @property
    def count(self) -> int:
        """Number of days."""
        return self.lengths.numel()

    @property
    def rows(self) -> int:
        """Number of rows."""
        return self.index.numel()

    def to(self, device: torch.device | str) -> Days:
        """The same days with their tensors on *device*."""
        return Days(
            self.index.to(device),
            self.slot.to(device),
            self.lengths.to(device),
            self.ids.to(device),
            self.width,
            self.regular,
        )

    def check_rows(self, **tensors: Tensor) -> None:
        """Refuse tensors whose first axis does not have one entry per row.

        Raises:
            ShapeError: Names the first tensor that does not fit.
        """
        for name, tensor in tensors.items():
            if tensor.ndim == 0 or tensor.shape[0] != self.rows:
                raise ShapeError(
                    f"{name} has shape {tuple(tensor.shape)}, expected ({self.rows}, ...): one "
                    f"value per row of these {self.count} days. Take both from the same batch."
                )

    def pad(self, x: Tensor, fill: float = 0.0) -> Tensor:
        """Rows laid out as days: (rows, ...) to (days, width, ...), *fill* where no row is.

        A view where the days are regular, a copy otherwise.
        """
        shape = (self.count, self.width, *x.shape[1:])
        if self.regular:
            return x.reshape(shape)
        return x.new_full(shape, fill).index_put((self.index, self.slot), x)

    def unpad(self, x: Tensor) -> Tensor:
        """The inverse of `pad`: (days, width, ...) to (rows, ...)."""
        if self.regular:
            return x.reshape(self.rows, *x.shape[2:])
        return x[self.index, self.slot]

    def total(self, x: Tensor) -> Tensor:
        """Sum over the rows of each day: (rows, ...) to (days, ...)."""
        if self.regular:
            return self.pad(x).sum(1)
        return x.new_zeros(self.count, *x.shape[1:]).index_add(0, self.index, x)

    def mean(self, x: Tensor) -> Tensor:
        """Average over the rows of each day: (rows, ...) to (days, ...)."""
        lengths = self.lengths.to(x.dtype).reshape(-1, *[1] * (x.ndim - 1))
        return self.total(x) / lengths

    def spread(self, per_day: Tensor) -> Tensor:
        """Each day's value to every row of it: (days, ...) to (rows, ...)."""
        if self.regular:
            rest = per_day.shape[1:]
            wide = per_day.unsqueeze(1).expand(self.count, self.width, *rest)
            return wide.reshape(self.rows, *rest)
        return per_day[self.index]

    def centre(self, x: Tensor) -> Tensor:
        """Rows less the mean of their day: (rows, ...) to (rows, ...)."""
        return x - self.spread(self.mean(x))

    def rank(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Rank within the day, 1 for the smallest; ties share the average rank.

        Args:
            x: Values to rank. Shape (rows, columns).
            mask: True where a value counts; others get rank 0. Shape (rows, columns).

        Returns:
            Ranks without gradient, in the type of *x*. Shape (rows, columns).

        Example:
            >>> Days.from_lengths([3]).rank(torch.tensor([[5.0], [1.0], [5.0]])).flatten()
            tensor([2.5000, 1.0000, 2.5000])
        """
        x = x.detach()
        known = torch.ones_like(x, dtype=torch.bool) if mask is None else mask
        # Uncounted values sort behind every counted one and so leave its rank alone.
        filled = torch.where(known, x, torch.inf)
        wide = self.pad(filled, fill=torch.inf).movedim(1, -1).contiguous()
        ordered = wide.sort(dim=-1).values
        below = torch.searchsorted(ordered, wide, right=False)
        upto = torch.searchsorted(ordered, wide, right=True)
        ranks = self.unpad(((below + upto + 1).to(x.dtype) / 2).movedim(-1, 1))
        return torch.where(known, ranks, 0.0)
