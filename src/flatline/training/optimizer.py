"""AdamW over every trainable parameter, without decay where decay has no meaning."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

import torch
from torch import nn

from flatline.errors import SettingsError
from flatline.training.settings import TrainingSettings

__all__ = ["check_optimizer", "make_optimizer", "undecayed"]

NORMS: tuple[type[nn.Module], ...] = (
    nn.LayerNorm,
    nn.RMSNorm,
    nn.GroupNorm,
    nn.BatchNorm1d,
    nn.BatchNorm2d,
    nn.BatchNorm3d,
    nn.InstanceNorm1d,
)


def undecayed(module: nn.Module) -> set[str]:
    """Names of the parameters that take no weight decay.

    These are the parameters of norms, biases (of any rank: a bias per variable
    is a matrix), gates, and everything with at most one axis, such as scales.

    Example:
        >>> sorted(undecayed(nn.Sequential(nn.Linear(3, 2), nn.LayerNorm(2))))
        ['0.bias', '1.bias', '1.weight']
    """
    names = set()
    for path, part in module.named_modules():
        for leaf, parameter in part.named_parameters(recurse=False):
            word = leaf.lower()
            if (
                parameter.ndim <= 1
                or isinstance(part, NORMS)
                or "bias" in word
                or word.endswith("gate")
            ):
                names.add(f"{path}.{leaf}" if path else leaf)
    return names


def make_optimizer(
    module: nn.Module,
    settings: TrainingSettings,
    *,
    rates: Mapping[str, float] = MappingProxyType({}),
) -> torch.optim.AdamW:
    """AdamW over every parameter that is trainable now.

    Args:
        module: Its parameters that require a gradient.
        settings: Learning rate, decay and moments.
        rates: Factors on the learning rate of some parameters, by their names.

    Returns:
        Groups that each have, as `rate`, the factor on the learning rate; those with the
        factor 1 come first.

    Raises:
        SettingsError: There is no trainable parameter, or one has no size yet.
    """
    trainable = dict(_trainable(module))
    for name, parameter in trainable.items():
        if isinstance(parameter, nn.parameter.UninitializedParameter):
            raise SettingsError(
                f"parameter {name} has no size yet, expected one before training. "
                "Send a batch through the model first."
            )
    if not trainable:
        raise SettingsError(
            "the model has 0 trainable parameters, expected at least 1. "
            "Set requires_grad on what is to be trained."
        )
    plain = undecayed(module)
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for rate in sorted({rates.get(name, 1.0) for name in trainable}, key=lambda r: (r != 1, r)):
        groups |= {(rate, settings.weight_decay): [], (rate, 0.0): []}
    for name, parameter in trainable.items():
        decay = 0.0 if name in plain else settings.weight_decay
        groups[rates.get(name, 1.0), decay].append(parameter)
    return torch.optim.AdamW(
        [
            {
                "params": members,
                "weight_decay": decay,
                "rate": rate,
                "lr": settings.learning_rate * rate,
            }
            for (rate, decay), members in groups.items()
            if members
        ],
        betas=settings.betas,
    )


def check_optimizer(module: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Refuse an optimizer that leaves a trainable parameter out.

    Raises:
        SettingsError: Names the first parameters that would never move.
    """
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    missing = [name for name, parameter in _trainable(module) if id(parameter) not in held]
    if missing:
        raise SettingsError(
            f"{len(missing)} trainable parameters are not in the optimizer, {missing[0]} among "
            "them, expected all of them. "
            "Build the optimizer after the last parameter is made or unfrozen."
        )


def _trainable(module: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    return ((name, p) for name, p in module.named_parameters() if p.requires_grad)
