"""The contract layer: the model keeps its word, and all of it is trained."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from flatline.harness.card import signature_card
from flatline.harness.case import Case
from flatline.harness.checks import (
    contract,
    copies,
    interface,
    liveness,
    modes,
    precision,
)
from flatline.harness.inferred import inferred
from flatline.harness.probes.copies import by_state, copied, fresh, pickled
from flatline.harness.probes.interface import called, edited, one_by_one, readings
from flatline.harness.probes.modes import eval_mode, train_mode
from flatline.harness.probes.passes import first_steps
from flatline.harness.probes.precision import in_bfloat16, in_float64, nudged
from flatline.harness.probes.smoke import smoke
from flatline.harness.probes.strays import strays
from flatline.harness.registry import Check, Cost, Layer
from flatline.harness.verdicts import Stage, Status, Verdict, not_judged

__all__ = ["CHECKS", "certain", "exact", "pinned"]


def _fits(case: Case) -> Verdict:
    verdict = interface.call_fits_forward(case.of(called))
    if verdict.status != Status.PASS:
        return verdict
    try:
        # Said where it is looked for: what was taken for granted may be what is wrong.
        return replace(verdict, measured=f"{verdict.measured}; inferred: {case.of(inferred)}")
    except Exception:  # noqa: BLE001 (what is wrong with the outputs has a verdict of its own)
        return verdict


def pinned(case: Case, differs: Callable[[str], Sequence[str]] | None) -> Verdict:
    """Hold the signature against a snapshot.

    Args:
        case: Whose signature.
        differs: From the card to the lines in which it differs from the snapshot; None
            where nobody keeps one.
    """
    if differs is None:
        return interface.signature_pinned("", None)
    card = signature_card(case)
    return interface.signature_pinned(card, differs(card))


def exact(case: Case) -> bool:
    """Whether every bit of two passes must agree."""
    return case.place.device.type == "cpu"


def _hold(case: Case) -> Verdict:
    found = case.of(first_steps)
    if found.held is None:
        return not_judged(
            "optimizer_holds_all",
            Stage.STEP,
            "the subject trains by its own `fit`, and has no `optimizer`",
        )
    return liveness.optimizer_holds_all(
        found.model, found.gradients, found.held, strangers=found.strangers
    )


def _get_gradient(case: Case) -> Verdict:
    found = case.of(first_steps)
    return liveness.blocks_get_gradient(found.model, found.gradients, meant=case.subject.frozen)


def _move(case: Case) -> Verdict:
    run = case.of(smoke)
    return liveness.blocks_move(
        run.model,
        run.movement,
        case.of(first_steps).gradients,
        steps=run.steps,
        meant=case.subject.frozen,
    )


def _agree(case: Case) -> Verdict:
    run = case.of(smoke)
    return contract.evaluations_agree(run.scored.score, run.again, exact=exact(case))


def _deepcopy(case: Case) -> Verdict:
    found, way = case.of(copied), "copy.deepcopy"
    return copies.copy_agrees("deepcopy_agrees", found, way=way, exact=exact(case))


def _pickle(case: Case) -> Verdict:
    found, way = case.of(pickled), "pickled as for a worker process"
    if found is None:
        return not_judged(
            "pickle_agrees", Stage.STEP, "torch pickles no parametrized modules, only their state"
        )
    return copies.copy_agrees("pickle_agrees", found, way=way, exact=exact(case))


def certain(
    name: str,
    says: str,
    stage: Stage,
    judge: Callable[[Case], Verdict],
    *,
    needs: tuple[str, ...] = (),
) -> Check:
    """A check of this layer: nothing in it is left to chance."""
    return Check(
        id=name,
        says=says,
        layer=Layer.CONTRACT,
        stage=stage,
        false_alarm_rate=0.0,
        cost=Cost.PASSES,
        judge=judge,
        needs=needs,
    )


def _trained(check: Check) -> Check:
    return replace(check, cost=Cost.TRAINING, shares="smoke")


CHECKS: tuple[Check, ...] = (
    certain(
        "call_fits_forward",
        "The batches fit the forward of the model.",
        Stage.STATIC,
        _fits,
    ),
    certain(
        "signature_pinned",
        "Signature, inputs, outputs and state are those of the snapshot.",
        Stage.STATIC,
        lambda case: pinned(case, None),
        needs=("snapshot",),
    ),
    certain(
        "models_are_fresh",
        "Two models share nothing that training changes, and of one seed are equal.",
        Stage.STATIC,
        lambda case: copies.models_are_fresh(case.of(fresh)),
    ),
    certain(
        "nothing_frozen",
        "No parameter is kept from training but those declared.",
        Stage.STATIC,
        lambda case: copies.nothing_frozen(case.of(fresh), meant=case.subject.frozen),
    ),
    certain(
        "positional_call_refused",
        "A model that takes one mapping refuses tensors given one by one.",
        Stage.START,
        lambda case: interface.positional_call_refused(case.of(one_by_one)),
    ),
    certain(
        "outputs_hold_scores",
        "The outputs hold one finite score for each row and horizon.",
        Stage.START,
        lambda case: interface.outputs_hold_scores(case.of(readings)),
    ),
    certain(
        "loss_is_a_number",
        "The loss of a batch is one finite number with a gradient.",
        Stage.START,
        lambda case: interface.loss_is_a_number(case.of(readings)),
    ),
    certain(
        "inputs_untouched",
        "A pass leaves its inputs as they were.",
        Stage.START,
        lambda case: interface.inputs_untouched(*case.of(edited)),
    ),
    certain(
        "eval_mode_is_still",
        "In eval mode no module trains, and a pass changes no state.",
        Stage.START,
        lambda case: modes.eval_mode_is_still(case.of(eval_mode)),
    ),
    certain(
        "modes_agree",
        "Train mode and eval mode differ only through dropout and batch statistics.",
        Stage.START,
        lambda case: modes.modes_agree(case.of(train_mode)),
    ),
    certain(
        "float64_agrees",
        "Scores in float32 are those in float64.",
        Stage.START,
        lambda case: precision.float64_agrees(case.of(in_float64)),
    ),
    certain(
        "bf16_agrees",
        "Scores under autocast to bfloat16 are those in float32.",
        Stage.START,
        lambda case: precision.bf16_agrees(case.of(in_bfloat16)),
    ),
    certain(
        "well_conditioned",
        "A tiny change of the inputs makes a small change of the scores.",
        Stage.START,
        lambda case: precision.well_conditioned(case.of(nudged)),
    ),
    certain(
        "tensors_move_along",
        "Every tensor of the model moves with it to another device.",
        Stage.START,
        lambda case: copies.tensors_move_along(case.of(strays)),
    ),
    certain(
        "blocks_get_gradient",
        "Every module that owns parameters gets gradient from the loss.",
        Stage.START,
        _get_gradient,
    ),
    certain(
        "optimizer_holds_all",
        "The optimizer holds every parameter that gets gradient.",
        Stage.STEP,
        _hold,
    ),
    certain(
        "deepcopy_agrees",
        "A deep copy of the model scores as the model does.",
        Stage.STEP,
        _deepcopy,
    ),
    certain(
        "pickle_agrees",
        "A model sent to a worker process scores as the model does.",
        Stage.STEP,
        _pickle,
    ),
    certain(
        "state_round_trips",
        "A fresh model that takes over a state_dict scores as its owner does.",
        Stage.STEP,
        lambda case: copies.state_round_trips(case.of(by_state), exact=exact(case)),
    ),
    _trained(
        certain(
            "blocks_move",
            "Every module that owns trainable parameters has moved after the training.",
            Stage.TRAINED,
            _move,
        )
    ),
    _trained(
        certain(
            "evaluations_agree",
            "Two passes in eval mode give the same scores, on the CPU bit for bit.",
            Stage.EVALUATION,
            _agree,
        )
    ),
)
