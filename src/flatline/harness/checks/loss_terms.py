"""Every declared term of the loss counts, by its weight, and keeps what was declared of it."""

from __future__ import annotations

import math
from collections.abc import Mapping

from flatline.harness.checks.loss_parts import least_is_best, of_parts
from flatline.harness.verdicts import Verdict

__all__ = ["budget_is_kept", "terms_keep_their_word", "terms_reach", "weights_count"]

# Rounding of single precision sums.
ROUNDING = 1e-4
# A term is drowned by the others if it has under a tenth of the gradient, and so hardly turns it,
# and this much less than its weight says: half way, on a log scale, to a tenth of that.
DROWNED = math.sqrt(10)
LITTLE = 0.1


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
    shares: Mapping[str, tuple[float, float]], *, drowned: float = DROWNED, little: float = LITTLE
) -> Verdict:
    """No term may have little of the gradient, and far less of it than its weight says.

    Args:
        shares: By term, its share of the gradient norms at the outputs, and what it was to have.
        drowned: How many times less than it was to have is too little.
        little: A share that is large enough whatever it was to be.
    """
    short = {
        name: min(meant / drowned, little) / share
        if share > 0
        else math.inf
        if share == 0
        else math.nan
        for name, (share, meant) in shares.items()
    }
    listed = ", ".join(
        f"{name} {share:.2g} of the gradient at a weight of {meant:.2g}"
        for name, (share, meant) in shares.items()
    )
    return least_is_best(
        short,
        check="gradient_budget",
        bound=1.0,
        unit="least share of the gradient that is sound / share",
        sentence=f"the least share that is sound is {{:.2g}} times what it has ({listed})",
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
