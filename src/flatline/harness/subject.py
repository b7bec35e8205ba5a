"""What the harness tests: a model with its batches and loss, described in about five lines."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from flatline.errors import ShapeError

__all__ = ["Scored", "Subject", "labels_like"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A return model as the harness sees it: protocols only.

    Args:
        name: Shown in verdicts.
        model: Makes a fresh module; the harness seeds it.
        batches: From a split, `"train"` or `"valid"`, to an iterable of
            (inputs, targets), any nesting of tensors. Inputs are whole days.
        loss: From (outputs, targets, inputs) to a scalar to minimise.
        scores: From the model's outputs to one score per row and horizon.
            Shape (rows, horizons).
        optimizer: Makes the optimizer for a model; AdamW at 1e-3 by default.
        days: From the inputs to the day of each row, shape (rows,); the key
            `group_day` of a mapping by default.
        oracle: From the inputs to the expected return of each row and horizon,
            where the truth is known. Shape (rows, horizons).

    Example:
        >>> subject = Subject(
        ...     name="line",
        ...     model=lambda: torch.nn.Linear(3, 1),
        ...     batches=lambda split: [(torch.randn(8, 3), torch.randn(8, 1))],
        ...     loss=lambda outputs, targets, inputs: (outputs - targets).square().mean(),
        ...     scores=lambda outputs: outputs,
        ...     days=lambda inputs: torch.arange(8) // 4,
        ... )
        >>> subject.name
        'line'
    """

    name: str
    model: Callable[[], nn.Module]
    batches: Callable[[str], Iterable[tuple[Any, Any]]]
    loss: Callable[[Any, Any, Any], Tensor]
    scores: Callable[[Any], Tensor]
    optimizer: Callable[[nn.Module], torch.optim.Optimizer] | None = None
    days: Callable[[Any], Tensor] | None = None
    oracle: Callable[[Any], Tensor] | None = None

    def make_optimizer(self, model: nn.Module) -> torch.optim.Optimizer:
        """The subject's own optimizer, or AdamW over all parameters."""
        if self.optimizer is not None:
            return self.optimizer(model)
        return torch.optim.AdamW(model.parameters(), lr=1e-3)

    def day_of(self, inputs: Any) -> Tensor:  # noqa: ANN401 (inputs are the subject's own)
        """The day of each row of a batch.

        Raises:
            ShapeError: The days are neither declared nor found.
        """
        if self.days is not None:
            return self.days(inputs)
        if isinstance(inputs, Mapping) and "group_day" in inputs:
            day: Tensor = inputs["group_day"]
            return day
        raise ShapeError(
            f"days of subject {self.name!r} are not known, expected group_day among the inputs. "
            "Add `days=lambda inputs: ...` to the Subject: the day of every row."
        )


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """A model's scores over one split, beside what happened and what was expected.

    Args:
        score: Shape (rows, horizons).
        target: NaN where not known. Shape (rows, horizons).
        day: Shape (rows,).
        oracle: Expected return, None where the truth is not known. Shape (rows, horizons).
    """

    score: Tensor
    target: Tensor
    day: Tensor
    oracle: Tensor | None


def labels_like(targets: Any, score: Tensor) -> Tensor:  # noqa: ANN401 (targets are the subject's own)
    """The labels among a batch's targets: the one float tensor shaped as the scores.

    A bool tensor of the same shape is taken for the mask of known labels.

    Returns:
        Labels, NaN where not known. Shape (rows, horizons).

    Raises:
        ShapeError: No float tensor, or several, have the shape of the scores.

    Example:
        >>> labels_like({"y": torch.ones(2, 1)}, torch.zeros(2, 1)).flatten()
        tensor([1., 1.])
    """
    leaves = [leaf for leaf in pytree.tree_leaves(targets) if isinstance(leaf, Tensor)]
    alike = [leaf for leaf in leaves if leaf.shape == score.shape]
    values = [leaf for leaf in alike if leaf.is_floating_point()]
    known = [leaf for leaf in alike if leaf.dtype == torch.bool]
    if len(values) != 1:
        raise ShapeError(
            f"targets hold {len(values)} float tensors of shape {tuple(score.shape)}, expected "
            "exactly one, as the scores have. Give the labels one column per horizon."
        )
    return torch.where(known[0], values[0], torch.nan) if len(known) == 1 else values[0]
