"""The model is called as it asks, refuses another call, and gives what can be read."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from flatline.harness.probes.interface import Called, OneByOne, Read
from flatline.harness.verdicts import Culprit, Stage, Status, Verdict, not_judged, source_of

__all__ = ["NO_SNAPSHOT", "call_fits_forward", "inputs_untouched", "loss_is_a_number",
           "outputs_hold_scores", "positional_call_refused", "signature_pinned"]  # fmt: skip

SHOWN = 12
NO_SNAPSHOT = "there is no snapshot"


def call_fits_forward(found: Called) -> Verdict:
    """The subject's batches must fit the forward of its model."""
    kind = type(found.model).__name__
    return Verdict(
        check="call_fits_forward",
        stage=Stage.STATIC,
        status=Status.FAIL if found.problem else Status.PASS,
        value=float(bool(found.problem)),
        bound=0.0,
        unit="calls that raised",
        measured=(
            f"forward{found.signature} of {kind} raised {found.problem}; expected: {found.right}"
            if found.problem
            else f"forward{found.signature} of {kind} takes {found.right}, as expected"
        ),
        false_alarm_rate=0.0,
        hint=f"Write {found.right}, or give the Subject `call=lambda model, inputs: ...`."
        if found.problem
        else "",
        culprit=Culprit(
            kind="signature",
            path=f"{kind}.forward",
            evidence=f"it takes {found.signature}",
            remedy=f"Call it as {found.right}.",
            file=found.file,
            line=found.line,
        )
        if found.problem
        else None,
    )


def positional_call_refused(found: OneByOne | None) -> Verdict:
    """A model that takes one mapping must refuse tensors given one by one.

    An old call that is taken for a new one trains on whatever comes first.
    """
    check, stage = "positional_call_refused", Stage.START
    if found is None:
        return not_judged(check, stage, "forward does not take one mapping of tensors")
    telling = any(key in found.message for key in found.keys)
    shown = "shows the right call" if telling else f"could show the right call, {found.right}"
    return Verdict(
        check=check,
        stage=stage,
        status=Status.FAIL if found.accepted else Status.PASS,
        value=float(len(found.accepted)),
        bound=0.0,
        unit="wrong calls that ran",
        measured=(
            f"{' and '.join(found.accepted)} ran, expected an error that shows {found.right}"
            if found.accepted
            else f"tensors given one by one are refused, and the message {shown}: {found.message}"
        ),
        false_alarm_rate=0.0,
        hint=f"Raise where the first argument is no mapping, and show {found.right}."
        if found.accepted
        else "",
        culprit=Culprit(
            kind="signature",
            path="forward",
            evidence=f"forward{found.signature} takes tensors for a batch",
            remedy=f"Refuse them with a message that shows {found.right}.",
        )
        if found.accepted
        else None,
    )


def outputs_hold_scores(found: Read) -> Verdict:
    """The outputs must hold one finite score for each row and horizon, and labels of that shape."""
    faults = list(_faults(found))
    shape = "unreadable" if found.score is None else str(tuple(found.score.shape))
    held = "; ".join(line or "one tensor" for line in found.held[:SHOWN])
    return Verdict(
        check="outputs_hold_scores",
        stage=Stage.START,
        status=Status.FAIL if faults else Status.PASS,
        value=float(len(faults)),
        bound=0.0,
        unit="faults",
        measured=(
            f"{'; '.join(faults)}. The outputs hold: {held}"
            if faults
            else f"scores are {shape}, one for each of {found.rows} rows, as expected"
        ),
        false_alarm_rate=0.0,
        hint="Pick what is there, as in `scores=lambda outputs: outputs['point']`."
        if faults
        else "",
        culprit=Culprit(
            kind="signature",
            path="scores",
            evidence=faults[0],
            remedy="Correct `scores` or `labels` of the Subject, or what the model gives back.",
        )
        if faults
        else None,
    )


