"""The model learns: its loss falls, and it finds what is there to be found."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from flatline.harness.statistics import reach
from flatline.harness.verdicts import Stage, Status, Verdict

__all__ = ["loss_falls", "skill_beats_untrained"]

SKILL = "skill_against_oracle"


def loss_falls(
    before: NDArray[np.float64], after: NDArray[np.float64], *, chance: float = 1e-3
) -> Verdict:
    """The loss of the same batches must be lower after training than at start.

    A paired one-sided t test over batches: the bound is the quantile that a
    training without effect exceeds with probability *chance*.

    Args:
        before: Eval-mode loss at start. Shape (batches,), two at least.
        after: Loss of the same batches after training. Shape (batches,).
        chance: Probability that an ineffective training passes.
    """
    fall = before - after
    error = float(fall.std(ddof=1)) / np.sqrt(len(fall))
    mean = float(fall.mean())
    # No spread between batches: any fall is beyond doubt, none is no fall. A NaN stays one,
    # and fails the comparison below.
    score = mean / error if error > 0 else mean * np.inf if mean else 0.0
    bound = float(stats.t.ppf(1 - chance, len(fall) - 1))
    falls = bool(score > bound)
    return Verdict(
        check="loss_falls",
        stage=Stage.TRAINED,
        status=Status.PASS if falls else Status.FAIL,
        value=score,
        bound=bound,
        unit="fall of the loss / its standard error",
        measured=(
            f"loss of {len(fall)} batches went from {before.mean():.4g} to {after.mean():.4g}, "
            f"{score:.1f} standard errors down, expected more than {bound:.1f}"
        ),
        # How often the same training, were its true fall the one measured, would miss the bound.
        false_alarm_rate=float(stats.nct.cdf(bound, len(fall) - 1, score)) if falls else None,
        hint="" if falls else "Look at the learning rate, the schedule and the loss's gradient.",
    )


def skill_beats_untrained(
    trained: NDArray[np.float64],
    untrained: NDArray[np.float64],
    *,
    measure: str = "rank correlation",
    chance: float = 1e-3,
    names: Sequence[int] | None = None,
) -> Verdict:
    """Skill, pooled over the horizons, must be beyond what untrained models have by luck.

    Skill is the mean over days of the rank correlation between the scores and what the
    oracle expects. Even a random network has some, of either
    sign, since features persist: so the null distribution is that of fresh
    models of the same kind, normal after Fisher's transform, and the bound is
    its prediction quantile (a new draw from a normal sample of unknown spread
    follows Student's t). One horizon alone may be too noisy to tell in a short training;
    whether each can be learned, planted targets tell.

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
    null = np.arctanh(np.nan_to_num(untrained)).mean(1)
    bound = float(np.tanh(null.mean() + reach(len(null), chance) * null.std(ddof=1)))
    value = float(np.tanh(np.arctanh(trained).mean()))
    beats = value > bound
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
