"""What a model is given moves its scores: inputs, features, steps, levels, edges."""

from __future__ import annotations

from collections.abc import Sequence

from flatline.harness.declared import Declared
from flatline.harness.probes.influence import Influence, Influences, Part
from flatline.harness.verdicts import Culprit, Stage, Status, Verdict, not_judged

__all__ = ["Place", "gradient_reaches", "matter", "silent"]

# A change of the scores below this share of what all inputs do to them is lost when
# float32 adds it up.
FLOOR = 2.0**-23
# What moves them by less than this is named, and passes.
WEAK = 1e-3

NO_NUMBERS = "the scores are no numbers"

WHAT = {
    Part.INPUT: "inputs",
    Part.FEATURE: "features",
    Part.STEP: "steps",
    Part.LEVEL: "levels and scales",
    Part.EDGES: "graphs",
    Part.NEIGHBOURS: "neighbours",
}
REMEDY = {
    Part.INPUT: "Feed it to the model, leave it out of the batch, or declare {token!r}.",
    Part.FEATURE: "Look for a mask, a slice or a gate at 0 in front of it, or declare {token!r}.",
    Part.STEP: "Look at which steps the model and its head read, or declare {token!r}.",
    Part.LEVEL: "Hand what standardising takes out around to the head, or declare {token!r}.",
    Part.SCALE: "Hand what standardising takes out around to the head, or declare {token!r}.",
    Part.EDGES: "Hand the edges on to the graph layer, or declare 'edges'.",
    Part.NEIGHBOURS: "Hand what neighbours say on along their edges, or declare 'edges'.",
}

Place = tuple[str | None, int | None]


def silent(found: Influences, parts: Sequence[Part], declared: Declared) -> tuple[Influence, ...]:
    """What does not move the scores, and was not declared so."""
    judged = _judged(found, parts, declared)
    return tuple(one for one in judged if _dead(one, _floor(one, found)))


def matter(
    check: str,
    found: Influences,
    silenced: Sequence[Influence],
    declared: Declared,
    *,
    parts: Sequence[Part],
    stage: Stage = Stage.START,
    reached: str = "",
    where: Place = (None, None),
) -> Verdict:
    """Every one of these parts of the inputs must move the scores, be it ever so little.

    Two look: the gradient, and the scores where rows trade that part. A part is silent if
    the scores do not move by more than what float32 loses in a sum; a step of the lookback only
    if it has no gradient either, for what an LSTM keeps of its oldest step is small indeed;
    and a window's level or scale if they move by a thousandth of what the whole input does.

    Args:
        check: Id of the check.
        found: The influence of everything.
        silenced: What is silent at the start and, where that was asked, after training.
        declared: What may be silent.
        parts: What is judged.
        stage: When.
        reached: How far the first silent part comes, for the culprit.
        where: File and line of the model's class.
    """
    judged = _judged(found, parts, declared)
    what = WHAT[parts[0]]
    if not found.finite:
        return not_judged(check, stage, NO_NUMBERS)
    if not judged:
        why = "all that could be are declared" if found.of(*parts) else f"the inputs have no {what}"
        untried = "".join(f"; {token}: {reason}" for token, reason in found.untried)
        return not_judged(check, stage, f"{why}{untried}")
    least = min(judged, key=lambda one: (one not in silenced, one.moved))
    named = ", ".join(one.token for one in silenced[:5])
    more = f" and {len(silenced) - 5} more" if len(silenced) > 5 else ""
    return Verdict(
        check=check,
        stage=stage,
        status=Status.FAIL if silenced else Status.PASS,
        value=least.moved,
        bound=_floor(least, found),
        unit="change of the scores / where everything changes",
        measured=(
            f"{len(judged) - len(silenced)} of {len(judged)} {what} move the scores; the least, "
            f"{least.token}, by {least.moved:.2g} of what everything does, expected more than "
            f"{_floor(least, found):.2g}{_weak(judged, silenced)}{_stale(found, parts, declared)}"
        ),
        false_alarm_rate=0.0,
        hint=f"The scores do not depend on {named}{more}." if silenced else "",
        culprit=_culprit(silenced[0], reached, where) if silenced else None,
    )


