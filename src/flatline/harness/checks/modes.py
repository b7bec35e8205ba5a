"""Train mode and eval mode: what they may differ by, and what eval mode must leave alone."""

from __future__ import annotations

from flatline.harness.probes.modes import EvalMode, TrainMode
from flatline.harness.statistics import HALF_THE_DIGITS
from flatline.harness.verdicts import Stage, Status, Verdict, module_culprit

__all__ = ["eval_mode_is_still", "modes_agree"]

# The mean of a few noisy passes may lie this far from eval mode, in units of the noise
# of one: dropping parts of a layer moves what comes behind it, not by more than it shakes it.
NOISE = 2.0


def eval_mode_is_still(found: EvalMode) -> Verdict:
    """In eval mode every module must say so, and a pass must leave the state as it was."""
    at_fault = [*found.training, *(n.rpartition(".")[0] for n in found.changed)]
    if found.training:
        evidence = f"`training` is True in {len(found.training)} modules after model.eval()"
    else:
        evidence = f"a pass in eval mode changed {', '.join(found.changed[:3])}"
    return Verdict(
        check="eval_mode_is_still",
        stage=Stage.START,
        status=Status.FAIL if at_fault else Status.PASS,
        value=float(len(at_fault)),
        bound=0.0,
        unit="modules in train mode and entries of the state that changed",
        measured=(
            f"after model.eval(), {len(found.training)} modules are in train mode and a pass "
            f"changes {len(found.changed)} entries of the state, expected none"
        ),
        false_alarm_rate=0.0,
        hint="Scores of one batch would depend on those before it." if at_fault else "",
        culprit=module_culprit(
            found.model,
            at_fault[0],
            evidence=evidence,
            remedy="Drop what overrides train() or eval(), and update state in train mode only.",
        )
        if at_fault
        else None,
    )


def modes_agree(found: TrainMode) -> Verdict:
    """Without dropout and batch statistics, train mode must score as eval mode does.

    Noise of the model's own in train mode is averaged over, and allowed for.
    """
    one, other = found.evaluated.double(), found.trained.double()
    root = HALF_THE_DIGITS
    # The modes may take sums in another order.
    bound = root * float(one.square().mean().sqrt()) + NOISE * found.noise
    off = float((one - other).square().mean().sqrt())
    passed, parting = off <= bound, found.parting
    noise = f", its own noise being {found.noise:.3g}" if found.noise else ""
    return Verdict(
        check="modes_agree",
        stage=Stage.START,
        status=Status.PASS if passed else Status.FAIL,
        value=off,
        bound=bound,
        unit="root mean square difference of scores",
        measured=(
            f"without dropout, scores in train mode are off those in eval mode by {off:.3g}"
            f"{noise}, expected at most {bound:.3g}"
        ),
        false_alarm_rate=0.0,
        hint="" if passed else "Another function is trained than the one that is used.",
        culprit=module_culprit(
            found.model,
            parting.path,
            evidence=f"the first whose output differs, by {parting.apart:.2g} of its size",
            remedy="Look for `self.training` in it and before it: only dropout may ask for it.",
        )
        if parting and not passed
        else None,
    )
