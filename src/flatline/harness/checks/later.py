"""What a model does on the train period it still does on a later one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from flatline.harness.checks.classes import name_flat
from flatline.harness.checks.degeneracy import WHERE, name_kinds
from flatline.harness.checks.stretches import (
    FEWEST_DAYS,
    STRETCHES,
    Period,
    geometric_mean,
    means,
    spreads,
    stretches,
    usual_of,
)
from flatline.harness.drift.sample import sample_of
from flatline.harness.drift.shift import mean_shift
from flatline.harness.statistics import CHANCE
from flatline.harness.subject import Axis
from flatline.harness.verdicts import Stage, Status, Verdict, not_judged
from flatline.metrics.dispersion import Flat, find_flat

__all__ = ["attention_lasts", "follows_base_rate", "scores_last"]

LASTS = "later_scores_vary"
FOLLOWS = "later_base_rate"
FOCUSED = "later_attention"


def scores_last(
    train: Period,
    later: Period,
    *,
    axis: Axis = "stocks",
    chance: float = CHANCE,
) -> Verdict:
    """For every horizon, scores must vary on the later period as they do on the train period.

    The spread of a healthy model moves too, as markets do. How much is read off
    stretches of the train period: the bound is the quantile that the log spread of
    one more stretch falls below with probability *chance* (Student's t).

    Args:
        train: Scores of the train period, or the probabilities made of them.
        later: The same of the later period.
        axis: Whether spreads are taken within the day or in time.
        chance: Probability that a healthy model fails, shared out between the horizons.
    """
    parts = stretches(train, later, least=FEWEST_DAYS[axis])
    if parts is None:
        return _too_short(LASTS, train, later, FEWEST_DAYS[axis])
    before = spreads(train, parts[0], axis)
    usual, bounds = usual_of(before, chance / before.shape[1])
    now = geometric_mean(spreads(later, parts[1], axis))
    with np.errstate(divide="ignore", invalid="ignore"):
        worst = int(np.argmin(np.nan_to_num(now / bounds, nan=-np.inf)))
    findings = find_flat(
        later.score,
        later.day,
        target=later.label,
        probability=later.label is not None,
        noise_floor=later.floor,
    )
    # A second sigmoid is no matter of the period, and has a verdict of its own.
    findings = [found for found in findings if found.kind != Flat.SECOND_SIGMOID]
    fell = not now[worst] > bounds[worst]
    noun = "scores" if later.label is None else "probabilities"
    hint = name_kinds(findings)
    if fell and not findings:
        hint = _collapse(later, worst, noun, now[worst], usual[worst])
    return Verdict(
        check=LASTS,
        stage=Stage.EVALUATION,
        status=Status.FAIL if fell or findings else Status.PASS,
        value=float(now[worst]),
        bound=float(bounds[worst]),
        unit=f"standard deviation {WHERE[axis]}",
        measured=(
            f"{noun} of column {worst} vary by {now[worst]:.3g} on the {later.days} later days "
            f"and by {usual[worst]:.3g} on {parts[0]} stretches of the train period, expected "
            f"more than {bounds[worst]:.3g}"
        ),
        false_alarm_rate=chance,
        hint=hint,
    )


def follows_base_rate(train: Period, later: Period, *, chance: float = CHANCE) -> Verdict:
    """For every horizon, the mean probability must keep to the share of the class.

    The share itself moves from period to period, and a model that knew nothing but that
    of the train period would be off by as much. The bound is how far the share of so many
    later days lies from that of the train days if nothing changed, see `mean_shift`. What
    the model is off by on the train period as well is no matter of the period, and is taken
    out.

    Args:
        train: Probabilities of the train period, with labels.
        later: The same of the later period.
        chance: Probability that a healthy model fails, shared out between the horizons.
    """
    if train.label is None or later.label is None:
        return not_judged(FOLLOWS, Stage.EVALUATION, "the subject has no `probabilities`")
    before, after = (sample_of(period.label, period.day) for period in (train, later))
    shifts = [
        mean_shift(a, b, train_day=before.days, later_day=after.days)
        for a, b in zip(
            before.day_means(before.values).T, after.day_means(after.values).T, strict=True
        )
    ]
    bounds = np.array([shift.bound(chance / len(shifts)) for shift in shifts])
    if not np.isfinite(bounds).all():
        return _too_short(FOLLOWS, train, later, 2)
    (mean, share), (mean_then, share_then) = _levels(later), _levels(train)
    gap = np.abs((mean - share) - (mean_then - share_then))
    worst = int(np.argmax(np.nan_to_num(gap - bounds, nan=np.inf)))
    keeps = bool(gap[worst] <= bounds[worst])
    return Verdict(
        check=FOLLOWS,
        stage=Stage.EVALUATION,
        status=Status.PASS if keeps else Status.FAIL,
        value=float(gap[worst]),
        bound=float(bounds[worst]),
        unit="mean probability less the share of the class, later less on the train period",
        measured=(
            f"mean probability and share of the class of column {worst} are {mean[worst]:.3f} and "
            f"{share[worst]:.3f} on the {later.days} later days, {mean_then[worst]:.3f} and "
            f"{share_then[worst]:.3f} on the train period: {gap[worst]:.3f} further apart, "
            f"expected at most {bounds[worst]:.3f}"
        ),
        false_alarm_rate=chance,
        hint=""
        if keeps
        else (
            "off the base rate: the model answers to where the period lies. Look for features "
            "with a level that drifts, and at the normaliser."
        ),
    )


def attention_lasts(train: Period, later: Period, *, chance: float = CHANCE) -> Verdict:
    """Attention must not be nearer to uniform on the later period than on the train period.

    Focus is 1 less the entropy of the weights over that of uniform ones. The bound is
    read off stretches of the train period, as that of `scores_last`.

    Args:
        train: The train period, with focus.
        later: The later period, with focus.
        chance: Probability that a healthy model fails.
    """
    parts = stretches(train, later)
    if train.focus is None or later.focus is None:
        return not_judged(FOCUSED, Stage.EVALUATION, "the subject has no `attention`")
    if parts is None:
        return _too_short(FOCUSED, train, later)
    before = means(train.focus[:, None], train.stretch(parts[0]))
    after = means(later.focus[:, None], later.stretch(parts[1]))
    (usual,), (bound,) = usual_of(before, chance)
    (now,) = geometric_mean(after)
    keeps = bool(now > bound)
    return Verdict(
        check=FOCUSED,
        stage=Stage.EVALUATION,
        status=Status.PASS if keeps else Status.FAIL,
        value=float(now),
        bound=float(bound),
        unit="1 - entropy of the attention / that of uniform weights",
        measured=(
            f"attention has {1 - now:.4f} of the largest entropy on the {later.days} later days "
            f"and {1 - usual:.4f} on the train period, expected less than {1 - bound:.4f}"
        ),
        false_alarm_rate=chance,
        hint=""
        if keeps
        else (
            "uniform attention: on the later period it looks everywhere alike. Look at the scale "
            "of the features there, and at the normaliser."
        ),
    )


def _too_short(check: str, train: Period, later: Period, least: int = 1) -> Verdict:
    return not_judged(
        check,
        Stage.EVALUATION,
        f"{train.days} train days and {later.days} later ones are too few, "
        f"{STRETCHES * least} and {least} at least",
    )


def _levels(period: Period) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean probability and share of the class, over the days whose class is known."""
    if period.label is None:
        raise ValueError("shares need classes")
    all_days = np.zeros_like(period.day)
    known = np.where(np.isfinite(period.label), period.score, np.nan)
    return means(known, all_days)[0], means(period.label, all_days)[0]


def _collapse(later: Period, column: int, noun: str, now: float, usual: float) -> str:
    """What to call a spread that fell: the class prior where the mean lies at the share."""
    kind, beside = str(Flat.VANISHED_SCALE), ""
    if later.label is not None:
        known = np.isfinite(later.label[:, column])
        mean = float(later.score[known, column].mean())
        share = float(later.label[known, column].mean())
        kind = name_flat(mean, share)
        beside = f" around {mean:.3f}, beside a base rate of {share:.3f}"
    return (
        f"{kind}: {noun} still vary on the train period, on the later one by {now / usual:.2g} of "
        f"that{beside}. Look for features with a level that drifts, and at the normaliser."
    )
