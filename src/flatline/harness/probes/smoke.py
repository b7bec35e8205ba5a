"""The smoke training: a few hundred steps, and what can be measured before, during and after."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from flatline.errors import ShapeError
from flatline.harness.subject import Scored, Subject, labels_like

__all__ = ["Place", "Precision", "Smoke", "forward", "score_split", "smoke", "take", "to_device"]

Precision = Literal["fp32", "bf16-mixed"]

# Batches on which the loss is compared before and after.
PROBE_BATCHES = 24
# Batches of which the gradients at start are the largest.
GRADIENT_BATCHES = 2
CLIP_NORM = 1.0


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
class Smoke:
    """What one smoke training left behind.

    Args:
        model: The trained model, in eval mode.
        loss_before: Eval-mode loss of the first training batches at start. Shape (batches,).
        loss_after: The same batches after training. Shape (batches,).
        gradients: Largest absolute gradient of each parameter at start.
        movement: Largest absolute change of each parameter over the training.
        scored: Eval-mode scores of the validation split after training.
        again: The same scores, evaluated once more. Shape (rows, horizons).
        steps: Optimizer steps taken.
        rows_per_second: Training throughput.
        peak_bytes: Peak memory of the device, None on the CPU.
    """

    model: nn.Module
    loss_before: Tensor
    loss_after: Tensor
    gradients: dict[str, float]
    movement: dict[str, float]
    scored: Scored
    again: Tensor
    steps: int
    rows_per_second: float
    peak_bytes: int | None


def to_device(tree: Any, device: torch.device) -> Any:  # noqa: ANN401 (any nesting of tensors)
    """Every tensor of a nesting on *device*."""
    return pytree.tree_map(lambda x: x.to(device) if isinstance(x, Tensor) else x, tree)


def forward(model: nn.Module, inputs: Any, place: Place) -> Any:  # noqa: ANN401
    """The model's outputs in float32, computed at the place's precision."""
    mixed = place.precision == "bf16-mixed"
    with torch.autocast(place.device.type, torch.bfloat16, enabled=mixed):
        outputs = model(inputs)
    # The loss must not round what the model did not: bf16 has three digits.
    return pytree.tree_map(
        lambda x: x.float() if isinstance(x, Tensor) and x.is_floating_point() else x, outputs
    )


def take(
    subject: Subject, split: str, device: torch.device, limit: int | None = None
) -> Iterator[tuple[Any, Any]]:
    """The first *limit* batches of a split, on *device*.

    Raises:
        ShapeError: The split has no batch.
    """
    batches: Iterable[tuple[Any, Any]] = subject.batches(split)
    empty = True
    for inputs, targets in itertools.islice(batches, limit):
        empty = False
        yield to_device(inputs, device), to_device(targets, device)
    if empty:
        raise ShapeError(
            f"split {split!r} of subject {subject.name!r} has 0 batches, expected at least 1. "
            "Return a fresh iterable from `batches` at every call."
        )


@torch.no_grad()
def score_split(
    subject: Subject, model: nn.Module, split: str, place: Place, *, limit: int | None = None
) -> Scored:
    """Eval-mode scores over the first *limit* batches of a split, or all of it, on the CPU."""
    model.eval()
    scores, targets_, days, oracles = [], [], [], []
    for inputs, targets in take(subject, split, place.device, limit):
        score = subject.scores(forward(model, inputs, place))
        scores.append(score.cpu())
        targets_.append(labels_like(targets, score).cpu())
        days.append(subject.day_of(inputs).cpu())
        if subject.oracle is not None:
            oracles.append(subject.oracle(inputs).cpu())
    oracle = torch.cat(oracles) if oracles else None
    return Scored(torch.cat(scores), torch.cat(targets_), torch.cat(days), oracle)


def smoke(
    subject: Subject,
    *,
    steps: int,
    place: Place,
    on_step: Callable[[int], None] = lambda _: None,
) -> Smoke:
    """Train a fresh model of *subject* for *steps* steps and measure it.

    Args:
        subject: What to train.
        steps: Optimizer steps; the training split is repeated as often as needed.
        place: Where and how to train.
        on_step: Called with the number of steps done, for progress.
    """
    device = place.device
    model = subject.model().to(device)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    gradients = _gradients(subject, model, place)
    loss_before = _losses(subject, model, place)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    started = time.perf_counter()
    rows = _train(subject, model, steps, place, on_step)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    seconds = time.perf_counter() - started
    scored = score_split(subject, model, "valid", place)
    return Smoke(
        model=model,
        loss_before=loss_before,
        loss_after=_losses(subject, model, place),
        gradients=gradients,
        movement={n: _largest(p.detach() - before[n]) for n, p in model.named_parameters()},
        scored=scored,
        again=score_split(subject, model, "valid", place).score,
        steps=steps,
        rows_per_second=rows / seconds,
        peak_bytes=torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None,
    )


def _train(
    subject: Subject,
    model: nn.Module,
    steps: int,
    place: Place,
    on_step: Callable[[int], None],
) -> int:
    optimizer, rows, done = subject.make_optimizer(model), 0, 0
    model.train()
    while done < steps:
        for inputs, targets in take(subject, "train", place.device, steps - done):
            loss = subject.loss(forward(model, inputs, place), targets, inputs)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(model.parameters(), CLIP_NORM)
            optimizer.step()
            rows += subject.day_of(inputs).numel()
            done += 1
            on_step(done)
    return rows


def _gradients(subject: Subject, model: nn.Module, place: Place) -> dict[str, float]:
    model.train()
    largest = {name: 0.0 for name, p in model.named_parameters() if p.requires_grad}
    for inputs, targets in take(subject, "train", place.device, GRADIENT_BATCHES):
        model.zero_grad(set_to_none=True)
        loss = subject.loss(forward(model, inputs, place), targets, inputs)
        loss.backward()  # type: ignore[no-untyped-call]
        for name, parameter in model.named_parameters():
            if parameter.grad is not None:
                # Not the built-in: that would let a NaN pass for the smaller of the two.
                pair = torch.tensor([largest[name], _largest(parameter.grad)])
                largest[name] = float(pair.max())
    model.zero_grad(set_to_none=True)
    return largest


@torch.no_grad()
def _losses(subject: Subject, model: nn.Module, place: Place) -> Tensor:
    model.eval()
    losses = [
        subject.loss(forward(model, inputs, place), targets, inputs)
        for inputs, targets in take(subject, "train", place.device, PROBE_BATCHES)
    ]
    return torch.stack(losses).double().cpu()


def _largest(x: Tensor) -> float:
    return float(x.abs().max()) if x.numel() else 0.0
