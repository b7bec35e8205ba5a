"""The dependence layer: scores follow what the model is given, and nothing else."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import partial

from flatline.harness.case import Case
from flatline.harness.checks import dependence, edges, strangers
from flatline.harness.declared import Declared
from flatline.harness.probes import edges as graph
from flatline.harness.probes import strangers as changes
from flatline.harness.probes.bench import bench_of, rows_from
from flatline.harness.probes.influence import Influence, Part
from flatline.harness.probes.passage import last_moved
from flatline.harness.probes.trial import at_start, changed, once_trained
from flatline.harness.registry import Check, Cost, Layer
from flatline.harness.verdicts import Stage, Verdict

__all__ = ["CHECKS"]


def declared(case: Case) -> Declared:
    """What the subject says may not matter."""
    subject, rows = case.subject, rows_from(case, "train")
    return Declared.of(subject.insensitive_to, rows.parts, columns=subject.columns)


def _matter(case: Case, *, check: str, parts: Sequence[Part]) -> Verdict:
    known, found = case.of(declared), case.of(at_start)
    silenced = dependence.silent(found, parts, known)
    if silenced:
        # What starts at 0, as many heads and gates do, is heard once they have moved.
        still = {one.token for one in dependence.silent(case.of(once_trained), parts, known)}
        silenced = tuple(one for one in silenced if one.token in still)
    return _verdict(case, check, parts, silenced, trained=False)


def _matter_trained(case: Case) -> Verdict:
    check, parts = "trained_inputs_matter", (Part.INPUT, Part.EDGES, Part.NEIGHBOURS)
    silenced = dependence.silent(case.of(once_trained), parts, case.of(declared))
    return _verdict(case, check, parts, silenced, trained=True)


def _verdict(
    case: Case,
    check: str,
    parts: Sequence[Part],
    silenced: Sequence[Influence],
    *,
    trained: bool,
) -> Verdict:
    found = case.of(once_trained if trained else at_start)
    return dependence.matter(
        check,
        found,
        silenced,
        case.of(declared),
        parts=parts,
        stage=Stage.TRAINED if trained else Stage.START,
        reached=_reached(case, silenced[0]) if silenced else "",
        where=_where(case),
    )


def _reached(case: Case, one: Influence) -> str:
    if one.part is Part.NEIGHBOURS:
        return ""  # The neighbours' own scores move in any case.
    rows = rows_from(case, "train")
    bench = bench_of(case, case.model(), rows)
    last, behind = last_moved(bench, rows, changed(rows, one))
    if last is None:
        return "; no module sees it change"
    lost = f", and is lost before {behind}" if behind else ""
    return f"; it reaches {last}{lost}"


def _where(case: Case) -> tuple[str | None, int | None]:
    kind = type(case.model())
    try:
        return inspect.getsourcefile(kind), inspect.getsourcelines(kind)[1]
    except (OSError, TypeError):
        return None, None


def _gradient(case: Case) -> Verdict:
    return dependence.gradient_reaches(case.of(at_start), case.of(declared), where=_where(case))


def _stay(case: Case, *, check: str, probe: Callable[[Case], changes.Change]) -> Verdict:
    return strangers.stay(check, case.of(probe), case.model())


def _within_days(case: Case) -> Verdict:
    return edges.stay_within_days(case.of(graph.ends))


def _without_edges(case: Case) -> Verdict:
    inputs, _ = case.batch()
    if not graph.has_edges(case.subject, inputs):
        return edges.works_without(None)
    return edges.works_without(case.of(graph.without_graph))


def _check(
    name: str,
    says: str,
    judge: Callable[[Case], Verdict],
    *,
    stage: Stage = Stage.START,
    cost: Cost = Cost.PASSES,
    shares: str = "",
) -> Check:
    return Check(
        id=name,
        says=says,
        layer=Layer.DEPENDENCE,
        stage=stage,
        false_alarm_rate=0.0,
        cost=cost,
        judge=judge,
        shares=shares,
    )


def _must_matter(name: str, says: str, *parts: Part) -> Check:
    return _check(name, says, partial(_matter, check=name, parts=parts))


def _must_not_matter(name: str, says: str, probe: Callable[[Case], changes.Change]) -> Check:
    return _check(name, says, partial(_stay, check=name, probe=probe))


CHECKS = (
    _check(
        "edges_stay_within_days",
        "Every edge joins two rows of its batch and of one day.",
        _within_days,
        stage=Stage.DATA,
        cost=Cost.FREE,
    ),
    _must_matter("inputs_matter", "Every input moves the scores.", Part.INPUT),
    _must_matter("features_matter", "Every feature of every input moves the scores.", Part.FEATURE),
    _must_matter("steps_matter", "Every step of the lookback moves the scores.", Part.STEP),
    _must_matter(
        "levels_matter",
        "The level and the scale of a window move the scores.",
        Part.LEVEL,
        Part.SCALE,
    ),
    _must_matter("edges_matter", "The scores depend on which rows the edges join.", Part.EDGES),
    _must_matter("neighbours_matter", "A row hears what its edges lead to.", Part.NEIGHBOURS),
    _check(
        "gradient_reaches_inputs",
        "What moves the scores has a gradient as well.",
        _gradient,
    ),
    _must_not_matter(
        "targets_do_not_matter", "The scores do not depend on the targets.", changes.targets
    ),
    _must_not_matter(
        "other_days_do_not_matter",
        "The scores of a day do not depend on other days.",
        changes.other_days,
    ),
    _must_not_matter(
        "later_days_do_not_matter",
        "The scores of a day do not depend on later days.",
        changes.later_days,
    ),
    _must_not_matter(
        "composition_does_not_matter",
        "The scores of a day do not depend on what else is in the batch.",
        changes.composition,
    ),
    _must_not_matter(
        "row_order_does_not_matter",
        "Rows in another order get the same scores.",
        changes.row_order,
    ),
    _must_not_matter(
        "neighbours_as_declared",
        "A row hears other rows along the edges only, or as declared.",
        changes.other_rows,
    ),
    _check(
        "works_without_edges",
        "On a day without edges every score is a number.",
        _without_edges,
    ),
    _check(
        "trained_inputs_matter",
        "Every input moves the scores of the trained model, too.",
        _matter_trained,
        stage=Stage.TRAINED,
        cost=Cost.TRAINING,
        shares="smoke",
    ),
)
