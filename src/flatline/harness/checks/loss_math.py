"""The loss rewards what it should: its gradient follows the labels, day by day, and is sound."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from flatline.harness.checks.loss_parts import bad_first, least_is_best, of_parts
from flatline.harness.statistics import CHANCE
from flatline.harness.verdicts import Culprit, Stage, Status, Verdict, not_judged

__all__ = [
    "days_stay_apart",
    "finite_at_constant",
    "gradient_follows_labels",
    "is_a_mean",
    "missing_labels_are_silent",
    "nan_shows",
    "probability_meets_the_share",
    "tells_good_from_bad",
]

Floats = NDArray[np.float64]

# What single precision leaves of a direction or a sum.
ROUNDING = 1e-3
# A softmax of raw daily returns reaches 0.0025, one of standardised returns 0.1.
CONTRAST = 0.01
# Of a push, what may fall on a label that is not there.
STRAY = 1e-6
# Ratio of the odds up to which a class may be weighted.
ODDS = 20.0
# A loss so many times its usual size, as where a library puts 1e9 for what is no number, is seen.
LOUD = 1e3


def finite_at_constant(found: Mapping[str, tuple[float, str]]) -> Verdict:
    """At scores that are constant, or nearly, value and gradient must be numbers.

    A loss may refuse constant scores with an error of its own.

    Args:
        found: By part, the largest gradient, NaN where one is, and what it said where it refused.
    """
    broken = [name for name, (size, _) in found.items() if not math.isfinite(size)]
    said = [f"{name} refuses: {why}" for name, (_, why) in found.items() if why]
    return of_parts(
        check="loss_finite_at_constant",
        broken=broken,
        value=float(len(broken)),
        bound=0.0,
        unit="terms that are not finite",
        measured=(
            f"{len(found) - len(broken)} of {len(found)} parts of the loss are finite at constant "
            "scores, expected all" + (f"; {said[0]}" if said else "")
        ),
        evidence=lambda _: "value or gradient is not finite at constant or nearly constant scores",
        remedy="A root or a quotient has no derivative at 0: take it where the spread is above 0.",
    )


def gradient_follows_labels(
    cosine: Floats,
    rows: Floats,
    *,
    horizons: Sequence[int] | None = None,
    largest: float = math.nan,
    chance: float = CHANCE,
) -> Verdict:
    """The gradient must push the scores of higher labels up against the others of the day.

    Args:
        cosine: Of push and labels within the day, by horizon. Shape (horizons,).
        rows: Labels it was taken over, 0 where they do not differ. Shape (horizons,).
        horizons: What the columns are called.
        largest: Of the gradient.
        chance: How often a push that knows nothing of the labels passes.
    """
    seen = rows > 0
    # The cosine of unrelated directions is as good as normal with one over root rows.
    noise = float(stats.norm.ppf(1 - chance)) / np.sqrt(np.maximum(rows, 1))
    bound = np.minimum(noise, 0.5)
    margin = np.where(seen, cosine - bound, np.inf)
    worst = int(np.argmin(np.nan_to_num(margin, nan=-np.inf)))
    broken = bool(seen.any()) and not bool(margin[worst] > 0)
    name = f"horizon {horizons[worst]}" if horizons is not None else f"column {worst}"
    listed = " ".join(f"{c:.2g}" for c in cosine)
    if not seen.any():
        return not_judged(
            "gradient_follows_labels", Stage.START, "the labels of the batch do not differ"
        )
    why = "the labels do not decide it: look at shapes that are broadcast, and at the mask"
    if largest == 0:
        why = "the loss has no gradient at the scores: ranks, a detach, keys, or days of one stock"
    elif cosine[worst] < -bound[worst]:
        why = "the loss is minimised where it should be maximised: its sign is flipped"
    return Verdict(
        check="gradient_follows_labels",
        stage=Stage.START,
        status=Status.FAIL if broken else Status.PASS,
        value=float(cosine[worst]),
        bound=float(bound[worst]),
        unit="cosine of push and labels within the day",
        measured=(
            f"cosine of the push on the scores and the labels by horizon {listed}; {name} has "
            f"{cosine[worst]:.2g}, expected more than {bound[worst]:.2g}"
        ),
        false_alarm_rate=0.0,
        hint=f"On {name} {why}." if broken else "",
        culprit=Culprit(
            kind="term",
            path="total",
            evidence=f"cosine of the gradient and the labels of {name}: {cosine[worst]:.2g}",
            remedy="Follow the scores of that column through the loss: sign, mask, shape, ranks.",
        )
        if broken
        else None,
    )


def days_stay_apart(turned: Mapping[str, float], *, bound: float = ROUNDING) -> Verdict:
    """Other scores on other days must not turn the gradient of a day.

    Args:
        turned: By part, 1 - |cosine| of a day's gradient before and after.
        bound: What rounding may turn it by.
    """
    return least_is_best(
        turned,
        check="days_stay_apart",
        bound=bound,
        unit="1 - |cosine| of a day's gradient with other scores on other days",
        sentence="a day's gradient turns by {:.2g} when the scores of other days change",
        remedy="Group by day before any sum, mean, spread, softmax or rank.",
    )


def missing_labels_are_silent(missing: int, there: float, elsewhere: float) -> Verdict:
    """Where the label is missing the scores must get no gradient.

    Args:
        missing: Labels that are.
        there: Largest gradient where they are.
        elsewhere: Largest gradient where they are not.
    """
    # Nothing but missing labels trains: as bad as can be.
    share = there / elsewhere if elsewhere > 0 else math.inf if there > 0 else 0.0
    return least_is_best(
        {"total": share},
        check="missing_labels_are_silent",
        bound=STRAY,
        unit="gradient where the label is missing / where it is known",
        sentence=f"at {missing} missing labels the gradient is {{:.2g}} of that at known ones",
        remedy="Do not fill missing labels; check which way round the mask is.",
    )


def nan_shows(value: float, clean: float, said: str) -> Verdict:
    """A score that is not a number must show in the loss, or be refused.

    Args:
        value: The loss.
        clean: The loss without that score.
        said: What it said where it refused.
    """
    hidden = math.isfinite(value) and abs(value) <= LOUD * max(abs(clean), 1.0)
    return of_parts(
        check="nan_shows",
        broken=["total"] if hidden else [],
        value=float(hidden),
        bound=0.0,
        unit="numbers that hide one that is none",
        measured=f"with one score that is not a number the loss is {value:.3g}, expected nan, "
        f"or more than {LOUD:g} times the {clean:.3g} it is without"
        + (f"; it refuses: {said}" if said else ""),
        evidence=lambda _: f"the loss is {value:.3g} though one score is not a number",
        remedy="Do not fill NaN: a broken branch would look quiet.",
    )


def is_a_mean(cuts: int, times: Mapping[str, float]) -> Verdict:
    """A term must not grow with the number of stocks.

    Half way, on a log scale, between a mean (1) and a sum (*cuts*) is the bound.

    Args:
        cuts: Parts that the stocks of each day were cut into.
        times: By part, the gradient of whole days over that of the cut ones.
    """
    return least_is_best(
        {name: abs(math.log(x)) if x > 0 else math.nan for name, x in times.items()},
        check="loss_is_a_mean",
        bound=math.log(cuts) / 2,
        unit="logarithm of the growth of the gradient",
        sentence=f"with {cuts} times the stocks the gradient grows by a factor of e^{{:.2f}}",
        remedy="Take the mean over the stocks, or over the pairs, instead of the sum.",
    )


def tells_good_from_bad(found: Mapping[str, float], *, bound: float = CONTRAST) -> Verdict:
    """A forecast must lose clearly less than the same upside down.

    Args:
        found: By part, the difference of the two over the sum of their sizes.
        bound: Least that it must be.
    """
    worst = min(found, key=lambda name: bad_first(found[name]), default="")
    broken = [name for name, contrast in found.items() if not contrast >= bound]
    shown = found.get(worst, math.nan)
    return of_parts(
        check="loss_tells_good_from_bad",
        broken=sorted(broken, key=lambda name: bad_first(found[name])),
        value=shown,
        bound=bound,
        unit="difference of a forecast and its mirror image / the loss",
        measured=(
            f"the labels as scores and the same upside down differ by {shown:.2g} of the loss "
            f"({worst or 'none'}), expected at least {bound:.2g}"
        ),
        evidence=lambda name: f"differs by {found[name]:.2g} between a forecast and its mirror",
        remedy="Set temperatures in spreads of the day's labels, or standardise the labels.",
    )


def probability_meets_the_share(share: Floats, best: Floats, *, times: float = ODDS) -> Verdict:
    """Of all constant scores, that of the least loss must stand for the share of the class.

    Weights of the class and a focal loss move it, but not without measure: the bound is on
    the ratio of the odds.

    Args:
        share: Of the class among the labels. Shape (horizons,).
        best: Probability that the best constant stands for, NaN where there is none.
            Shape (horizons,).
        times: Largest ratio of the odds.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        off = np.abs(np.log(best / (1 - best)) - np.log(share / (1 - share)))
    # Outside of (0, 1) it is no probability at all.
    off = np.nan_to_num(off, nan=np.inf)
    worst = int(np.argmax(off))
    return least_is_best(
        {"total": float(off[worst])},
        check="probability_meets_the_share",
        bound=math.log(times),
        unit="logarithm of the ratio of the odds",
        sentence=(
            f"the constant of the least loss stands for a probability of {best[worst]:.3g} in "
            f"column {worst}, where the share of the class is {share[worst]:.3g}, off by {{:.2g}}"
        ),
        remedy="Give logits to a loss of logits, and probabilities to one of probabilities.",
    )
