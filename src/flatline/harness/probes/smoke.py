"""The smoke training: a few hundred steps, and what can be measured before, during and after."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from flatline.harness.probes.scoring import Place, forward, score_split, take
from flatline.harness.subject import Scored, Subject

__all__ = ["Smoke", "smoke"]

# Batches on which the loss is compared before and after, and scores of the train period are taken.
PROBE_BATCHES = 24
# Batches of which the gradients at start are the largest.
GRADIENT_BATCHES = 2
CLIP_NORM = 1.0


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
        train: Eval-mode scores of the first training batches after training; None where
            no check asks for them.
        later: The same of the later period; None where the subject has none.
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
    train: Scored | None
    later: Scored | None
    steps: int
    rows_per_second: float
    peak_bytes: int | None


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
    for inputs, _ in take(subject, "valid", device, 1):
        subject.check_axis(subject.day_of(inputs))
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
    train = later = None
    if subject.later is not None or subject.probabilities is not None:
        train = score_split(subject, model, "train", place, limit=PROBE_BATCHES, attention=True)
    if subject.later is not None:
        later = score_split(subject, model, subject.later, place, attention=True)
    return Smoke(
        model=model,
        loss_before=loss_before,
        loss_after=_losses(subject, model, place),
        gradients=gradients,
        movement={n: _largest(p.detach() - before[n]) for n, p in model.named_parameters()},
        scored=scored,
        again=score_split(subject, model, "valid", place).score,
        train=train,
        later=later,
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
