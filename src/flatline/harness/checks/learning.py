"""The model learns: its loss falls, and it finds what is there to be found."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from flatline.harness.statistics import DEAD_PASSES, reach
from flatline.harness.verdicts import Stage, Status, Verdict, not_judged

__all__ = ["loss_falls", "skill_beats_untrained"]

FALL, SKILL = "loss_falls", "skill_against_oracle"
# With fewer batches the t quantile leaves sound trainings behind: 5.2 standard errors of 7
# batches, 22 of 3, 318 of 2.
FEWEST = 8
# A loss is computed in float32: a smaller fall, over its size, is none.
ROUNDING = 2.0**-23
# Skill that a sound model may be asked for; and the largest whose transform is still a number.
REACHABLE, LARGEST = 0.9, 1 - 1e-6


def loss_falls(
    before: NDArray[np.float64], after: NDArray[np.float64], *, chance: float = DEAD_PASSES
) -> Verdict:
    """The loss of the same batches must be lower after training than at start.

    A paired one-sided t test over batches: the bound is the quantile that a
    training without effect exceeds with probability *chance*. Of few batches only a
    fall beyond it passes and only a loss that did not fall fails; whatever lies
    between is not judged.

    Args:
        before: Eval-mode loss at start. Shape (batches,), one at least.
        after: Loss of the same batches after training. Shape (batches,).
        chance: Probability that an ineffective training passes.
    """
    fall, count = before - after, len(before)
    mean = float(fall.mean())
    if abs(mean) <= ROUNDING * np.abs(before).mean():
        mean = 0.0
    error = float(fall.std(ddof=1)) / np.sqrt(count) if count > 1 else 0.0
    # No spread between batches: any fall is beyond doubt, none is no fall. A NaN stays one,
    # and fails the comparison below.
    score = mean / error if error > 0 else mean * np.inf if mean else 0.0
    bound = float(stats.t.ppf(1 - chance, count - 1)) if count > 1 else np.inf
    falls = bool(score > bound)
    course = f"loss of {count} batches went from {before.mean():.4g} to {after.mean():.4g}"
    if not falls and count < FEWEST and mean > 0:
        reason = f"{course}, and so few tell no training from chance, {FEWEST} at least"
        return not_judged(FALL, Stage.TRAINED, reason)
    return Verdict(
        check=FALL,
        stage=Stage.TRAINED,
        status=Status.PASS if falls else Status.FAIL,
        value=score,
        bound=bound,
        unit="fall of the loss / its standard error",
        measured=f"{course}, {score:.1f} standard errors down, expected more than {bound:.1f}",
        hint="" if falls else "Look at the learning rate, the schedule and the loss's gradient.",
    )


def skill_beats_untrained(
    trained: NDArray[np.float64],
    untrained: NDArray[np.float64],
    *,
    measure: str = "rank correlation",
    chance: float = DEAD_PASSES,
    names: Sequence[int] | None = None,
) -> Verdict:
    """Skill, pooled over the horizons, must be beyond what untrained models have by luck.

    Skill is the mean over days of the rank correlation between the scores and what the
    oracle expects. Even a random network has some, of either
    sign, since features persist: so the null distribution is that of fresh
    models of the same kind, normal after Fisher's transform, and the bound is
    its prediction quantile (a new draw from a normal sample of unknown spread
    follows Student's t). One horizon alone may be too noisy to tell in a short training;
    whether each can be learned, planted targets tell. A model so small that its fresh copies
    agree with the oracle by luck, either way, leaves no room above them: it is not judged.

    Args:
        trained: Skill of the trained model, NaN where undefined. Shape (horizons,).
        untrained: Skill of fresh models, NaN where undefined. Shape (models, horizons).
        measure: What skill is measured by, at most 1.
        chance: Probability that one more untrained model would pass.
        names: What to call the horizons; 0, 1, ... if None.

    References:
        Fisher, On the probable error of a coefficient of correlation, 1921.
    """
    # A fresh model without a rank has no skill; a trained one without has failed.
    null = _fisher(np.nan_to_num(untrained)).mean(1)
    bound = float(np.tanh(null.mean() + reach(len(null), chance) * null.std(ddof=1)))
    value = float(np.tanh(_fisher(trained).mean()))
    beats = value > bound
    if bound > REACHABLE and not beats and np.isfinite(value):
        return not_judged(
            SKILL,
            Stage.TRAINED,
            f"1 in {1 / chance:.0f} of untrained models has a {measure} with the oracle of "
            f"{bound:.3f} or more, {REACHABLE:g} at most; the trained one has {value:.3f}",
        )
    called = range(len(trained)) if names is None else names
    listed = ", ".join(f"{name}: {s:.2f}" for name, s in zip(called, trained, strict=True))
    return Verdict(
        check=SKILL,
        stage=Stage.TRAINED,
        status=Status.PASS if beats else Status.FAIL,
        value=value,
        bound=bound,
        unit=f"{measure} with the oracle, pooled over the horizons",
        measured=(
            f"{measure} with the oracle is {value:.3f} over all horizons ({listed}), expected more "
            f"than {bound:.3f} (1 in {1 / chance:.0f} of untrained models)"
        ),
        hint="" if beats else "The features hold the signal; look at what stands between.",
    )


def _fisher(skill: NDArray[np.float64]) -> NDArray[np.float64]:
    """Fisher's transform, finite at perfect agreement."""
    return np.asarray(np.arctanh(np.clip(skill, -LARGEST, LARGEST)))
