"""The core of the degeneracy guard: look at eval-mode scores, name the flatness, decide.

It knows models and batches, and no training framework.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from flatline.batch import DayBatch, Labels
from flatline.errors import SettingsError
from flatline.metrics import Flat, FlatFinding, find_flat
from flatline.training.seeds import untouched_generators
from flatline.training.settings import GuardSettings

__all__ = [
    "LIFELESS",
    "Decision",
    "Guard",
    "eval_mode",
    "find_heads",
    "flat_findings",
    "probe_batches",
    "reinitialise",
]

Batch = tuple[DayBatch, Labels]
# Without any spread: what even a fresh model must not show.
LIFELESS = frozenset({Flat.NOT_FINITE, Flat.CONSTANT, Flat.CONSTANT_WITHIN_DAY})


@contextmanager
def eval_mode(*modules: nn.Module) -> Iterator[None]:
    """Eval mode and no gradient inside; each module's own mode and all generators as before after.

    Example:
        >>> model = nn.Sequential(nn.Dropout(), nn.Linear(1, 1).eval())
        >>> with eval_mode(model):
        ...     model[0].training
        False
        >>> model[0].training, model[1].training
        (True, False)
    """
    parts = [part for module in modules for part in module.modules()]
    modes = [part.training for part in parts]
    try:
        with untouched_generators(), torch.no_grad():
            for module in modules:
                module.eval()
            yield
    finally:
        # Not train(): it would also wake parts that are frozen in eval mode.
        for part, mode in zip(parts, modes, strict=True):
            part.training = mode


def probe_batches(batches: Iterable[Batch], *, days: int = 3, most: int = 6) -> list[Batch]:
    """The first batches that together have a few days, for the guard to look at.

    Scores that do not move from day to day can only be told apart over several days.

    Args:
        batches: Such as the validation batches.
        days: Days wanted.
        most: Batches after which to stop looking for more days.
    """
    taken: list[Batch] = []
    seen: set[int] = set()
    for batch in batches:
        taken.append(batch)
        seen |= set(batch[0]["group_day"].tolist())
        if len(seen) >= days or len(taken) >= most:
            break
    return taken


def flat_findings(
    model: nn.Module,
    batches: Sequence[Batch],
    *,
    scale: bool = True,
    horizons: Sequence[int] | None = None,
) -> list[FlatFinding]:
    """How the eval-mode scores of a model on some batches are flat; empty where they are not.

    The model and all generators are left exactly as they were.

    Args:
        model: Called with a batch, returns a `Forecast`.
        batches: What to look at.
        scale: Whether the loss fixes the scale of the scores, so that a scale
            far below the targets' is a fault.
        horizons: What to call the columns of the scores.
    """
    with eval_mode(model):
        forecasts = [model(inputs) for inputs, _ in batches]
    point = _joined([f.point for f in forecasts])
    quantiles = [f.quantiles for f in forecasts if f.quantiles is not None]
    target = _joined([torch.where(y.known, y.value, math.nan) for _, y in batches])
    return list(
        find_flat(
            point,
            _joined([x["group_day"] for x, _ in batches]),
            stock=_joined([x["stock_id"] for x, _ in batches]),
            target=target if scale else None,
            horizons=horizons,
            quantiles=_joined(quantiles) if len(quantiles) == len(forecasts) else None,
        )
    )


def _joined(parts: Sequence[Tensor]) -> np.ndarray[Any, Any]:
    joined = torch.cat([part.detach().cpu() for part in parts])
    return (joined.double() if joined.is_floating_point() else joined).numpy()


def reinitialise(
    model: nn.Module, paths: Sequence[str], optimizer: torch.optim.Optimizer | None = None
) -> None:
    """Draw the parameters of some modules afresh and forget what the optimizer knew of them.

    A module with `reset_parameters` is reset by it, another through its parts: all of
    its parameters or none.

    Args:
        model: The model.
        paths: Names of modules, such as `head`.
        optimizer: Its moments for these parameters are dropped.

    Raises:
        SettingsError: There is no such module, or it cannot be drawn afresh.
    """
    for head in find_heads(model, paths):
        _reset(head)
        for parameter in head.parameters():
            parameter.grad = None
            if optimizer is not None:
                optimizer.state.pop(parameter, None)


def find_heads(model: nn.Module, paths: Sequence[str]) -> list[nn.Module]:
    """The modules of some paths, all of whose parameters can be drawn afresh.

    Raises:
        SettingsError: There is no such module, or it cannot be drawn afresh.
    """
    heads = [find_module(model, path, setting="guard.heads") for path in paths]
    for path, head in zip(paths, heads, strict=True):
        stuck = _stuck(head, path)
        if stuck:
            raise SettingsError(
                f"module {stuck[0]} has parameters but no reset_parameters, expected one to draw "
                "them afresh. Add the method."
            )
        if next(head.parameters(), None) is None:
            raise SettingsError(
                f"module {path} has 0 parameters, expected some to draw afresh. "
                "Name another in guard.heads."
            )
    return heads


def find_module(model: nn.Module, path: str, *, setting: str) -> nn.Module:
    """The module of a path.

    Raises:
        SettingsError: There is none; names the nearest.
    """
    modules: dict[str, nn.Module] = dict(model.named_modules())
    if path not in modules:
        near = difflib.get_close_matches(path, [n for n in modules if n], n=1, cutoff=0.0)
        raise SettingsError(
            f"{setting} is {path!r}, expected a module of the {type(model).__name__}. "
            f"Did you mean {near[0] if near else 'another model'!r}?"
        )
    return modules[path]


def _stuck(module: nn.Module, path: str) -> list[str]:
    """Paths of the modules that own parameters which nothing can reset."""
    if callable(getattr(module, "reset_parameters", None)):
        return []
    own = [path] if next(module.parameters(recurse=False), None) is not None else []
    return own + [
        below
        for name, child in module.named_children()
        for below in _stuck(child, f"{path}.{name}")
    ]


def _reset(module: nn.Module) -> None:
    reset = getattr(module, "reset_parameters", None)
    if callable(reset):
        with torch.no_grad():
            reset()
        return
    for child in module.children():
        _reset(child)


@dataclass(frozen=True, slots=True)
class Decision:
    """What the guard makes of a look.

    Args:
        act: `pass`, `warn`, `stop` or `reinit`.
        kinds: Kinds of flat found.
        sentence: What was found, for people.
    """

    act: Literal["pass", "warn", "stop", "reinit"]
    kinds: tuple[str, ...] = ()
    sentence: str = ""


@dataclass(slots=True)
class Guard:
    """Turns findings into decisions, look by look. Its state is plain numbers.

    Args:
        settings: What to do, and when.
        in_a_row: Looks in a row that found each kind.
        reinits: Re-initialisations so far.
    """

    settings: GuardSettings
    in_a_row: dict[str, int] = field(default_factory=dict)
    reinits: int = 0

    def __post_init__(self) -> None:
        """Refuse kinds of flat that do not exist.

        Raises:
            SettingsError: Names the nearest kind.
        """
        kinds = [str(kind) for kind in Flat]
        for kind in self.settings.ignore:
            if kind not in kinds:
                near = difflib.get_close_matches(kind, kinds, n=1, cutoff=0.0)
                raise SettingsError(
                    f"guard.ignore is {kind!r}, expected a kind of flat. Did you mean {near[0]!r}?"
                )

    def decide(self, step: int, findings: Sequence[FlatFinding]) -> Decision:
        """What to do about the findings of a look after *step* steps."""
        counted = [f for f in findings if f.kind not in self.settings.ignore]
        if step < self.settings.grace_steps:
            counted = [f for f in counted if f.kind in LIFELESS]
        kinds = tuple(dict.fromkeys(str(f.kind) for f in counted))
        self.in_a_row = {kind: self.in_a_row.get(kind, 0) + 1 for kind in kinds}
        due = [
            kind
            for kind in kinds
            if kind == Flat.NOT_FINITE or self.in_a_row[kind] >= self.settings.patience
        ]
        if not due or self.settings.action == "off":
            return Decision("pass")
        which = [f"horizon {f.horizon}: {f.sentence}" for f in counted if f.kind in due]
        sentence = "; ".join(which) + "."
        act = self.settings.action
        if act == "reinit":
            if self.reinits >= self.settings.max_reinits:
                return Decision(
                    "stop", tuple(due), f"{sentence} Re-initialised {self.reinits} times."
                )
            self.reinits += 1
            self.in_a_row = {}
        return Decision(act, tuple(due), sentence)

    def state_dict(self) -> dict[str, Any]:
        """What has been seen so far."""
        return {"in_a_row": dict(self.in_a_row), "reinits": self.reinits}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        self.in_a_row, self.reinits = dict(state["in_a_row"]), state["reinits"]
