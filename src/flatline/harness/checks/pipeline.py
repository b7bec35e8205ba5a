"""A pipeline knows no price of a later day, and a label nothing else."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from flatline.harness.checks.drift import name_columns
from flatline.harness.probes.interventions import Interventions, Later, Reach
from flatline.harness.probes.taken import Moved
from flatline.harness.verdicts import Culprit, Stage, Status, Verdict, not_judged

__all__ = [
    "FUTURE", "LABELS", "PURGED", "REPEAT", "SCALER", "UNIVERSE", "inputs_know_no_future",
    "labels_span_their_horizon", "same_whatever_came_before", "scaler_knows_train_only",
    "splits_are_purged", "universe_knows_no_future",
]  # fmt: skip

FUTURE, SCALER = "inputs_know_no_future", "scaler_knows_train_only"
UNIVERSE, PURGED = "universe_knows_no_future", "splits_are_purged"
LABELS, REPEAT = "labels_span_their_horizon", "same_whatever_came_before"

# A column that moves on most days was scaled by what it knows of all of them; one that looks
# ahead moves on the last few days before the change.
MOST_DAYS = 0.5
# Days from the one that is judged on to the first price of its label: today's close or
# tomorrow's.
DELAYS = (0, 1)


def inputs_know_no_future(found: Interventions) -> Verdict:
    """Changing the prices behind a day must leave its inputs alone, edges included."""
    leaks: dict[str, int] = {}
    edges = 0
    for later in found.later:
        for name, days in later.moved.columns.items():
            # A leak that was fitted on as well moves the rest by the normaliser alone.
            early = later.moved.crooked.get(name, days)
            if 0 < len(early) <= MOST_DAYS * len(later.moved.days):
                leaks[name] = max(leaks.get(name, 0), len(early))
        edges = max(edges, len(later.moved.edges))
    worst = sorted(leaks, key=lambda name: -leaks[name])
    evidence = "; ".join(
        (
            [f"{name_columns(worst)} moved on up to {max(leaks.values())} days before"]
            if leaks
            else []
        )
        + ([f"edges moved on {edges} days before"] if edges else [])
    )
    kind = "column" if leaks else "input"
    return _verdict(
        FUTURE,
        evidence,
        good=f"no input moved before the prices that were changed, at {len(found.later)} dates",
        value=float(len(leaks) + (edges > 0)),
        unit="columns",
        culprit=Culprit(
            kind=kind,
            path=name_columns(worst) if leaks else "edges",
            evidence=evidence,
            remedy="Make it of rows of its own stock, up to and including its own day: look at "
            "shifts, fills that run backwards or into the next stock, and windows.",
        ),
        hint="An input of a day is made with prices of a later one.",
    )


def scaler_knows_train_only(found: Interventions) -> Verdict:
    """What is fitted on the train days must not move with later prices."""
    broad: dict[str, Later] = {}
    for later in found.later:
        broad |= {name: later for name in _broad(later.moved) if name not in broad}
    names = list(broad)
    evidence = ""
    if names:
        later = broad[names[0]]
        share = len(later.moved.columns[names[0]]) / max(1, len(later.moved.days))
        what = (
            f"from {later.split} on" if later.split else f"of the later half of {found.splits[-1]}"
        )
        evidence = (
            f"{name_columns(names)} moved on {share:.0%} of the days before, when prices {what} "
            "were changed"
        )
    return _verdict(
        SCALER,
        evidence,
        good="no column moved as a whole with prices of later days",
        value=float(len(names)),
        unit="columns",
        culprit=Culprit(
            kind="column",
            path=name_columns(names),
            evidence=evidence,
            remedy="Fit on the train days alone, and apply the same numbers to every split.",
        ),
        hint="A normaliser was fitted on later days than those of the train split.",
    )


def universe_knows_no_future(found: Interventions) -> Verdict:
    """The stocks of a day must not depend on which of them are still listed later."""
    if found.delisted is None:
        return not_judged(UNIVERSE, Stage.DATA, "the prices are of fewer than three stocks")
    moves = [found.delisted, *(later.moved for later in found.later)]
    days = np.unique(np.concatenate([one.rows for one in moves]))
    evidence = f"on {days.size} days other stocks came, when prices of later days changed or ended"
    return _verdict(
        UNIVERSE,
        evidence if days.size else "",
        good="the stocks of a day are the same when others end later",
        value=float(days.size),
        unit="days",
        culprit=Culprit(
            kind="input",
            path="rows",
            evidence=evidence,
            remedy="Choose the stocks of a day by what is known on it.",
        ),
        hint="Only survivors are in the panel: their returns look better than they were.",
    )


def splits_are_purged(found: Interventions) -> Verdict:
    """A label of one split must not end in the next one."""
    wrong = [
        (found.splits[i], later.split)
        for at, later in enumerate(found.later[:-1])
        for i in range(at + 1)
        if later.moved.splits[i]
    ]
    evidence = "; ".join(f"labels of {one} move with prices of {other}" for one, other in wrong)
    return _verdict(
        PURGED,
        evidence,
        good="no label moves with the prices of a later split",
        value=float(len(wrong)),
        unit="pairs of splits",
        culprit=Culprit(
            kind="split",
            path=wrong[0][0] if wrong else "",
            evidence=evidence,
            remedy="Leave out the last days of a split whose label ends in the next one.",
        ),
        hint="Trained on what happens on days that it is judged by.",
    )


def labels_span_their_horizon(
    reaches: Sequence[Reach], horizons: Sequence[int] | None = None
) -> Verdict:
    """A label must be made of later prices, over as many days as its horizon says.

    The price of one date moves the labels that begin or end on it. The earliest of them
    tells how far ahead a label looks, the latest where it begins.

    Args:
        reaches: One per horizon.
        horizons: In trading days; without them only the direction is judged.
    """
    wrong = _backwards(reaches)
    if not wrong and horizons is not None and len(horizons) == len(reaches):
        wrong = _other_lengths(reaches, horizons)
    found = ", ".join("none" if r.first is None else f"{r.last} to {r.first}" for r in reaches)
    evidence = "; ".join(f"{name} {why}" for name, why in wrong)
    return _verdict(
        LABELS,
        evidence,
        good=f"labels begin and end so many days behind their own: {found}",
        value=float(len(wrong)),
        unit="horizons",
        culprit=Culprit(
            kind="target",
            path=name_columns([name for name, _ in wrong]),
            evidence=evidence,
            remedy="Shift the price back by the horizon: close(t + d + h) / close(t + d) - 1.",
        ),
        hint="A label is not the return over its horizon.",
    )


def same_whatever_came_before(found: Interventions) -> Verdict:
    """The same prices must give the same batches, whatever their order and what was read before."""
    again = found.again
    parts = {
        "edges": again.edges.size,
        "rows": again.rows.size,
        **{name: len(days) for name, days in again.columns.items()},
        "labels": max((days.size for days in again.labels), default=0),
    }
    moved = [name for name, days in parts.items() if days]
    evidence = f"{name_columns(moved)} differ on up to {max(parts.values())} days"
    return _verdict(
        REPEAT,
        evidence if moved else "",
        good="the same batches for prices in another order, read from the last split on",
        value=float(max(parts.values())),
        unit="days",
        culprit=Culprit(
            kind="column" if moved and moved[0] in again.columns else "input",
            path=name_columns(moved),
            evidence=evidence,
            remedy="Look at what is kept from one day to the next: a cache needs the day and its "
            "rows in its key. Sort before rows are laid out.",
        ),
        hint="A day's inputs hang on what was read before it, or on the order of the table.",
    )


def _broad(found: Moved) -> list[str]:
    """Columns that moved on most of the days before the change."""
    return [n for n, days in found.columns.items() if len(days) > MOST_DAYS * len(found.days)]


def _backwards(reaches: Sequence[Reach]) -> list[tuple[str, str]]:
    wrong = []
    for i, reach in enumerate(reaches):
        if reach.first is None:
            wrong.append((f"column {i}", "moves with no price at all"))
        elif reach.first <= 0:
            wrong.append(
                (f"column {i}", f"is made of prices up to its own day, {-reach.first} back")
            )
    return wrong


def _other_lengths(reaches: Sequence[Reach], horizons: Sequence[int]) -> list[tuple[str, str]]:
    """Horizons whose labels are longer, shorter, or later than they should be."""
    firsts = [reach.first or 0 for reach in reaches]
    lasts = [0 if reach.last is None else reach.last for reach in reaches]
    wrong = []
    for i, h in enumerate(horizons):
        length, delay = firsts[i] - lasts[i], firsts[i] - h
        # A label that is scaled by what came before moves for days behind the date as well:
        # then only its end is known.
        if lasts[i] >= 0 and length != h:
            wrong.append((f"horizon {h}", f"spans {length} days"))
        elif delay not in DELAYS:
            wrong.append((f"horizon {h}", f"ends {firsts[i]} days ahead"))
    delays = {first - h for first, h in zip(firsts, horizons, strict=True)}
    if not wrong and len(delays) > 1:
        wrong.append(("horizons", f"begin {sorted(delays)} days ahead, not on one day"))
    return wrong


def _verdict(
    check: str, evidence: str, *, good: str, value: float, unit: str, culprit: Culprit, hint: str
) -> Verdict:
    """A pass with what is *good*, or a failure with its *evidence*."""
    return Verdict(
        check=check,
        stage=Stage.DATA,
        status=Status.FAIL if evidence else Status.PASS,
        value=value,
        bound=0.0,
        unit=unit,
        measured=evidence or good,
        false_alarm_rate=0.0,
        hint=hint if evidence else "",
        culprit=culprit if evidence else None,
    )
