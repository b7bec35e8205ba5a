"""An evaluation function judged by itself: no model, no subject."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from flatline.harness.checks.metrics import LAWS, judge_law
from flatline.harness.probes.audit import Evaluate, Floats, try_out
from flatline.harness.verdicts import Verdict, source_of

__all__ = ["audit"]


def audit(
    evaluate: Evaluate,
    *,
    horizons: Sequence[int] | None = None,
    measures: Mapping[str, str] | None = None,
    axis: Literal["stocks", "time"] = "stocks",
    event: Callable[[Floats], NDArray[np.bool_]] | None = None,
    seed: int = 0,
) -> list[Verdict]:
    """Try an evaluation function on scores whose skill is known, and judge what it says.

    Args:
        evaluate: From float64 arrays of scores, of targets (NaN where not known), and
            an int64 array of each row's day, to a mapping from names to numbers; a
            sequence stands for one number per score column, None and NaN for undefined.
            Scores and targets have the shape (rows,), or (rows, horizons) with *horizons*.
        horizons: What the score columns are called, in trading days.
        measures: What the numbers are, from a name or its stem (`rank_ic` of `rank_ic@5`)
            to one of `Measure`, where the words of the name do not tell.
        axis: Whether a day has many stocks (`"stocks"`) or one row (`"time"`).
        event: For scores that are logits of a class, from the targets to whether each is of
            it; None where scores are in units of the target.
        seed: Of everything drawn.

    Returns:
        One verdict per law of `flatline.harness.checks.metrics.LAWS`.

    Raises:
        ShapeError: The evaluation returns no number.
        SettingsError: A measure is declared for a number that is not there.

    Example:
        >>> def pooled(score, target, day):
        ...     return {"ic": np.corrcoef(score, target)[0, 1]}
        >>> found = {verdict.check: verdict for verdict in audit(pooled)}
        >>> print(found["shuffled_scores_null"].culprit.evidence)
        is 0.471 on average for scores shuffled within the day, chance reaches 0.081
    """
    tried = try_out(
        evaluate, horizons=horizons, measures=measures, axis=axis, event=event, seed=seed
    )
    file, line = source_of(evaluate)
    return [judge_law(law, tried, file=file, line=line) for law in LAWS]
