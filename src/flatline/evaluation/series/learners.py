"""Reference learners of a single series' class: logistic regression and random forest.

They see the newest day's features, in the normalisation of the model they stand beside;
scikit-learn is the extra `learners`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flatline.data.panel import Panel
from flatline.errors import DataError, SettingsError

__all__ = ["CLASS_LEARNERS", "SEEDED", "class_labels", "learn_class", "make_learner"]


def _logistic_regression(seed: int) -> Any:  # noqa: ANN401 (scikit-learn has no types)
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415 (an extra)

    # Columns may differ by orders of magnitude: Newton's steps do not mind, a penalty would.
    return LogisticRegression(C=1e6, solver="newton-cholesky", max_iter=200, random_state=seed)


def _random_forest(seed: int) -> Any:  # noqa: ANN401
    from sklearn.ensemble import RandomForestClassifier  # noqa: PLC0415

    return RandomForestClassifier(200, min_samples_leaf=20, random_state=seed)


CLASS_LEARNERS: Mapping[str, Callable[[int], Any]] = {
    "logistic regression": _logistic_regression,
    "random forest": _random_forest,
}
# Those that another seed makes another model of.
SEEDED = frozenset({"random forest"})


def make_learner(name: str, seed: int) -> Any:  # noqa: ANN401
    """A fresh learner of that name.

    Raises:
        SettingsError: It is not known, or scikit-learn is missing.
    """
    if name not in CLASS_LEARNERS:
        raise SettingsError(f"learner is {name!r}, expected one of {sorted(CLASS_LEARNERS)}.")
    try:
        return CLASS_LEARNERS[name](seed)
    except ImportError as error:
        raise SettingsError(
            "scikit-learn is not installed, expected it for the reference learners. "
            "Install flatline[learners]."
        ) from error


def class_labels(panel: Panel, days: NDArray[np.int64], threshold: float) -> NDArray[np.float32]:
    """Whether the target of a single series lies above the threshold, as `bce` counts it.

    Returns:
        0 or 1, NaN where the target is unknown. Shape (days, horizons).
    """
    target = panel.target[days, 0]
    return np.where(np.isnan(target), np.nan, target > np.float32(threshold)).astype(np.float32)


def learn_class(
    name: str,
    panel: Panel,
    train: NDArray[np.int64],
    days: NDArray[np.int64],
    *,
    threshold: float,
    seed: int = 0,
) -> NDArray[np.float64]:
    """Fit a learner on the train days, one model per horizon, and score other days.

    Args:
        name: One of `CLASS_LEARNERS`.
        panel: Normalised features of one series; unknown ones count as 0.
        train: Positions of the train days.
        days: Positions of the days to score.
        threshold: The class is a target above it, as a fraction.
        seed: Of the learner.

    Returns:
        Probability of the class. Shape (days, horizons).

    Raises:
        SettingsError: The learner is not known, or scikit-learn is missing.
        DataError: The train days have one class only.
    """
    features = np.nan_to_num(panel.features[:, 0].astype(np.float64))
    labels = class_labels(panel, train, threshold)
    columns = []
    for horizon, label in zip(panel.horizons, labels.T, strict=True):
        known = ~np.isnan(label)
        if len(np.unique(label[known])) < 2:
            raise DataError(
                f"horizon {horizon} has {int(known.sum())} train days of one class only, expected "
                "both. Move loss.bce_threshold, or give more days."
            )
        learner = make_learner(name, seed)
        learner.fit(features[train[known]], label[known])
        columns.append(learner.predict_proba(features[days])[:, 1])
    return np.stack(columns, axis=1)
