"""Single passes of a subject: a fresh model, its first scores, its first steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from flatline.harness.case import Case
from flatline.harness.probes.scoring import forward

__all__ = ["FirstSteps", "Start", "another", "eval_score", "first_steps", "start"]

# Steps after which gradient must have come through layers that start at zero: the first
# step opens the last one, the second the one behind it.
FIRST_STEPS = 3


@dataclass(frozen=True, slots=True, eq=False)
class Start:
    """A fresh model, and what it makes of the first training batch in eval mode.

    Args:
        model: Not to be changed.
        inputs: Of the first training batch.
        targets: Of the same batch.
        outputs: As the model gives them, in float32.
    """

    model: nn.Module
    inputs: Any
    targets: Any
    outputs: Any


@dataclass(frozen=True, slots=True, eq=False)
class FirstSteps:
    """What the first optimizer steps left behind.

    Args:
        model: After the steps, in eval mode. Not to be changed.
        gradients: Largest absolute gradient of each trainable parameter over the steps.
        held: Parameters that the optimizer has; None where the subject trains by its own `fit`.
        strangers: Tensors of the optimizer that are no parameters of the model.
        steps: How many.
    """

    model: nn.Module
    gradients: dict[str, float]
    held: frozenset[str] | None
    strangers: int
    steps: int


def start(case: Case) -> Start:
    """A fresh model's first outputs."""
    model = case.model().eval()
    inputs, targets = case.batch()
    with torch.no_grad():
        outputs = forward(case.subject, model, inputs, case.place)
    return Start(model, inputs, targets, outputs)


def another(case: Case) -> nn.Module:
    """A fresh model from another seed."""
    return case.model("another model")


@torch.no_grad()
def eval_score(case: Case, model: nn.Module) -> Tensor:
    """Eval-mode scores of the first training batch: (rows, horizons)."""
    inputs, _ = case.batch()
    outputs = forward(case.subject, model.eval(), inputs, case.place)
    score: Tensor = case.subject.score_of(outputs).detach()
    return score


def first_steps(case: Case) -> FirstSteps:
    """A few steps of a fresh model, with the gradients on the way.

    Where the subject trains by its own `fit`, steps are taken by a plain optimizer: gradient
    comes through the model whoever takes the steps.
    """
    model, subject = case.model(), case.subject
    optimizer = subject.make_optimizer(model)
    model.train()
    largest: dict[str, float] = {}
    batches = _cycled(case)
    for _ in range(FIRST_STEPS):
        inputs, targets = batches()
        loss = subject.loss_of(forward(subject, model, inputs, case.place), targets, inputs)
        optimizer.zero_grad(set_to_none=True)
        model.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        # Named after the pass: a layer that it made belongs to the model by now.
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                largest[name] = _larger(largest.get(name, 0.0), parameter.grad)
        optimizer.step()
    groups = [p for group in optimizer.param_groups for p in group["params"]]
    given, own = {id(p) for p in groups}, {id(p) for p in model.parameters()}
    held = frozenset(name for name, p in model.named_parameters() if id(p) in given)
    return FirstSteps(
        model=model.eval(),
        gradients=largest,
        held=held if subject.fit is None or subject.optimizer is not None else None,
        strangers=len(given - own),
        steps=FIRST_STEPS,
    )


def _cycled(case: Case) -> Callable[[], tuple[Any, Any]]:
    kept = list(case.batches("train", FIRST_STEPS))
    turns = iter(range(FIRST_STEPS))
    return lambda: kept[next(turns) % len(kept)]


def _larger(so_far: float, gradient: Tensor | None) -> float:
    if gradient is None or not gradient.numel():
        return so_far
    # Not the built-in: that would let a NaN pass for the smaller of the two.
    return float(torch.stack([torch.tensor(so_far), gradient.detach().abs().max().cpu()]).max())
