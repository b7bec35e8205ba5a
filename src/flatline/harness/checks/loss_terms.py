"""Every declared term of the loss counts, by its weight, and keeps what was declared of it."""

from __future__ import annotations

import math
from collections.abc import Mapping

from flatline.harness.checks.loss_parts import least_is_best, of_parts
from flatline.harness.verdicts import Verdict

__all__ = ["budget_is_kept", "terms_keep_their_word", "terms_reach", "weights_count"]

# Rounding of single precision sums.
ROUNDING = 1e-4
# A term with this much less of the gradient than its weight says is drowned by the others: half
# way, on a log scale, from what was declared to a tenth of it.
DROWNED = math.sqrt(10)


def weights_count(total: float, parts: float) -> Verdict:
    """The total must be the sum of the declared terms, each times its weight.

    Args:
        total: Of the subject's loss.
        parts: That sum.
    """
    off = abs(total - parts) / max(abs(total), abs(parts), 1e-12)
    return least_is_best(
        {"total": off},
        check="weights_count",
        bound=ROUNDING,
        unit="total less the weighted sum / the larger of them",
        sentence=(
            f"the loss is {total:.5g}, its terms by their weights add up to {parts:.5g}, off by "
            "{:.2g}"
        ),
        remedy="Look for a weight that is read and never used, or a term that is not declared.",
    )


def terms_reach(found: Mapping[str, float]) -> Verdict:
    """Every weighted term must have a gradient at what the model puts out.

    Args:
        found: By term, its least gradient over ordinary and nearly constant scores.
    """
    broken = [name for name, size in found.items() if not (size > 0 and math.isfinite(size))]
    return of_parts(
        check="terms_reach",
        broken=broken,
        value=float(len(broken)),
        bound=0.0,
        unit="terms without gradient",
        measured=f"{len(found) - len(broken)} of {len(found)} weighted terms have a gradient at "
        "the outputs, expected all",
        evidence=lambda name: f"gradient at the outputs {found[name]:.3g}",
        remedy="Look for `.item()`, `.detach()`, a clamp, hard ranks, or outputs it does not read.",
    )


def budget_is_kept(
    shares: Mapping[str, tuple[float, float]], *, drowned: float = DROWNED
) -> Verdict:
    """No term may have far less of the gradient than its weight says.

    Args:
        shares: By term, its share of the gradient norms at the outputs, and what it was to have.
        drowned: How many times less is too little.
    """
    times = {
        name: meant / share if share > 0 else math.inf if share == 0 else math.nan
        for name, (share, meant) in shares.items()
    }
    listed = ", ".join(
        f"{name} {share:.0%} of {meant:.0%}" for name, (share, meant) in shares.items()
    )
    return least_is_best(
        times,
        check="gradient_budget",
        bound=drowned,
        unit="share of the weights / share of the gradient",
        sentence=f"its gradient is {{:.2g}} times less than its weight says ({listed})",
        remedy="Bring the terms to one scale, or declare the share that it is meant to have.",
    )


def terms_keep_their_word(changes: Mapping[str, tuple[float, bool]]) -> Verdict:
    """A level or a scale of each day must matter to a term or not, as declared.

    Args:
        changes: By term and change, how much the term changes, and whether it is declared not to.
    """
    broken = [
        name
        for name, (change, invariant) in changes.items()
        if not (change <= 10 * ROUNDING if invariant else change > ROUNDING)
    ]
    return of_parts(
        check="terms_keep_their_word",
        broken=broken,
        value=float(len(broken)),
        bound=0.0,
        unit="declarations that do not hold",
        measured=f"{len(changes) - len(broken)} of {len(changes)} declared invariances hold, "
        "expected all",
        evidence=lambda name: f"changes by {changes[name][0]:.2g} of its size",
        remedy="Group by day before centring or scaling, or declare the term as it is.",
    )
