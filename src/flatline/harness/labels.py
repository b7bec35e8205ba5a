"""Scores and labels, one column per horizon, whatever shape they come in."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from flatline.errors import ShapeError
from flatline.harness.trees import leaves

__all__ = ["as_columns", "labels_like"]


def as_columns(x: Any, *, of: str) -> Tensor:  # noqa: ANN401 (whatever a subject gives)
    """A tensor with one column per horizon: (rows,) or (rows, horizons) to (rows, horizons).

    Args:
        x: What a subject gave.
        of: What it is, for the error.

    Raises:
        ShapeError: It is no tensor, or has another number of axes.

    Example:
        >>> as_columns(torch.zeros(3), of="scores").shape
        torch.Size([3, 1])
    """
    if not isinstance(x, Tensor):
        raise ShapeError(
            f"{of} are a {type(x).__name__}, expected a tensor of shape (rows, horizons). "
            "Pick it from the outputs, as in `scores=lambda outputs: outputs['point']`."
        )
    if x.ndim not in (1, 2):
        raise ShapeError(
            f"{of} have shape {tuple(x.shape)}, expected (rows, horizons). "
            "Squeeze or pick the axes that are no horizons."
        )
    return x[:, None] if x.ndim == 1 else x


def labels_like(targets: Any, score: Tensor) -> Tensor:  # noqa: ANN401 (targets are the subject's own)
    """The labels among a batch's targets: the one float tensor shaped as the scores.

    A bool tensor of the same shape is taken for the mask of known labels. Where no float
    tensor has the shape, classes given as whole numbers are taken.

    Args:
        targets: Any nesting of tensors; (rows,) stands for (rows, 1).
        score: Shape (rows, horizons).

    Returns:
        Labels, NaN where not known. Shape (rows, horizons).

    Raises:
        ShapeError: No tensor, or several, have the shape of the scores.

    Example:
        >>> labels_like({"y": torch.ones(2)}, torch.zeros(2, 1)).flatten()
        tensor([1., 1.])
    """
    columns = [x[:, None] if x.ndim == 1 else x for _, x in leaves(targets)]
    alike = [x for x in columns if x.shape == score.shape]
    known = [x for x in alike if x.dtype == torch.bool]
    whole = [x for x in alike if not x.is_floating_point() and x.dtype != torch.bool]
    values = [x for x in alike if x.is_floating_point()] or [x.float() for x in whole]
    if len(values) != 1:
        raise ShapeError(
            f"targets hold {len(values)} float tensors of shape {tuple(score.shape)}, expected "
            "exactly one, as the scores have. Give the labels one column per horizon, or add "
            "`labels=lambda targets: ...` to the Subject."
        )
    return torch.where(known[0], values[0], torch.nan) if len(known) == 1 else values[0]
