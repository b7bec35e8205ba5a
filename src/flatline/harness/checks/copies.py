"""A model is more than this object: fresh ones, copies, and what comes back from a file."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from flatline.harness.checks.liveness import is_meant
from flatline.harness.probes.copies import Copied, Fresh
from flatline.harness.probes.saving import Saved
from flatline.harness.probes.strays import Strays
from flatline.harness.statistics import HALF_THE_DIGITS
from flatline.harness.verdicts import Culprit, Stage, Status, Verdict, module_culprit

__all__ = [
    "copy_agrees", "fitted_values_saved", "loading_runs_no_code", "models_are_fresh",
    "nothing_frozen", "saved_model_agrees", "state_round_trips", "tensors_move_along",
]  # fmt: skip


def models_are_fresh(found: Fresh) -> Verdict:
    """Two models must share nothing that training changes, and of one seed be equal.

    Otherwise one training is seen by the next, or nothing can be repeated. A frozen table
    or a constant may be shared.
    """
    at_fault = [*found.shared, *found.apart]
    what = "is shared by two fresh models" if found.shared else "differs between two of one seed"
    return Verdict(
        check="models_are_fresh",
        stage=Stage.STATIC,
        status=Status.FAIL if at_fault else Status.PASS,
        value=float(len(at_fault)),
        bound=0.0,
        unit="tensors of the state",
        measured=(
            f"two models of one seed share {len(found.shared)} tensors that training changes "
            f"and differ in {len(found.apart)}, expected none"
        ),
        false_alarm_rate=0.0,
        hint=f"{at_fault[0]} {what}." if at_fault else "",
        culprit=_owner(found, at_fault[0], what, "Make a new module at every call of `model`.")
        if at_fault
        else None,
    )


def nothing_frozen(found: Fresh, *, meant: Collection[str] = ()) -> Verdict:
    """Parameters that are left as chance made them must be declared to be frozen.

    A constant table that no seed changes is no such parameter, unless it is the weight
    of a layer that learns.

    Args:
        found: Of two fresh models.
        meant: Parameters, or modules by their path, that are not to be trained.
    """
    frozen = [name for name in found.frozen if not is_meant(name, meant)]
    total = len(frozen) + len(found.trained)
    return Verdict(
        check="nothing_frozen",
        stage=Stage.STATIC,
        status=Status.FAIL if frozen else Status.PASS,
        value=float(len(frozen)),
        bound=0.0,
        unit="frozen parameters that are not declared",
        measured=f"{len(frozen)} of {total} parameters do not ask for gradient, expected none",
        false_alarm_rate=0.0,
        hint=f'Where it is meant, add `frozen=("{frozen[0]}",)` to the Subject.' if frozen else "",
        culprit=_owner(
            found,
            frozen[0],
            "has requires_grad=False",
            "Set requires_grad, or build it outside of torch.no_grad().",
        )
        if frozen
        else None,
    )


def copy_agrees(check: str, found: Copied, *, way: str, exact: bool) -> Verdict:
    """A copy must be possible, and score as the model does.

    Args:
        check: Id of the check.
        found: Scores of both.
        way: How it was copied, in words.
        exact: Whether every bit must agree.
    """
    return _agreement(
        check,
        found,
        exact=exact,
        way=way,
        remedy="Keep in modules what can be copied: tensors without history, named functions.",
        hint=f"A worker process or a checkpoint callback could not use it ({way}).",
    )


def state_round_trips(found: Copied, *, exact: bool) -> Verdict:
    """A fresh model that takes over the state of another must score as it does."""
    return _agreement(
        "state_round_trips",
        found,
        exact=exact,
        way="its state_dict in a fresh model",
        remedy="Register it by `register_buffer`: it is lost on save, and stays on the CPU.",
        hint="State that matters is neither a parameter nor a buffer.",
    )


def saved_model_agrees(found: Saved, *, exact: bool) -> Verdict:
    """What the subject's own `save` and `load` give back must score as what was saved."""
    return _agreement(
        "saved_model_agrees",
        Copied(found.model, found.score, found.again, found.problem),
        exact=exact,
        way=f"`save` and `load`, {found.files} files",
        remedy="Write all of the state, and build the model by the settings it was made with.",
        hint="What is loaded is not what was trained.",
    )


def loading_runs_no_code(found: Saved) -> Verdict:
    """Reading a file must not import or call what the file names.

    A pickle may name any function there is. Weights read by `weights_only=True`, or from
    safetensors, name none.
    """
    count = len(found.ran)
    return Verdict(
        check="loading_runs_no_code",
        stage=Stage.STATIC,
        status=Status.FAIL if count else Status.PASS,
        value=float(count),
        bound=0.0,
        unit="names that the file had imported",
        measured=f"loading imported {count} names that the file asked for, expected 0"
        + (f": {', '.join(found.ran[:3])}" if count else ""),
        false_alarm_rate=0.0,
        hint="A file from anyone else could run anything." if count else "",
        culprit=_part("load", f"it unpickled {found.ran[0]}", LOAD) if count else None,
    )


