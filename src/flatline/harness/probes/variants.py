"""Each setting changed in turn: what of the subject is another then."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from flatline.harness.case import Case
from flatline.harness.isolation import isolated
from flatline.harness.probes.scoring import forward
from flatline.harness.probes.smoke import train
from flatline.harness.subject import Subject
from flatline.harness.trees import leaves
from flatline.harness.variants import Variants

__all__ = ["Tried", "Variation", "variation"]

# Steps after which weights are compared, where nothing else has changed.
STEPS = 3


@dataclass(frozen=True, slots=True)
class Tried:
    """One setting with another value.

    Args:
        name: Of the setting.
        value: What it was set to, as text.
        changed: What differed first: `parameters`, `batches`, `optimizer`, `scores`,
            `loss` or `steps`; empty where nothing did.
        error: What was raised, empty where nothing was.
    """

    name: str
    value: str
    changed: str = ""
    error: str = ""


@dataclass(frozen=True, slots=True)
class Variation:
    """What changing settings does to a subject.

    Args:
        tried: Every setting that has another value.
        unknown: Made-up names that were tried.
        accepted: Those of them that nothing refused.
        unsteady: What differs between two makings of the same subject, and so tells nothing.
    """

    tried: tuple[Tried, ...]
    unknown: tuple[str, ...]
    accepted: tuple[str, ...]
    unsteady: tuple[str, ...]


def variation(case: Case) -> Variation:
    """Remake the subject with each of its settings changed, and with some that do not exist."""
    variants = case.subject.settings
    if variants is None:
        raise ValueError("variation needs `settings`")
    base = _Base(case, variants)
    unknown = _unknown(variants)
    return Variation(
        tried=tuple(_try(case, variants, name, base) for name in variants.others),
        unknown=unknown,
        accepted=tuple(name for name in unknown if _accepts(case, variants, name)),
        unsteady=tuple(base.unsteady),
    )


class _Base:
    """The subject unchanged, made twice: what differs then is not compared."""

    def __init__(self, case: Case, variants: Variants) -> None:
        self.made = [dict(_fingerprints(case, variants.make({}))) for _ in range(2)]
        self.known: dict[str, str] = {}
        self.unsteady: list[str] = []

    def of(self, part: str) -> str | None:
        """The fingerprint of a part, computed when first asked for; None if it is not steady."""
        if part not in self.known and part not in self.unsteady:
            first, second = (made[part]() for made in self.made)
            if first == second:
                self.known[part] = first
            else:
                self.unsteady.append(part)
        return self.known.get(part)


def _try(case: Case, variants: Variants, name: str, base: _Base) -> Tried:
    before, after = variants.around(name)
    value = ", ".join(f"{key}={value!r}" for key, value in after.items())
    try:
        # A setting that needs others is held against the subject with these alone.
        other = dict(_fingerprints(case, variants.make(before))) if before else {}
        for part, print_ in _fingerprints(case, variants.make(after)):
            kept = base.of(part)
            if kept is not None and print_() != (other[part]() if before else kept):
                return Tried(name, value, changed=part)
    except Exception as error:  # noqa: BLE001 (a subject may raise anything)
        return Tried(name, value, error=f"{type(error).__name__}: {error}")
    return Tried(name, value)


def _unknown(variants: Variants) -> tuple[str, ...]:
    """One name that does not exist for every section of the settings."""
    known = {*variants.others, *variants.inert}
    sections = {name.rpartition(".")[0]: name for name in sorted(variants.others, reverse=True)}
    made_up = (f"{name}_x" for name in sections.values())
    return tuple(sorted(name for name in made_up if name not in known)) if variants.strict else ()


def _accepts(case: Case, variants: Variants, name: str) -> bool:
    try:
        Case(variants.make({name: 1}), seed=case.seed, place=case.place).model()
    except Exception:  # noqa: BLE001 (any way of refusing will do)
        return False
    return True


def _fingerprints(case: Case, subject: Subject) -> Iterator[tuple[str, Callable[[], str]]]:
    """What can be compared of a subject, the cheapest first."""
    own = Case(subject, seed=case.seed, place=case.place)
    seed = case.seed_of("variation")

    def seeded(measure: Callable[[], Any]) -> Callable[[], str]:
        def found() -> str:
            with isolated(seed):
                return _digest(measure())

        return found

    def forwards() -> list[Any]:
        inputs, _ = own.batch()
        model = own.model()
        with torch.no_grad():
            return [
                forward(subject, model.train(mode), inputs, own.place) for mode in (False, True)
            ]

    def loss() -> Tensor:
        (inputs, targets), model = own.batch(), own.model().train()
        with torch.no_grad():
            return subject.loss_of(
                forward(subject, model, inputs, own.place), targets, inputs
            ).detach()

    def stepped() -> list[Any]:
        model = own.model()
        train(own, model, steps=STEPS)
        return _weights(model)

    yield "parameters", seeded(lambda: _weights(own.model()))
    yield "batches", seeded(lambda: _batches(own))
    yield "optimizer", seeded(lambda: _optimizer(subject, own.model()))
    yield "scores", seeded(forwards)
    yield "loss", seeded(loss)
    yield "steps", seeded(stepped)


def _weights(model: nn.Module) -> list[Any]:
    named = [(name, p.requires_grad, p.detach()) for name, p in model.named_parameters()]
    return [*named, *model.named_buffers()]


def _batches(case: Case) -> list[Any]:
    splits = ["train", "valid", *([case.subject.later] if case.subject.later else [])]
    found: list[Any] = []
    for split in splits:
        with suppress(TypeError):  # Not every reader knows its length.
            found.append(len(case.subject.split(split)))  # type: ignore[arg-type]
        found.append(case.batch(split))
    return found


def _optimizer(subject: Subject, model: nn.Module) -> list[Any]:
    made = subject.make_optimizer(model)
    return [
        type(made).__name__,
        *(
            {k: v if k != "params" else len(v) for k, v in group.items()}
            for group in made.param_groups
        ),
    ]


def _digest(found: Any) -> str:  # noqa: ANN401 (any nesting of tensors and plain values)
    digest = hashlib.sha256(repr(_plain(found)).encode())
    for path, x in leaves(found):
        digest.update(f"{path} {x.dtype} {tuple(x.shape)}".encode())
        digest.update(x.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _plain(found: Any) -> Any:  # noqa: ANN401
    """The values between the tensors."""
    if isinstance(found, dict):
        return [(key, _plain(value)) for key, value in found.items()]
    if isinstance(found, list | tuple):
        return [_plain(value) for value in found]
    return found if isinstance(found, str | int | float | bool | None) else type(found).__name__