def loss_is_a_number(found: Read) -> Verdict:
    """The loss of a batch must be one finite number through which gradient can come."""
    loss = found.loss
    if loss is None:
        fault = found.problem or "there is no loss"
    elif not isinstance(loss, torch.Tensor):
        fault = f"the loss is a {type(loss).__name__}"
    elif loss.numel() != 1:
        fault = f"the loss has shape {tuple(loss.shape)}"
    elif not bool(torch.isfinite(loss).all()):
        fault = f"the loss is {float(loss)}"
    elif not found.trainable:
        fault = "the loss has no gradient: it was detached, or taken out by `.item()`"
    else:
        fault = ""
    number = float(loss) if isinstance(loss, torch.Tensor) and loss.numel() == 1 else None
    return Verdict(
        check="loss_is_a_number",
        stage=Stage.START,
        status=Status.FAIL if fault else Status.PASS,
        value=number,
        unit="loss of the first batch",
        measured=f"{fault}, expected one finite number with a gradient"
        if fault
        else f"the loss of the first batch is {number:.4g}, as expected one finite number",
        false_alarm_rate=0.0,
        hint="Return a scalar tensor that is made of the outputs." if fault else "",
        culprit=Culprit(
            kind="term",
            path="loss",
            evidence=fault,
            remedy="Reduce it to a scalar, and mask labels that are not known.",
        )
        if fault
        else None,
    )


def inputs_untouched(model: nn.Module, edited: Sequence[str]) -> Verdict:
    """A pass must not write to its inputs: the next epoch would train on what it left of them.

    Args:
        model: What was run.
        edited: Paths of the inputs that it changed in place.
    """
    named = ", ".join(path or "the inputs" for path in edited)
    file, line = source_of(model)
    return Verdict(
        check="inputs_untouched",
        stage=Stage.START,
        status=Status.FAIL if edited else Status.PASS,
        value=float(len(edited)),
        bound=0.0,
        unit="inputs that a pass changes in place",
        measured=f"a pass changes {len(edited)} inputs in place, expected none"
        + (f": {named}" if edited else ""),
        false_alarm_rate=0.0,
        hint="Data that are kept between epochs would be another at each." if edited else "",
        culprit=Culprit(
            kind="input",
            path=edited[0] or "inputs",
            evidence=f"{type(model).__name__} writes to {named}",
            remedy="Work on a copy: `x = x - mean` in place of `x -= mean`, `sub` of `sub_`.",
            file=file,
            line=line,
        )
        if edited
        else None,
    )


def signature_pinned(card: str, differs: Sequence[str] | None) -> Verdict:
    """The signature must be the one that was pinned.

    Args:
        card: See `flatline.harness.card.signature_card`.
        differs: Lines of the pinned one and of this one that differ, `NO_SNAPSHOT` where none
            was pinned; None where nobody keeps snapshots.
    """
    check, stage = "signature_pinned", Stage.STATIC
    if differs is None:
        return not_judged(
            check, stage, "a signature is held against its snapshot under pytest, by syrupy"
        )
    if NO_SNAPSHOT in differs:
        return Verdict(
            check=check,
            stage=stage,
            status=Status.FAIL,
            measured=f"{NO_SNAPSHOT} of the signature, expected one under version control",
            false_alarm_rate=0.0,
            hint="Write it by `pytest --snapshot-update`, and commit it.",
        )
    changed = "; ".join(line.strip() for line in differs[:SHOWN])
    return Verdict(
        check=check,
        stage=stage,
        status=Status.FAIL if differs else Status.PASS,
        value=float(len(differs)),
        bound=0.0,
        unit="lines that differ from the snapshot",
        measured=f"{len(differs)} lines differ from the snapshot, expected none: {changed}"
        if differs
        else f"the {len(card.splitlines())} lines of the signature are those of the snapshot",
        false_alarm_rate=0.0,
        hint="Where the change is meant, write it by `pytest --snapshot-update`."
        if differs
        else "",
        culprit=Culprit(
            kind="signature",
            path=differs[0].strip(),
            evidence="it is not what was pinned: callers and old checkpoints may rely on that",
            remedy="Restore it, or update the snapshot and all who read it.",
        )
        if differs
        else None,
    )


def _faults(found: Read) -> list[str]:
    if found.score is None:
        return [found.problem]
    score, faults = found.score, []
    if score.shape[0] != found.rows:
        faults.append(f"scores have {score.shape[0]} rows and the inputs {found.rows}")
    if found.horizons is not None and score.shape[1] != found.horizons:
        faults.append(f"scores have {score.shape[1]} columns, and {found.horizons} are declared")
    if not score.is_floating_point():
        faults.append(f"scores are {score.dtype}")
    elif not bool(torch.isfinite(score).all()):
        lost = int((~torch.isfinite(score)).sum())
        faults.append(f"{lost} of {score.numel()} scores are not finite")
    if found.label is None:
        faults.append(found.problem)
    elif found.label.shape != score.shape:
        faults.append(f"labels are {tuple(found.label.shape)} and scores {tuple(score.shape)}")
    return faults
