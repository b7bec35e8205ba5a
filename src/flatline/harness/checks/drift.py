"""Features of a later period are such as the model was trained on."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from flatline.harness.drift.compare import ColumnDrift
from flatline.harness.statistics import CHANCE
from flatline.harness.verdicts import Culprit, Stage, Status, Verdict, not_judged

__all__ = [
    "DISTRIBUTIONS", "LEVELS", "SPREADS", "SUPPORT", "distributions_hold", "features_in_support",
    "levels_hold", "name_columns", "spreads_hold",
]  # fmt: skip

LEVELS, SPREADS = "feature_levels_hold", "feature_spreads_hold"
DISTRIBUTIONS, SUPPORT = "feature_distributions_hold", "features_in_support"

# What is smaller is no drift, however surely it is there: a model does not notice it.
LEAST_LEVEL = 0.2  # In train spreads.
LEAST_FACTOR = 1.5  # Of the spread, either way.
LEAST_GAP = 0.1  # Of the rows.
# Beyond the range of the train days by this share of it: of 20,000 series that keep 0.98 of
# themselves from day to day none went so far, of 100,000 that keep 0.9 none half as far.
MOST_BEYOND = 0.5
# Train days and later days from which on that holds.
ENOUGH_DAYS = (250, 60)
# Rows beyond the train range: a stationary column has 2 in 1,000, wherever its level wanders.
MOST_OUTSIDE = 0.5
# Columns named in a sentence.
NAMED = 5

REMEDY = "Normalise it (changes, within the day, rolling), by what was fitted on the train days."


@dataclass(frozen=True, slots=True)
class _Kind:
    """How one property is read off a column, and told."""

    check: str
    unit: str
    size: Callable[[ColumnDrift], float]
    bound: Callable[[ColumnDrift], float]
    large: Callable[[ColumnDrift], bool]
    told: Callable[[ColumnDrift], str]
    least: float
    gone: Callable[[ColumnDrift], bool] = lambda _: False


def levels_hold(
    columns: Sequence[ColumnDrift], *, without: Sequence[str] = (), chance: float = CHANCE
) -> Verdict:
    """Every column's mean must be that of the train days.

    A column fails by more than chance reaches. One that wanders so far on the train days that
    chance reaches anything, as prices do, fails where it has left their range for good.

    Args:
        columns: As `compare` found them, its bounds at *chance*.
        without: Columns whose level may not matter to the model.
        chance: Probability that a stationary panel fails.
    """
    kind = _Kind(
        check=LEVELS,
        unit="train spreads",
        size=lambda c: abs(c.level),
        bound=lambda c: c.level_bound,
        large=lambda c: abs(c.level) > LEAST_LEVEL,
        told=lambda c: f"{c.level:+.2f} spreads (PSI {c.psi:.2f}, Wasserstein {c.wasserstein:.2f})",
        least=LEAST_LEVEL,
        gone=_is_gone,
    )
    return _judge(kind, [c for c in columns if c.name not in without], chance)


def spreads_hold(
    columns: Sequence[ColumnDrift], *, without: Sequence[str] = (), chance: float = CHANCE
) -> Verdict:
    """Every column's spread within the day must be that of the train days.

    Args:
        columns: As `compare` found them, its bounds at *chance*.
        without: Columns whose scale may not matter to the model.
        chance: Probability that a stationary panel fails.
    """
    kind = _Kind(
        check=SPREADS,
        unit="spread over that of the train days, less 1",
        size=lambda c: abs(c.spread),
        bound=lambda c: c.spread_bound,
        large=lambda c: not 1 / LEAST_FACTOR < 1 + c.spread < LEAST_FACTOR,
        told=lambda c: f"{1 + c.spread:.2f} of its train spread",
        least=LEAST_FACTOR - 1,
    )
    return _judge(kind, [c for c in columns if c.name not in without], chance)


def distributions_hold(
    columns: Sequence[ColumnDrift], *, without: Sequence[str] = (), chance: float = CHANCE
) -> Verdict:
    """Every column's distribution must be that of the train days.

    The distance of the two distribution functions, as Kolmogorov and Smirnov take it, but
    held against what blocks of days make of it: rows of a day are not independent.

    Args:
        columns: As `compare` found them, its bounds at *chance*.
        without: Columns whose level or scale may not matter to the model.
        chance: Probability that a stationary panel fails.
    """
    kind = _Kind(
        check=DISTRIBUTIONS,
        unit="share of the rows between the two distribution functions",
        size=lambda c: c.gap,
        bound=lambda c: c.gap_bound,
        large=lambda c: c.gap > LEAST_GAP,
        told=lambda c: f"KS {c.gap:.2f} (PSI {c.psi:.2f})",
        least=LEAST_GAP,
    )
    return _judge(kind, [c for c in columns if c.name not in without], chance)


def features_in_support(columns: Sequence[ColumnDrift], *, without: Sequence[str] = ()) -> Verdict:
    """Most rows of every column must lie in the range of the train rows.

    Args:
        columns: As `compare` found them.
        without: Columns whose level may not matter to the model.
    """
    judged = [c for c in columns if c.name not in without and math.isfinite(c.outside)]
    beyond = sorted((c for c in judged if c.outside > MOST_OUTSIDE), key=lambda c: -c.outside)
    worst = max((c.outside for c in judged), default=0.0)
    named = name_columns([c.name for c in beyond])
    return Verdict(
        check=SUPPORT,
        stage=Stage.DATA,
        status=Status.FAIL if beyond else Status.PASS,
        value=worst,
        bound=MOST_OUTSIDE,
        unit="share of the later rows beyond the train range",
        measured=(
            f"up to {worst:.0%} of the later rows of a column lie beyond its train range, "
            f"expected at most {MOST_OUTSIDE:.0%}" + (f": {named}" if beyond else "")
        ),
        false_alarm_rate=0.0,
        hint="" if not beyond else f"The model has never seen such values of {named}.",
        culprit=_column_culprit(beyond, lambda c: f"{c.outside:.0%} of its later rows are beyond"),
    )


def name_columns(names: Sequence[str]) -> str:
    """The first few names, and how many more there are."""
    shown = ", ".join(names[:NAMED])
    return shown if len(names) <= NAMED else f"{shown} and {len(names) - NAMED} more"


def _judge(kind: _Kind, columns: Sequence[ColumnDrift], chance: float) -> Verdict:
    judged = [c for c in columns if math.isfinite(kind.size(c)) and math.isfinite(kind.bound(c))]
    if not judged:
        return _too_few(kind, columns)

    def excess(column: ColumnDrift) -> float:
        return kind.size(column) / max(kind.bound(column), kind.least)

    worst = max(judged, key=excess)
    drifted = [
        c for c in judged if kind.large(c) and (kind.size(c) > kind.bound(c) or kind.gone(c))
    ]
    drifted.sort(key=excess, reverse=True)
    named = name_columns([c.name for c in drifted])
    return Verdict(
        check=kind.check,
        stage=Stage.DATA,
        status=Status.FAIL if drifted else Status.PASS,
        value=kind.size(worst),
        bound=max(kind.bound(worst), kind.least),
        unit=kind.unit,
        measured=(
            f"{len(drifted)} of {len(judged)} columns drift from {worst.days[0]} train days to "
            f"{worst.days[1]} later ones, expected none"
            + (f": {named}" if drifted else "")
            + f"; {worst.name} by {kind.told(worst)}, chance reaches {kind.bound(worst):.2f}"
        ),
        false_alarm_rate=chance,
        hint="" if not drifted else f"Look at how {named} are made: levels grow, ratios do not.",
        culprit=_column_culprit(drifted, kind.told),
    )


def _is_gone(column: ColumnDrift) -> bool:
    enough = all(days >= least for days, least in zip(column.days, ENOUGH_DAYS, strict=True))
    return enough and column.beyond > MOST_BEYOND


def _too_few(kind: _Kind, columns: Sequence[ColumnDrift]) -> Verdict:
    days = columns[0].days if columns else (0, 0)
    reason = (
        f"{days[0]} train days and {days[1]} later ones are too few to tell"
        if columns
        else "there is no column of which it would matter"
    )
    return not_judged(kind.check, Stage.DATA, reason)


def _column_culprit(
    drifted: Sequence[ColumnDrift], told: Callable[[ColumnDrift], str]
) -> Culprit | None:
    if not drifted:
        return None
    return Culprit(
        kind="column",
        path=name_columns([c.name for c in drifted]),
        evidence="; ".join(f"{c.name}: {told(c)}" for c in drifted[:NAMED]),
        remedy=REMEDY,
    )
