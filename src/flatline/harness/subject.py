"""What the harness tests: a model with its batches and loss, described in about five lines."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from flatline.errors import SettingsError, ShapeError

__all__ = ["Axis", "Scored", "Subject", "labels_like"]

Axis = Literal["stocks", "time"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A return model as the harness sees it: protocols only.

    Args:
        name: Shown in verdicts.
        model: Makes a fresh module; the harness seeds it.
        batches: From a split, `"train"`, `"valid"` or the *later* one, to an iterable
            of (inputs, targets), any nesting of tensors. Inputs are whole days.
        loss: From (outputs, targets, inputs) to a scalar to minimise.
        scores: From the model's outputs to one score per row and horizon.
            Shape (rows, horizons).
        optimizer: Makes the optimizer for a model; AdamW at 1e-3 by default.
        days: From the inputs to the day of each row, shape (rows,); the key
            `group_day` of a mapping by default.
        oracle: From the inputs to the expected return of each row and horizon, or to the
            probability of the class, where the truth is known. Shape (rows, horizons).
        axis: What scores must tell apart: the stocks of a day, or, for a single series
            with one row a day, its days.
        probabilities: For classification, from the model's outputs to the probability
            of the class. Shape (rows, horizons).
        classes: From the labels to whether each is of the class, bool of the same shape;
            those above 0 by default. A label that is NaN has no class.
        later: Split of a later period that nothing was trained on or chosen by.
        attention: From the model and the inputs to attention weights, which add up to 1
            along the keys. Shape (rows, ..., keys).

    Raises:
        SettingsError: *axis* is neither, or *classes* come without *probabilities*.

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
    axis: Axis = "stocks"
    probabilities: Callable[[Any], Tensor] | None = None
    classes: Callable[[Tensor], Tensor] | None = None
    later: str | None = None
    attention: Callable[[nn.Module, Any], Tensor] | None = None

    def __post_init__(self) -> None:
        """Refuse parts that contradict each other."""
        if self.axis not in ("stocks", "time"):
            raise SettingsError(
                f"axis of subject {self.name!r} is {self.axis!r}, expected 'stocks' or 'time'. "
                "Compare the stocks of a day, or the days of one series."
            )
        if self.classes is not None and self.probabilities is None:
            raise SettingsError(
                f"classes of subject {self.name!r} are given without probabilities, expected "
                "both. Add `probabilities=lambda outputs: ...`, or drop classes."
            )

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

    def group_of(self, inputs: Any) -> Tensor:  # noqa: ANN401
        """Which rows of a batch are compared with each other: those of a day, or all."""
        day = self.day_of(inputs)
        return day if self.axis == "stocks" else torch.zeros_like(day)

    def class_of(self, labels: Tensor) -> Tensor:
        """1 where a label is of the class, 0 where it is not, NaN where it is not known."""
        event = labels > 0 if self.classes is None else self.classes(labels)
        return torch.where(torch.isnan(labels), torch.nan, event.to(labels.dtype))

    def check_axis(self, day: Tensor) -> None:
        """Refuse days that the axis makes no sense of.

        Raises:
            ShapeError: A single series has two rows on a day, or no day has two stocks.
        """
        most = int(torch.unique(day, return_counts=True)[1].max())
        if self.axis == "time" and most > 1:
            raise ShapeError(
                f"a day of subject {self.name!r} has {most} rows, expected 1: its axis is 'time'. "
                "Judge each series as a subject of its own, or set axis='stocks'."
            )
        if self.axis == "stocks" and most == 1 and day.numel() > 1:
            raise ShapeError(
                f"every day of subject {self.name!r} has 1 row, expected the stocks of a day. "
                "Set axis='time' for a single series."
            )


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """A model's scores over one split, beside what happened and what was expected.

    Args:
        score: Shape (rows, horizons).
        target: NaN where not known. Shape (rows, horizons).
        day: Shape (rows,).
        oracle: Expected return, None where the truth is not known. Shape (rows, horizons).
        probability: Of the class, None without classes. Shape (rows, horizons).
        label: Whether it was of the class: 0, 1, or NaN where not known; None without
            classes. Shape (rows, horizons).
        focus: 1 less the entropy of the attention over that of a uniform one, averaged
            over all that attends; None where it was not looked at. Shape (rows,).
    """

    score: Tensor
    target: Tensor
    day: Tensor
    oracle: Tensor | None = None
    probability: Tensor | None = None
    label: Tensor | None = None
    focus: Tensor | None = None


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
