"""The smoke training: a few hundred steps, and what can be measured before, during and after."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from flatline.harness.case import Case
from flatline.harness.probes.scoring import Scored, forward, score_split

__all__ = ["Smoke", "smoke", "train"]

# Batches on which the loss is compared before and after, and of which scores of the train period
# are taken. On the reference subjects the loss of a batch falls by 1.3 times its spread over
# batches, or more: by nine standard errors over so many.
LOSS_BATCHES, PROBE_BATCHES = 48, 24
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


def smoke(case: Case) -> Smoke:
    """Train a fresh model of the subject for the case's steps and measure it.

    The training split is repeated as often as needed.
    """
    subject, place, device = case.subject, case.place, case.place.device
    for inputs, _ in case.batches("valid", 1):
        subject.check_axis(subject.day_of(inputs))
    model = case.model()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    gradients = _gradients(case, model)
    loss_before = _losses(case, model)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    started = time.perf_counter()
    rows = train(case, model, steps=case.steps, on_step=case.on_step)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    seconds = time.perf_counter() - started
    scored = score_split(subject, model, "valid", place)
    early = later = None
    if subject.later is not None or subject.probabilities is not None:
        early = score_split(subject, model, "train", place, limit=PROBE_BATCHES, attention=True)
    if subject.later is not None:
        later = score_split(subject, model, subject.later, place, attention=True)
    return Smoke(
        model=model,
        loss_before=loss_before,
        loss_after=_losses(case, model),
        gradients=gradients,
        movement={n: _largest(p.detach() - before[n]) for n, p in model.named_parameters()},
        scored=scored,
        again=score_split(subject, model, "valid", place).score,
        train=early,
        later=later,
        steps=case.steps,
        rows_per_second=rows / seconds,
        peak_bytes=torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None,
    )


def train(
    case: Case,
    model: nn.Module,
    *,
    steps: int,
    on_step: Callable[[int], None] = lambda _: None,
    batches: Callable[[str], Iterator[tuple[Any, Any]]] | None = None,
    until: Callable[[int], bool] = lambda _: False,
) -> int:
    """Take *steps* optimizer steps on *model*, in place, and count the rows it saw.

    By the subject's own `fit` where it has one.

    Args:
        case: Whose loss and optimizer.
        model: What to train.
        steps: Optimizer steps; the training split is repeated as often as needed.
        on_step: Called with the number of steps done, for progress.
        batches: From a split to other batches than the subject's own, on the device.
        until: Given the number of steps done, whether they are enough; not asked where the
            subject has its own `fit`. It may leave the model in eval mode.
    """
    subject, rows, done = case.subject, 0, 0
    batches = batches or case.batches
    if subject.fit is not None:
        model.train()
        subject.fit(model, batches, steps)
        on_step(steps)
        seen = itertools.islice(itertools.cycle(case.batches("train", PROBE_BATCHES)), steps)
        return sum(subject.day_of(inputs).numel() for inputs, _ in seen)
    optimizer = subject.make_optimizer(model)
    model.train()
    while done < steps:
        for inputs, targets in itertools.islice(batches("train"), steps - done):
            loss = subject.loss_of(forward(subject, model, inputs, case.place), targets, inputs)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(model.parameters(), CLIP_NORM)
            optimizer.step()
            rows += subject.day_of(inputs).numel()
            done += 1
            on_step(done)
            if until(done):
                return rows
            model.train()
    return rows


def _gradients(case: Case, model: nn.Module) -> dict[str, float]:
    subject = case.subject
    model.train()
    largest = {name: 0.0 for name, p in model.named_parameters() if p.requires_grad}
    for inputs, targets in case.batches("train", GRADIENT_BATCHES):
        model.zero_grad(set_to_none=True)
        loss = subject.loss_of(forward(subject, model, inputs, case.place), targets, inputs)
        loss.backward()  # type: ignore[no-untyped-call]
        for name, parameter in model.named_parameters():
            if parameter.grad is not None:
                # Not the built-in: that would let a NaN pass for the smaller of the two.
                pair = torch.tensor([largest[name], _largest(parameter.grad)])
                largest[name] = float(pair.max())
    model.zero_grad(set_to_none=True)
    return largest


@torch.no_grad()
def _losses(case: Case, model: nn.Module) -> Tensor:
    subject = case.subject
    model.eval()
    losses = [
        subject.loss_of(forward(subject, model, inputs, case.place), targets, inputs)
        for inputs, targets in case.batches("train", LOSS_BATCHES)
    ]
    return torch.stack(losses).double().cpu()


def _largest(x: Tensor) -> float:
    return float(x.abs().max()) if x.numel() else 0.0
