"""The graph is of the batch it comes with, and the model can do without it."""

from __future__ import annotations

from flatline.harness.probes.edges import Bare, Ends
from flatline.harness.verdicts import Culprit, Stage, Status, Verdict, not_judged

__all__ = ["stay_within_days", "works_without"]


def stay_within_days(found: Ends) -> Verdict:
    """Every edge must join two rows of its own batch and of one day.

    A graph in which every edge leads from a row to itself says nothing, and fails too.

    Args:
        found: Where the edges lead.
    """
    if not found.path or found.edges == 0:
        return not_judged("edges_stay_within_days", Stage.DATA, "the batches have no edges")
    # A loop is no fault as long as others are there.
    hollow = found.loops == found.edges
    wrong = found.outside + found.across
    evidence = (
        f"{found.outside} of {found.edges} edges leave their batch, {found.across} join two days, "
        f"{found.loops} lead from a row to itself"
    )
    remedy = (
        "Give edges between different rows: with loops alone no row hears another."
        if hollow
        else "Number the ends by the rows of this batch, and build the edges day by day."
    )
    failed = bool(wrong) or hollow
    return Verdict(
        check="edges_stay_within_days",
        stage=Stage.DATA,
        status=Status.FAIL if failed else Status.PASS,
        value=float(wrong),
        bound=0.0,
        unit="edges",
        measured=f"{evidence}, in {found.batches} batches; expected 0, 0, and not all",
        false_alarm_rate=0.0,
        hint="Edges lead where they must not, or nowhere." if failed else "",
        culprit=Culprit(kind="input", path=found.path, evidence=evidence, remedy=remedy)
        if failed
        else None,
    )


def works_without(found: Bare | None) -> Verdict:
    """On a day without edges every score must be a number.

    Where the model takes a batch without a graph at all, its scores must be numbers too.

    Args:
        found: What was measured; None where the batches have no graph.
    """
    check = "works_without_edges"
    if found is None:
        return not_judged(check, Stage.START, "the batches have no edges")
    least = found.finite if found.absent is None else min(found.finite, found.absent)
    works = least == 1.0
    also = "" if found.absent is None else f", {found.absent:.0%} with the graph left out"
    return Verdict(
        check=check,
        stage=Stage.START,
        status=Status.PASS if works else Status.FAIL,
        value=least,
        bound=1.0,
        unit="share of scores that are numbers",
        measured=f"{found.finite:.0%} of scores are numbers without edges{also}, expected all",
        false_alarm_rate=0.0,
        hint="" if works else "Look for a mean over no neighbours.",
    )
