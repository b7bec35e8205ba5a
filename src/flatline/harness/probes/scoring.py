"""How a subject is run on a device, and its scores over a split."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from flatline.errors import ShapeError
from flatline.harness.subject import Subject
from flatline.harness.trees import map_tensors, move

__all__ = ["Place", "Precision", "Scored", "focus", "forward", "score_split", "take"]

Precision = Literal["fp32", "bf16-mixed"]


@dataclass(frozen=True, slots=True)
class Place:
    """Where and how a subject is run.

    Args:
        device: Where its tensors live.
        precision: `bf16-mixed` runs the forward pass under autocast.
    """

    device: torch.device
    precision: Precision = "fp32"

    @property
    def eps(self) -> float:
        """Relative spacing of the numbers that the model computes with."""
        mixed = self.precision == "bf16-mixed"
        return torch.finfo(torch.bfloat16 if mixed else torch.float32).eps


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


def forward(subject: Subject, model: nn.Module, inputs: Any, place: Place) -> Any:  # noqa: ANN401
    """The model's outputs, computed at the place's precision, in float32 at least."""
    mixed = place.precision == "bf16-mixed"
    with torch.autocast(place.device.type, torch.bfloat16, enabled=mixed):
        outputs = subject.run(model, inputs)
    # The loss must not round what the model did not: bf16 has three digits.
    short = (torch.bfloat16, torch.float16)
    return map_tensors(lambda _, x: x.float() if x.dtype in short else x, outputs)


def take(
    subject: Subject, split: str, device: torch.device, limit: int | None = None
) -> Iterator[tuple[Any, Any]]:
    """The first *limit* batches of a split, on *device*: copies, whatever is done to them.

    Raises:
        ShapeError: The split has no batch.
    """
    empty = True
    for inputs, targets in itertools.islice(subject.split(split), limit):
        empty = False
        yield move((inputs, targets), device)
    if empty:
        raise ShapeError(
            f"split {split!r} of subject {subject.name!r} has 0 batches, expected at least 1. "
            "Return a fresh iterable from `batches` at every call."
        )


@torch.no_grad()
def score_split(
    subject: Subject,
    model: nn.Module,
    split: str,
    place: Place,
    *,
    limit: int | None = None,
    attention: bool = False,
) -> Scored:
    """Eval-mode scores over the first *limit* batches of a split, or all of it, on the CPU.

    Args:
        subject: Whose scores.
        model: One of its models.
        split: Which batches.
        place: Where and how to run it.
        limit: Batches at most.
        attention: Also look at the attention, where the subject offers it.
    """
    model.eval()
    rows: dict[str, list[Tensor]] = {}
    first = 0
    for inputs, targets in take(subject, split, place.device, limit):
        outputs = forward(subject, model, inputs, place)
        score = subject.score_of(outputs)
        target = subject.labels_of(targets, score)
        day = subject.day_of(inputs)
        if subject.days_by_batch(inputs):
            day = day + first
            first = int(day.max()) + 1
        found = {"score": score, "target": target, "day": day}
        if subject.oracle is not None:
            found["oracle"] = subject.oracle(inputs)
        if subject.probabilities is not None:
            found["probability"] = subject.probabilities(outputs)
            found["label"] = subject.class_of(target)
        if attention and subject.attention is not None:
            found["focus"] = focus(subject.attention(model, inputs))
        for name, tensor in found.items():
            rows.setdefault(name, []).append(tensor.cpu())
    return Scored(**{name: torch.cat(tensors) for name, tensors in rows.items()})


def focus(weights: Tensor) -> Tensor:
    """How far attention is from uniform: 1 less its entropy over that of uniform weights.

    Args:
        weights: Adding up to 1 along the keys. Shape (rows, ..., keys), two keys at least.

    Returns:
        0 where all keys get the same, 1 where one gets all. Shape (rows,).

    Raises:
        ShapeError: There is one key only, or the weights do not add up to 1.

    Example:
        >>> focus(torch.tensor([[0.5, 0.5], [1.0, 0.0]]))
        tensor([0., 1.])
    """
    w = weights.double()
    keys = w.shape[-1]
    if w.ndim < 2 or keys < 2:
        raise ShapeError(
            f"attention has shape {tuple(weights.shape)}, expected (rows, ..., keys) with two keys "
            "at least. Give the weights of every row."
        )
    off = float((w.sum(-1) - 1).abs().max())
    if off > 1e-2:
        raise ShapeError(
            f"attention weights add up to 1 but for {off:.2g}, expected 1 along the last axis. "
            "Give them after the softmax and before dropout, keys last."
        )
    entropy = torch.special.entr(w).sum(-1) / math.log(keys)
    found: Tensor = 1 - entropy.reshape(len(w), -1).mean(1)
    return found.float()
