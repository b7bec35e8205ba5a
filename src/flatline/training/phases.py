"""What a phase does to a model while it lasts: parts off, modules frozen, rates of their own.

A model whose parts can be switched off has `parts`, from the name of each part to the
paths of the modules that are without effect while it is off, and `off`, the names of
those that are. Any model can be frozen.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from typing import Protocol, cast, runtime_checkable

from torch import nn

from flatline.errors import SettingsError
from flatline.losses import MultiHorizonLoss
from flatline.section import nearest
from flatline.training.module import Loss
from flatline.training.phase_settings import PhaseSettings

__all__ = ["HasParts", "in_phase", "loss_of", "switched_off"]


@runtime_checkable
class HasParts(Protocol):
    """A model whose parts can be switched off while it runs."""

    off: frozenset[str]

    @property
    def parts(self) -> Mapping[str, tuple[str, ...]]:
        """Paths of the modules of each part."""
        ...


@contextmanager
def switched_off(model: nn.Module, *names: str) -> Iterator[None]:
    """Parts of a model off inside, and as they were afterwards.

    Args:
        model: With `parts`; see `HasParts`.
        names: Of the parts, such as `graph`.

    Raises:
        SettingsError: The model has no such part; names the nearest.

    Example:
        >>> class Model(nn.Module):
        ...     parts = {"graph": ("gat",)}
        ...     off = frozenset()
        >>> model = Model()
        >>> with switched_off(model, "graph"):
        ...     print(sorted(model.off))
        ['graph']
        >>> model.off
        frozenset()
    """
    _modules_of(model, names)
    if not isinstance(model, HasParts):
        yield
        return
    before = model.off
    try:
        model.off = before | frozenset(names)
        yield
    finally:
        model.off = before


@contextmanager
def in_phase(model: nn.Module, phase: PhaseSettings) -> Iterator[dict[str, float]]:
    """A model as a phase wants it inside, and as it was afterwards.

    Outside stay the weights; switches, `requires_grad` and the mode of each module come back.

    Args:
        model: Its frozen modules stand in eval mode inside.
        phase: What is off, what trains, and at which rates.

    Yields:
        Factor on the learning rate of each parameter that has one, by its name.

    Raises:
        SettingsError: A part or a pattern fits nothing in the model, or changes nothing.

    Example:
        >>> model = nn.ModuleDict({"encoder": nn.Linear(2, 2), "head": nn.Linear(2, 1)})
        >>> with in_phase(model, PhaseSettings(name="head", train=("head",))):
        ...     [name for name, p in model.named_parameters() if p.requires_grad]
        ['head.weight', 'head.bias']
        >>> all(p.requires_grad for p in model.parameters())
        True
    """
    with phase.named():
        trains, rates = _plan(model, phase)
    parameters = dict(model.named_parameters())
    wanted = {name: p.requires_grad for name, p in parameters.items()}
    modes = {part: part.training for part in model.modules()}
    try:
        with switched_off(model, *phase.off):
            frozen = {parameters[n] for n, on in wanted.items() if on and n not in trains}
            for parameter in frozen:
                parameter.requires_grad = False
            for part in _stilled(model, frozen):
                part.training = False
            yield rates
    finally:
        for name, parameter in parameters.items():
            parameter.requires_grad_(wanted[name])
        for part, mode in modes.items():
            part.training = mode


def loss_of(phase: PhaseSettings, loss: Loss) -> Loss:
    """The loss of a phase, without memory of what was before it.

    Raises:
        SettingsError: The phase has weights and the loss has none.
    """
    if phase.weights is None:
        return copy.deepcopy(loss)
    if not isinstance(loss, MultiHorizonLoss):
        raise SettingsError(
            f"phase {phase.name!r} has weights but the loss is a {type(loss).__name__}, expected "
            "a MultiHorizonLoss. Drop them, or use one."
        )
    settings = loss.settings.changed(weights=phase.weights)
    return cast("Loss", MultiHorizonLoss(settings, horizons=loss.horizons, levels=loss.levels))


def _plan(model: nn.Module, phase: PhaseSettings) -> tuple[set[str], dict[str, float]]:
    """Names of the parameters that train, and the factors on the rates of some of them."""
    idle = {
        own
        for path in _modules_of(model, phase.off)
        for name, own in _own_names(model).items()
        if _lies_in(name, path)
    }
    able = {name for name, p in model.named_parameters() if p.requires_grad} - idle
    if not phase.train:
        return able, _rates(model, able, phase.rates)
    trains: set[str] = set()
    for pattern in phase.train:
        trains |= _matched(model, able, pattern, setting="train")
    if trains == able:
        raise SettingsError(
            f"train is {list(phase.train)} but changes nothing, expected some modules to be left "
            "out. Drop it to train all."
        )
    return trains, _rates(model, trains, phase.rates)


def _rates(model: nn.Module, trains: set[str], patterns: Mapping[str, float]) -> dict[str, float]:
    rates: dict[str, float] = {}
    for pattern, factor in patterns.items():
        for name in sorted(_matched(model, trains, pattern, setting="rates")):
            if rates.setdefault(name, factor) != factor:
                raise SettingsError(
                    f"rates gives {name} the factors {rates[name]} and {factor}, expected one. "
                    "Make the patterns narrower."
                )
    return rates


def _modules_of(model: nn.Module, names: Sequence[str]) -> list[str]:
    """Paths of the modules of some parts."""
    parts = model.parts if isinstance(model, HasParts) else {}
    for name in names:
        if name not in parts:
            raise SettingsError(
                f"off is {name!r}, expected a part of the {type(model).__name__} that can be "
                f"switched off. {nearest(name, parts)}"
            )
    return [path for name in names for path in parts[name]]


def _own_names(model: nn.Module) -> dict[str, str]:
    """All names of the parameters, to the one that `named_parameters` has for each."""
    own = {id(p): name for name, p in model.named_parameters()}
    return {name: own[id(p)] for name, p in model.named_parameters(remove_duplicate=False)}


def _lies_in(name: str, path: str) -> bool:
    return name == path or name.startswith(f"{path}.")


def _matched(model: nn.Module, able: set[str], pattern: str, *, setting: str) -> set[str]:
    """Those of some parameters that a pattern means: by their own name or that of a module."""
    own = _own_names(model)
    known = own.keys() | {name for name, _ in model.named_modules() if name}
    paths = {name for name in known if fnmatchcase(name, pattern)}
    if not paths:
        raise SettingsError(
            f"{setting} is {pattern!r}, expected a pattern of modules of the "
            f"{type(model).__name__}. {nearest(pattern, known)}"
        )
    found = {own[name] for name in own if any(_lies_in(name, path) for path in paths)} & able
    if not found:
        raise SettingsError(
            f"{setting} is {pattern!r} but changes nothing, expected modules with parameters that "
            "can train in this phase. Drop it, or switch on and train what it names."
        )
    return found


def _stilled(model: nn.Module, frozen: set[nn.Parameter]) -> Iterator[nn.Module]:
    """All modules within those whose parameters the phase has frozen to the last one."""
    for part in model.modules():
        own = set(part.parameters())
        if own & frozen and not any(p.requires_grad for p in own):
            yield from part.modules()
