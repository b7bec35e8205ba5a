"""Copies of a model: do they score as it does, and if not, what was left behind."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from flatline.harness.case import Case
from flatline.harness.probes.passes import another, eval_score, first_steps

__all__ = ["Copied", "Fresh", "by_state", "copied", "fresh", "pickled"]

LEARNED = (
    nn.Linear, nn.Bilinear, nn.RNNBase, nn.RNNCellBase, nn.MultiheadAttention,
    nn.modules.conv._ConvNd,  # noqa: SLF001 (the base of all convolutions has no other name)
)  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Copied:
    """Scores of a model and of its copy, over the same batch.

    Args:
        model: The one that was copied.
        score: Shape (rows, horizons).
        again: Of the copy, None where it cannot be made. Shape (rows, horizons).
        problem: Why it cannot be made.
        path: The module that stands in the way, or that parts from its copy.
        detail: What in it does, such as the name of an attribute.
    """

    model: nn.Module
    score: Tensor
    again: Tensor | None
    problem: str = ""
    path: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Fresh:
    """What two fresh models have to do with each other, and what in them is not trained.

    Args:
        model: One of them.
        shared: Parameters that are trained and buffers that change in training, which both
            hold in the same memory; a constant may be anyone's.
        apart: Parameters and buffers in which two models of one seed differ.
        frozen: Parameters that get no gradient by declaration, though they start at random
            or belong to a layer that learns.
        trained: Parameters that do.
    """

    model: nn.Module
    shared: tuple[str, ...]
    apart: tuple[str, ...]
    frozen: tuple[str, ...]
    trained: tuple[str, ...]


def fresh(case: Case) -> Fresh:
    """Two models of one seed, and one of another."""
    one, two, other = case.model(), case.model(), another(case)
    first, second = one.state_dict(keep_vars=True), two.state_dict(keep_vars=True)
    both = [(n, x, second[n]) for n, x in first.items() if n in second and _is_tensor(x)]
    rest = dict(other.named_parameters())
    off = {n: p for n, p in one.named_parameters() if not p.requires_grad}
    return Fresh(
        model=one,
        shared=_shared_and_written(case, {n: x for n, x, y in both if _same_memory(x, y)}),
        apart=(
            *sorted(set(first) ^ set(second)),
            *(n for n, x, y in both if x.shape != y.shape or not _equal(x, y)),
        ),
        frozen=tuple(n for n, p in off.items() if _learns(one, n) or _differs(p, rest.get(n))),
        trained=tuple(n for n, p in one.named_parameters() if p.requires_grad),
    )


def _shared_and_written(case: Case, shared: Mapping[str, Tensor]) -> tuple[str, ...]:
    """Shared tensors through which one training is seen by the next."""
    trained = tuple(name for name, x in shared.items() if x.requires_grad)
    rest = {name: x.detach().clone() for name, x in shared.items() if not x.requires_grad}
    if trained or not rest:
        return trained
    # Of a model of its own: what is shared changes in this one too.
    first_steps(case)
    return tuple(name for name, before in rest.items() if not _equal(before, shared[name]))


def copied(case: Case) -> Copied:
    """`copy.deepcopy` of a model that has taken a few steps, and was used since."""
    model = case.of(first_steps).model
    # What a model remembers of a pass without gradient has no history, and can be copied.
    eval_score(case, model)
    return _through(case, model, copy.deepcopy)


def pickled(case: Case) -> Copied | None:
    """A fresh model, pickled before its first pass, as a worker process would get it.

    After a pass some keep of their last outputs what cannot be pickled, and are none the
    worse for it. None where the model has parametrized modules: torch itself refuses to
    pickle those, and sends their state.
    """
    model = case.model()
    if any(is_parametrized(module) for module in model.modules()):
        return None
    return _through(case, model, _pickle)


def by_state(case: Case) -> Copied:
    """The state of a model that has taken a few steps, in a fresh one of another seed."""
    model, twin = case.of(first_steps).model, another(case)
    score = eval_score(case, model)
    try:
        twin.load_state_dict(copy.deepcopy(model.state_dict()))
    except RuntimeError as error:
        return Copied(model, score, None, problem=" ".join(str(error).split())[:300])
    again = eval_score(case, twin)
    if torch.equal(score, again):
        return Copied(model, score, again)
    path, detail = next(_unsaved(model, twin), ("", ""))
    return Copied(model, score, again, path=path, detail=detail)


def _pickle(model: nn.Module) -> nn.Module:
    again: nn.Module = pickle.loads(pickle.dumps(model))  # noqa: S301 (written one line above)
    return again


def _through(case: Case, model: nn.Module, make: Callable[[nn.Module], nn.Module]) -> Copied:
    try:
        twin = make(model)
    except Exception as error:  # noqa: BLE001 (a module may hold anything)
        path, detail = _obstacle(model, make)
        problem = f"{type(error).__name__}: {str(error).splitlines()[0]:.200}"
        return Copied(model, eval_score(case, model), None, problem, path, detail)
    return Copied(model, eval_score(case, model), eval_score(case, twin))


def _obstacle(model: nn.Module, make: Callable[[nn.Module], nn.Module]) -> tuple[str, str]:
    """The innermost module that cannot be copied, and its attribute that cannot."""
    path, module = "", model
    inner = dict(model.named_modules())
    for name, part in inner.items():
        if name.startswith(path) and _fails(make, part):
            path, module = name, part
    own = {n: x for n, x in vars(module).items() if not n.startswith("_")}
    return path, next((n for n, x in own.items() if _fails(make, x)), type(module).__name__)


def _fails(make: Callable[..., object], thing: object) -> bool:
    try:
        make(thing)
    except Exception:  # noqa: BLE001 (whatever it is, it fails)
        return True
    return False


def _unsaved(model: nn.Module, twin: nn.Module) -> Iterator[tuple[str, str]]:
    """Attributes that are no part of the state and differ between a model and its restored twin."""
    others = dict(twin.named_modules())
    for path, module in model.named_modules():
        theirs = vars(others[path]) if path in others else {}
        state = module.state_dict()
        kept = {**module._parameters, **module._buffers}  # noqa: SLF001 (state and not, alike)
        for name, value in {**vars(module), **kept}.items():
            known = name in state or name in {"training", "_parameters", "_buffers", "_modules"}
            other = theirs.get(name, getattr(others.get(path), name, None))
            if not known and _telling(value) and not _alike(value, other):
                yield path, name


def _telling(value: object) -> bool:
    return isinstance(value, Tensor | int | float | list | tuple)


def _alike(one: object, other: object) -> bool:
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return one.shape == other.shape and _equal(one, other)
    try:
        return bool(one == other)
    except (RuntimeError, ValueError):  # Lists that hold tensors.
        return True


def _is_tensor(x: object) -> bool:
    return isinstance(x, Tensor) and not nn.parameter.is_lazy(x)


def _same_memory(one: Tensor, other: Tensor) -> bool:
    return one.numel() > 0 and one.data_ptr() == other.data_ptr()


def _equal(one: Tensor, other: Tensor) -> bool:
    return bool(torch.equal(one.detach(), other.detach()))


def _learns(model: nn.Module, name: str) -> bool:
    return isinstance(model.get_submodule(name.rpartition(".")[0]), LEARNED)


def _differs(parameter: Tensor, other: Tensor | None) -> bool:
    return other is None or other.shape != parameter.shape or not _equal(parameter, other)