def gradient_reaches(found: Influences, declared: Declared, *, where: Place) -> Verdict:
    """What moves the scores must have a gradient as well, or nothing is learned of it.

    Values that are whole numbers are passed over: they may be looked up.

    Args:
        found: The influence of everything.
        declared: What may be without one.
        where: File and line of the model's class.
    """
    judged = [
        one
        for one in found.of(Part.INPUT, Part.FEATURE, Part.NEIGHBOURS)
        if one.gradient is not None
        and not one.whole
        and one.moved > WEAK
        and not declared.aspect(one.source, "gradient", one.index)
    ]
    cut = [one for one in judged if one.gradient == 0.0]
    if not judged:
        return not_judged(
            "gradient_reaches_inputs", Stage.START, "no input of real numbers moves the scores"
        )
    least = min(judged, key=lambda one: one.gradient or 0.0)
    return Verdict(
        check="gradient_reaches_inputs",
        stage=Stage.START,
        status=Status.FAIL if cut else Status.PASS,
        value=least.gradient,
        bound=0.0,
        unit="largest gradient of the scores",
        measured=(
            f"{len(judged) - len(cut)} of {len(judged)} inputs and features that move the scores "
            f"have a gradient; the least, {least.token}, {least.gradient:.2g}, expected more than 0"
        ),
        false_alarm_rate=0.0,
        hint=f"No gradient comes back to {', '.join(one.token for one in cut[:5])}." if cut else "",
        culprit=Culprit(
            kind=_kind(cut[0]),
            path=cut[0].token,
            evidence=f"moves the scores by {cut[0].moved:.2g} of what everything does, gradient 0",
            remedy="Look for a detach, a no_grad or a rounding behind it, or declare "
            f"'{cut[0].token}~gradient'.",
            file=where[0],
            line=where[1],
        )
        if cut
        else None,
    )


def _judged(found: Influences, parts: Sequence[Part], declared: Declared) -> tuple[Influence, ...]:
    # Of an input that is not read at all every feature is silent: that is said once.
    unread = {one.source.path for one in found.of(Part.INPUT) if _dead(one, FLOOR)}
    return tuple(
        one
        for one in found.of(*parts)
        if not _declared(one, declared)
        and (one.part in (Part.INPUT, Part.EDGES, Part.NEIGHBOURS) or one.source.path not in unread)
    )


def _floor(one: Influence, found: Influences) -> float:
    if one.part not in (Part.LEVEL, Part.SCALE):
        return FLOOR
    # What is added to a spread before it is divided by lets a little of both through.
    whole = [other.moved for other in found.of(Part.INPUT) if other.source == one.source]
    return max(FLOOR, WEAK * max(whole, default=0.0))


def _dead(one: Influence, floor: float) -> bool:
    if one.part is Part.STEP:
        return one.moved <= floor and not one.gradient
    return one.moved <= floor


def _declared(one: Influence, declared: Declared) -> bool:
    match one.part:
        case Part.FEATURE if one.index is not None:
            return declared.feature(one.source, one.index)
        case Part.STEP if one.index is not None:
            return declared.step(one.source, one.index)
        case Part.LEVEL:
            return declared.aspect(one.source, "level")
        case Part.SCALE:
            return declared.aspect(one.source, "scale")
        case _:
            return declared.whole(one.source)


def _weak(judged: Sequence[Influence], silenced: Sequence[Influence]) -> str:
    weak = [one.token for one in judged if one.moved < WEAK and one not in silenced]
    return f"; weak: {', '.join(weak[:5])}" if weak else ""


def _stale(found: Influences, parts: Sequence[Part], declared: Declared) -> str:
    heard = [one.token for one in found.of(*parts) if _declared(one, declared) and one.moved > WEAK]
    return f"; declared not to matter, and do: {', '.join(heard[:5])}" if heard else ""


def _kind(one: Influence) -> str:
    return "column" if one.part is Part.FEATURE else "input"


def _culprit(one: Influence, reached: str, where: Place) -> Culprit:
    gradient = "" if one.gradient is None else f", gradient {one.gradient:.2g}"
    return Culprit(
        kind=_kind(one),
        path=one.token,
        evidence=f"the scores move by {one.moved:.2g} where it changes{gradient}{reached}",
        remedy=REMEDY[one.part].format(token=one.token),
        file=where[0],
        line=where[1],
    )
