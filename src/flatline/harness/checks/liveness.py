"""Every block of the model takes part: it gets gradient, and it moves."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping

import numpy as np
import torch
from torch import nn

from flatline.harness.verdicts import Stage, Status, Verdict, module_culprit

__all__ = ["blocks_get_gradient", "blocks_move", "is_meant", "optimizer_holds_all"]

# A gradient this much smaller than the model's largest changes no digit of a
# float32 that both contribute to.
GRADIENT_FLOOR = torch.finfo(torch.float32).eps


def blocks_get_gradient(
    model: nn.Module,
    gradients: Mapping[str, float],
    *,
    meant: Collection[str] = (),
    floor: float = GRADIENT_FLOOR,
) -> Verdict:
    """Within the first steps, every module that owns parameters must get gradient.

    Args:
        model: Names and modules, for the culprit.
        gradients: Largest absolute gradient of each parameter.
        meant: Parameters, or modules by their path, that are not to be trained.
        floor: Smallest gradient of a module, as a fraction of the model's largest.
    """
    blocks = _by_module({n: g for n, g in gradients.items() if not is_meant(n, meant)})
    top = max((value for value in blocks.values() if math.isfinite(value)), default=0.0)
    # What is not a number comes first: it is worse than nothing.
    worst = min(blocks, key=lambda name: (math.isfinite(blocks[name]), blocks[name]), default="")
    share = blocks[worst] / top if top else 0.0
    dead = _inner_first(name for name, largest in blocks.items() if not largest > floor * top)
    return Verdict(
        check="blocks_get_gradient",
        stage=Stage.START,
        status=Status.FAIL if dead or not blocks else Status.PASS,
        value=share,
        bound=floor,
        unit="largest gradient of the module / of the model",
        measured=(
            f"{len(blocks) - len(dead)} of {len(blocks)} modules get gradient; the least, "
            f"{worst or 'the model'}, {share:.2g} of the largest, expected more than {floor:.2g}"
        ),
        false_alarm_rate=0.0,
        hint=f"No gradient, or none that is a number, reaches {_some(dead)}." if dead else "",
        culprit=module_culprit(
            model,
            dead[0],
            evidence=f"largest gradient {blocks[dead[0]]:.3g}, of the model {top:.3g}",
            remedy="Look for a detach, a gate at 0 or an unused output between it and the scores.",
        )
        if dead
        else None,
    )


def blocks_move(
    model: nn.Module,
    movement: Mapping[str, float],
    gradients: Mapping[str, float],
    *,
    steps: int,
    meant: Collection[str] = (),
) -> Verdict:
    """After training, every module that owns trainable parameters must have moved.

    By its gradient: a weight that only decays moves too, and learns nothing.

    Args:
        model: Names and modules, for the culprit.
        movement: Largest absolute change of each parameter.
        gradients: Largest absolute gradient of each parameter within the first steps.
        steps: Optimizer steps taken.
        meant: Parameters, or modules by their path, that are not to be trained.
    """
    trained = {
        name: 0.0 if gradients.get(name) == 0.0 else moved
        for name, moved in movement.items()
        if model.get_parameter(name).requires_grad and not is_meant(name, meant)
    }
    still = _inner_first(n for n, largest in _by_module(trained).items() if not largest > 0.0)
    moved = len(_by_module(trained)) - len(still)
    return Verdict(
        check="blocks_move",
        stage=Stage.TRAINED,
        status=Status.FAIL if still or not trained else Status.PASS,
        value=float(len(still)),
        bound=0.0,
        unit="modules that did not move",
        measured=f"{moved} of {moved + len(still)} modules moved in {steps} steps, expected all",
        false_alarm_rate=0.0,
        hint=f"{_some(still)} never moved." if still else "",
        culprit=module_culprit(
            model,
            still[0],
            evidence=f"changed by 0 in {steps} steps, or by weight decay alone",
            remedy="Give its parameters to the optimizer, after the last module is replaced.",
        )
        if still
        else None,
    )


def optimizer_holds_all(
    model: nn.Module, gradients: Mapping[str, float], held: Collection[str], *, strangers: int = 0
) -> Verdict:
    """The optimizer must hold every parameter that gets gradient.

    Args:
        model: Names and modules, for the culprit.
        gradients: Largest absolute gradient of each parameter that asks for one.
        held: Parameters that the optimizer holds.
        strangers: Tensors that it holds and the model does not.
    """
    orphans = sorted(n for n, g in gradients.items() if g != 0.0 and n not in held)
    with_gradient = sum(g != 0.0 for g in gradients.values())
    stale = f", and holds {strangers} that are no longer the model's" if strangers else ""
    owner = orphans[0].rpartition(".")[0] if orphans else ""
    return Verdict(
        check="optimizer_holds_all",
        stage=Stage.STEP,
        status=Status.FAIL if orphans else Status.PASS,
        value=float(len(orphans)),
        bound=0.0,
        unit="parameters that get gradient and are not in the optimizer",
        measured=(
            f"the optimizer lacks {len(orphans)} of {with_gradient} parameters that get "
            f"gradient{stale}, expected none"
        ),
        false_alarm_rate=0.0,
        hint=f"{_some(orphans)} will never move." if orphans else "",
        culprit=module_culprit(
            model,
            owner,
            evidence=f"{orphans[0]} gets gradient {gradients[orphans[0]]:.3g} and is in no group",
            remedy="Make the optimizer after the last layer is made or replaced.",
        )
        if orphans
        else None,
    )


def is_meant(name: str, meant: Collection[str]) -> bool:
    """Whether a parameter is declared, by its own name or by a module that it is part of."""
    return any(name == path or name.startswith(f"{path}.") for path in meant)


def _inner_first(names: Iterable[str]) -> list[str]:
    # The model itself comes last: a module within says more of where to look.
    return sorted(names, key=lambda name: (name == "", name))


def _by_module(of_parameters: Mapping[str, float]) -> dict[str, float]:
    # By owner, not by parameter: some, such as the bias of attention keys,
    # cannot have gradient in any healthy model.
    blocks: dict[str, float] = {}
    for name, value in of_parameters.items():
        owner = name.rpartition(".")[0]
        # Not the built-in: that may lose a NaN.
        blocks[owner] = float(np.maximum(blocks.get(owner, 0.0), value))
    return blocks


def _some(names: list[str], most: int = 3) -> str:
    shown = ", ".join(name or "the model itself" for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