LOAD = "Save the state_dict, and read it by torch.load(weights_only=True) or safetensors."


def fitted_values_saved(found: Saved, fitted: Mapping[str, Any]) -> Verdict:
    """What was fitted beside the weights must come back with them, in the same order.

    Args:
        found: What came back.
        fitted: What was fitted, such as columns and normaliser.
    """
    lost = [name for name in fitted if name not in found.beside]
    other = [n for n in fitted if n in found.beside and not _equal(fitted[n], found.beside[n])]
    at_fault = [*lost, *other]
    return Verdict(
        check="fitted_values_saved",
        stage=Stage.STATIC,
        status=Status.FAIL if at_fault else Status.PASS,
        value=float(len(at_fault)),
        bound=0.0,
        unit="fitted values",
        measured=(
            f"of {len(fitted)} fitted values {len(lost)} are not in the file and {len(other)} "
            f"come back changed{': ' + ', '.join(at_fault) if at_fault else ''}, expected none"
        ),
        false_alarm_rate=0.0,
        hint="The next user would feed the model other columns, or on another scale."
        if at_fault
        else "",
        culprit=_part(
            "save",
            f"{at_fault[0]} {'is not there' if lost else 'comes back changed'}",
            "Write it beside the weights, and return it from `load`.",
        )
        if at_fault
        else None,
    )


def tensors_move_along(found: Strays) -> Verdict:
    """A tensor that the forward uses must be a parameter or a buffer, or be moved there."""
    first = found.met[0] if found.met else None
    return Verdict(
        check="tensors_move_along",
        stage=Stage.START,
        status=Status.FAIL if first else Status.PASS,
        value=float(len(found.met)),
        bound=0.0,
        unit="plain tensors that are used where they are",
        measured=(
            f"of {found.kept} tensors that are neither parameters nor buffers, {len(found.met)} "
            "are used together with others without being moved to them, expected none"
        ),
        false_alarm_rate=0.0,
        hint="On a GPU the forward would raise." if first else "",
        culprit=module_culprit(
            found.model,
            first.path,
            evidence=f"its attribute {first.attribute} meets other tensors in {first.operation}",
            remedy=f"Write `self.register_buffer({first.attribute!r}, ...)`.",
        )
        if first
        else None,
    )


def _agreement(
    check: str, found: Copied, *, exact: bool, way: str, remedy: str, hint: str
) -> Verdict:
    size = float(found.score.square().mean().sqrt())
    bound = 0.0 if exact else HALF_THE_DIGITS * size
    off, problem = float("inf"), found.problem
    if found.again is not None and found.again.shape != found.score.shape:
        problem = f"scores are {tuple(found.again.shape)}, not {tuple(found.score.shape)}"
    elif found.again is not None:
        off = float((found.again.to(found.score) - found.score).abs().max())
    passed = not problem and off <= bound
    what = f"{found.path or 'the model'}{': ' + found.detail if found.detail else ''}"
    return Verdict(
        check=check,
        stage=Stage.STEP,
        status=Status.PASS if passed else Status.FAIL,
        value=None if problem else off,
        bound=bound,
        unit="largest difference of two scores",
        measured=(
            f"{way}: {problem}; expected a model that scores the same"
            if problem
            else f"{way}: scores differ by up to {off:.3g}, expected {bound:.3g}"
        ),
        false_alarm_rate=0.0,
        hint="" if passed else hint,
        culprit=None
        if passed or not (found.path or found.detail)
        else module_culprit(
            found.model,
            found.path,
            evidence=f"{what} is not the same in the copy",
            remedy=remedy,
        ),
    )


def _owner(found: Fresh, name: str, evidence: str, remedy: str) -> Culprit:
    path = name.rpartition(".")[0]
    owner = module_culprit(found.model, path, evidence=f"{name} {evidence}", remedy=remedy)
    return replace(owner, path=path or name)


def _part(name: str, evidence: str, remedy: str) -> Culprit:
    return Culprit(kind="part", path=name, evidence=evidence, remedy=remedy)


def _equal(one: Any, other: Any) -> bool:  # noqa: ANN401 (plain data of any kind)
    """Whether two values are the same, a list and a tuple being alike."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return set(one) == set(other) and all(_equal(v, other[k]) for k, v in one.items())
    if hasattr(one, "tolist"):
        one = one.tolist()
    if hasattr(other, "tolist"):
        other = other.tolist()
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(_equal, one, other))
    return bool(one == other)
