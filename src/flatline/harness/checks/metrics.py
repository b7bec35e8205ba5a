"""An evaluation says what it is: laws of the numbers it returns on scores whose skill is known."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from flatline.harness.checks.metrics_form import (
    annualised,
    annualised_twice,
    gaps_counted,
    not_repeated,
    off_scale,
    order_matters,
    undefined_unsaid,
)
from flatline.harness.checks.metrics_numbers import ABOUT_SCORES, CORRELATION, SKILL, Breach
from flatline.harness.checks.metrics_skill import (
    deaf,
    listening,
    not_mirrored,
    null_at_zero,
    off_definition,
    on_constants,
    ordered,
    out_of_order,
    skill_from_nothing,
)
from flatline.harness.measures import Measure, stem_of
from flatline.harness.probes.audit import Audited
from flatline.harness.statistics import CHANCE
from flatline.harness.verdicts import Culprit, Stage, Status, Verdict, not_judged

__all__ = ["LAWS", "Law", "judge_law", "weights_enter"]


class Claim(NamedTuple):
    """What a verdict says of itself, whatever was found."""

    check: str
    says: str
    remedy: str
    stage: Stage
    false_alarm_rate: float


# Numbers that two models share by chance only if they give the same scores; of hit rates
# there are few.
REAL = frozenset(ABOUT_SCORES) - {Measure.HIT_RATE}
WEIGHTS = Claim(
    "numbers_answer_weights",
    "Other weights give other numbers.",
    "Look where the number comes from: another run's file, or the targets alone.",
    Stage.TRAINED,
    0.0,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Law:
    """Something that holds of every sound evaluation.

    Args:
        id: Of the check.
        says: What holds, in one sentence.
        judged: The names of the numbers that it is about.
        breaches: Those that do not keep it.
        remedy: What to do about one that does not.
        false_alarm_rate: Probability that a sound evaluation breaks it.
    """

    id: str
    says: str
    judged: Callable[[Audited], list[str]]
    breaches: Callable[[Audited], list[Breach]]
    remedy: str
    false_alarm_rate: float = 0.0


def judge_law(law: Law, audited: Audited, *, file: str | None, line: int | None) -> Verdict:
    """Whether an evaluation keeps a law, with the first number that does not as culprit.

    Args:
        law: One of `LAWS`.
        audited: What the evaluation said.
        file: Source file of the evaluation, for the culprit.
        line: Its first line.
    """
    judged = law.judged(audited)
    found = law.breaches(audited) if judged else []
    claim = Claim(law.id, law.says, law.remedy, Stage.STATIC, law.false_alarm_rate)
    return _verdict(claim, judged, found, file=file, line=line)


def weights_enter(
    before: Mapping[str, float],
    after: Mapping[str, float],
    measures: Mapping[str, Measure],
    *,
    file: str | None,
    line: int | None,
) -> Verdict:
    """Whether the numbers of a trained model differ from those of a fresh one.

    Args:
        before: What the evaluation says of a fresh model's scores.
        after: What it says of the trained model's.
        measures: What each number is.
        file: Source file of the evaluation, for the culprit.
        line: Its first line.
    """
    judged = [name for name, measure in measures.items() if measure in REAL]
    found = [
        Breach(name, f"is {after[name]:.6g} before and after the training")
        for name in judged
        # Undefined before and after: flat scores, of which other checks speak.
        if after[name] == before.get(name)
    ]
    return _verdict(WEIGHTS, judged, found, file=file, line=line)


def _verdict(
    claim: Claim,
    judged: Sequence[str],
    found: Sequence[Breach],
    *,
    file: str | None,
    line: int | None,
) -> Verdict:
    if not judged:
        return not_judged(
            claim.check,
            claim.stage,
            "none of the evaluation's numbers is known to be of this kind; "
            "say what they are in `measures` of the Subject",
        )
    kept = len(judged) - len({breach.name for breach in found})
    told = "; ".join(f"{b.name} {b.evidence}" for b in found[:3])
    return Verdict(
        check=claim.check,
        stage=claim.stage,
        status=Status.FAIL if found else Status.PASS,
        value=float(len(judged) - kept),
        bound=0.0,
        unit="numbers that break the law",
        measured=f"{kept} of {len(judged)} numbers keep it ({_listed(judged)})"
        + (f"; {told}" if told else ""),
        false_alarm_rate=claim.false_alarm_rate,
        hint=f"Expected: {claim.says[:1].lower()}{claim.says[1:]}" if found else "",
        culprit=Culprit(
            kind="metric",
            path=found[0].name,
            evidence=found[0].evidence,
            remedy=claim.remedy,
            file=file,
            line=line,
        )
        if found
        else None,
    )


def _listed(names: Sequence[str], most: int = 6) -> str:
    stems = list(dict.fromkeys(map(stem_of, names)))
    return ", ".join(stems[:most]) + (", ..." if len(stems) > most else "")


def _kind(*measures: Measure) -> Callable[[Audited], list[str]]:
    return lambda a: a.judged(*measures)


LAWS: tuple[Law, ...] = (
    Law(
        id="constant_scores_undefined",
        says="Of constant scores, and of scores that are one number a day, skill is undefined.",
        judged=_kind(*SKILL, Measure.SLOPE, Measure.INTERCEPT),
        breaches=on_constants,
        remedy="Return NaN where a day's scores do not differ, and give ties their average rank.",
    ),
    Law(
        id="perfect_scores_best",
        says="Perfect scores are best, good ones better than noise.",
        judged=lambda a: [*ordered(a), *a.judged(Measure.R2, Measure.SLOPE, Measure.INTERCEPT)],
        breaches=out_of_order,
        remedy="Look at the sign, and at whether scores and targets are of the same rows.",
    ),
    Law(
        id="inverted_scores_mirror",
        says="The same scores upside down have the opposite skill.",
        judged=_kind(*SKILL, Measure.HIT_RATE, Measure.AUC, Measure.PROFIT),
        breaches=not_mirrored,
        remedy="Take no absolute value and no square: skill has a sign.",
    ),
    Law(
        id="shuffled_scores_null",
        says="Scores shuffled within the day have no skill.",
        judged=null_at_zero,
        breaches=skill_from_nothing,
        remedy="Compare the stocks of each day, then average over days: the market is no skill.",
        false_alarm_rate=CHANCE,
    ),
    Law(
        id="row_order_immaterial",
        says="The order of the rows changes nothing, also where scores tie.",
        judged=lambda a: list(a.measures),
        breaches=order_matters,
        remedy="Group by the day ids, and give ties their average rank.",
    ),
    Law(
        id="scale_as_defined",
        says="Correlations ignore the scores' scale and each day's level; spreads and errors "
        "grow with them.",
        judged=_kind(*CORRELATION, Measure.RATIO, Measure.AUC, Measure.SPREAD, Measure.ERROR),
        breaches=off_scale,
        remedy="Compute it within the day, or say in `measures` what it is.",
    ),
    Law(
        id="undefined_days_counted",
        says="Days without a defined value are left out of the mean, and a number says how many.",
        judged=lambda a: [] if a.one_a_day else a.judged(*CORRELATION),
        breaches=undefined_unsaid,
        remedy="Return how many days were undefined, such as undefined_days, beside the mean.",
    ),
    Law(
        id="missing_labels_left_out",
        says="Rows whose label is NaN count for nothing.",
        judged=_kind(*ABOUT_SCORES, Measure.TARGET),
        breaches=gaps_counted,
        remedy="Drop the rows without a label; do not fill them.",
    ),
    Law(
        id="numbers_answer_scores",
        says="Other scores give other numbers.",
        judged=listening,
        breaches=deaf,
        remedy="Look whether the scores enter at all, or the number comes from elsewhere.",
    ),
    Law(
        id="evaluation_repeats",
        says="The same scores give the same numbers, whatever was evaluated before.",
        judged=lambda a: list(a.measures),
        breaches=not_repeated,
        remedy="Keep no state between evaluations, and read no result of another one.",
    ),
    Law(
        id="agrees_with_definition",
        says="IC and RankIC are means of the days' correlations, ties with average ranks.",
        judged=lambda a: list(a.definition),
        breaches=off_definition,
        remedy="Correct it, or call it something else in `measures` of the Subject.",
    ),
    Law(
        id="annualised_once",
        says="A steady edge has the same yearly Sharpe ratio over every horizon.",
        judged=annualised,
        breaches=annualised_twice,
        remedy="Divide by the square root of the horizon, or use returns that do not overlap.",
    ),
)  # fmt: skip
