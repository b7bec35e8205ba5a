"""Probabilities of a class say something of the row, and went through one sigmoid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flatline.harness.checks.degeneracy import WHERE, name_kinds, spread
from flatline.harness.statistics import Estimate, block_mean, shifted_mean
from flatline.harness.subject import Axis
from flatline.harness.verdicts import Culprit, Stage, Status, Verdict
from flatline.metrics.blocks import DayBlocks
from flatline.metrics.classification import daily_auc
from flatline.metrics.dispersion import SCALE_FLOOR, Flat, find_flat
from flatline.metrics.ranks import rank_rows
from flatline.metrics.variance import within_day

__all__ = ["Prior", "beyond_the_prior", "name_flat", "one_sigmoid"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# How often one healthy horizon looks like a second sigmoid.
ONE_SIGMOID = 1.1e-6
PRIOR = "beyond_class_prior"
SIGMOID = "one_sigmoid"


@dataclass(frozen=True, slots=True)
class Prior:
    """How one horizon's probabilities stand to the class prior.

    Args:
        mean: Mean probability.
        base: Share of the class.
        claim: Spread of the probabilities over that of the classes: the correlation
            that a calibrated forecast of this spread claims.
        chance: Correlation that probabilities which know nothing reach by chance.
        auc: Area under the operating curve less one half, with its error.
    """

    mean: float
    base: float
    claim: float
    chance: float
    auc: Estimate


def beyond_the_prior(
    probability: Floats,
    label: Floats,
    day: Ints,
    *,
    axis: Axis = "stocks",
    chance: float = 1e-3,
) -> Verdict:
    """For every horizon, probabilities must say more than the share of the class.

    They are at the prior where two things hold: they tell the classes apart no better
    than chance would (AUC, against series shifted in time, or over blocks of days), and
    they hardly claim to, their spread being that of a forecast whose correlation chance
    reaches too. A spread that does tell the classes apart may be small. The rows are those
    the model was trained on: what it cannot tell apart there it can nowhere.

    Args:
        probability: Of the class. Shape (rows, horizons).
        label: 0 or 1, NaN where not known. Shape (rows, horizons).
        day: Day of each row. Shape (rows,).
        axis: Whether rows are compared within the day or in time.
        chance: Probability that probabilities which know nothing pass by their AUC.
    """
    found = [_prior(p, y, day, axis, chance) for p, y in zip(probability.T, label.T, strict=True)]
    bounds = [SCALE_FLOOR if one.auc.value > one.auc.bound(chance) else one.chance for one in found]
    margin = [prior.claim - bound for prior, bound in zip(found, bounds, strict=True)]
    worst = int(np.argmin(np.nan_to_num(margin, nan=-np.inf)))
    prior, bound = found[worst], bounds[worst]
    leaves = bool(prior.claim > bound)
    listed = " ".join(f"{0.5 + one.auc.value:.2f}" for one in found)
    return Verdict(
        check=PRIOR,
        stage=Stage.TRAINED,
        status=Status.PASS if leaves else Status.FAIL,
        value=prior.claim,
        bound=bound,
        unit=f"spread of the probabilities / of the classes, {WHERE[axis]}",
        measured=(
            f"AUC by horizon {listed}; column {worst} has {0.5 + prior.auc.value:.3f} (chance "
            f"reaches {0.5 + prior.auc.bound(chance):.3f}) and probabilities around "
            f"{prior.mean:.3f} at a base rate of {prior.base:.3f}, whose spread is "
            f"{prior.claim:.3g} of the classes', expected more than {bound:.3g}"
        ),
        # Of one that passes by its spread nothing is known: another draw has the same one.
        false_alarm_rate=prior.auc.miss(chance) if leaves and bound == SCALE_FLOOR else None,
        hint=""
        if leaves
        else (
            f"{name_flat(prior.mean, prior.base)}: every probability is about {prior.mean:.3f}, "
            f"beside a base rate of {prior.base:.3f}, and what is left of a spread does not tell "
            "the classes apart. Look at the scale of the features and at the weight of the "
            "classes in the loss."
        ),
    )


def one_sigmoid(
    probability: Floats,
    label: Floats,
    day: Ints,
    *,
    floor: Floats | None = None,
    suspect: Culprit | None = None,
) -> Verdict:
    """No probability may look like the sigmoid of a probability: all in [0.5, 0.731].

    Args:
        probability: Of the class. Shape (rows, horizons).
        label: 0 or 1, NaN where not known. Shape (rows, horizons).
        day: Day of each row. Shape (rows,).
        floor: Standard deviation that rounding may give them; that of float32 if None.
            Shape (horizons,).
        suspect: The model's last sigmoid, where it is a module.
    """
    findings = [
        finding
        for finding in find_flat(
            probability,
            day,
            target=label,
            probability=True,
            noise_floor=floor,
        )
        if finding.kind == Flat.SECOND_SIGMOID
    ]
    lows, highs = np.nanmin(probability, axis=0), np.nanmax(probability, axis=0)
    worst = findings[0].horizon if findings else int(lows.argmax())
    return Verdict(
        check=SIGMOID,
        stage=Stage.TRAINED,
        status=Status.FAIL if findings else Status.PASS,
        value=float(lows[worst]),
        bound=0.5,
        unit="lowest probability",
        measured=(
            f"probabilities of column {worst} lie between {lows[worst]:.3f} and "
            f"{highs[worst]:.3f}, those of a second sigmoid between 0.5 and 0.731"
        ),
        # Of bell-shaped probabilities none lies below one half with a chance of e**-14; a mean
        # lies 5 standard errors above the base rate in one of 3.5 million.
        false_alarm_rate=min(1.0, ONE_SIGMOID * probability.shape[1]),
        hint=""
        if not findings
        else (name_kinds(findings) + ". Give the loss and `probabilities` the logits."),
        culprit=suspect if findings else None,
    )


def name_flat(mean: float, base: float) -> str:
    """What to call probabilities that are all about *mean*: only the name hangs on it."""
    near = abs(mean - base) <= min(base, 1 - base) / 2
    return str(Flat.CLASS_PRIOR) if near else f"{Flat.CONSTANT}, off the base rate"


def _prior(p: Floats, y: Floats, day: Ints, axis: Axis, chance: float) -> Prior:
    known = np.isfinite(y)
    order = np.argsort(day[known], kind="stable")
    p, y, day = p[known][order], y[known][order], day[known][order]
    spreads = [float(spread(x[:, None], day, axis=axis)[0]) for x in (p, y)]
    # Neither varies: 0 / 0, which is NaN, and fails every comparison.
    with np.errstate(divide="ignore", invalid="ignore"):
        claim = float(np.float64(spreads[0]) / spreads[1])
        size = np.prod(spreads)
        correlation, auc = (_in_time if axis == "time" else _by_day)(p, y, day, size)
    return Prior(float(p.mean()), float(y.mean()), claim, correlation.bound(chance), auc)


def _in_time(p: Floats, y: Floats, _day: Ints, size: np.floating) -> tuple[Estimate, Estimate]:
    """Correlation, and AUC less one half, along time."""
    ones, label = y.sum(), y - y.mean()
    rank = rank_rows(p[None]).centred[0] * len(y) / (ones * (len(y) - ones))
    return shifted_mean((p - p.mean()) / size, label), shifted_mean(rank, label)


def _by_day(p: Floats, y: Floats, day: Ints, size: np.floating) -> tuple[Estimate, Estimate]:
    """The same within the day, averaged over days."""
    days = DayBlocks.of(day)
    product = np.prod(within_day(np.stack([p, y]), days), axis=0)
    # Their mean over days is that over rows.
    of_day = days.total(product) * (days.count / days.rows) / size
    return block_mean(of_day), block_mean(daily_auc(p, y, day) - 0.5)
