"""Days that are read in no order are not taken for days in time."""

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from flatline.harness import CHECKS, Case, Status, Subject, judge

DRIFT = ("feature_levels_hold", "feature_spreads_hold", "feature_distributions_hold")
DAYS, STOCKS, KEPT = 400, 30, 0.9


def panel(seed):
    """One batch a day, a fifth of whose variance is common to the day and persists."""
    draw = np.random.default_rng(seed)
    common = draw.standard_normal((DAYS + 100, 3))
    for day in range(1, len(common)):
        common[day] = KEPT * common[day - 1] + np.sqrt(1 - KEPT**2) * common[day]
    own = draw.standard_normal((DAYS + 100, STOCKS, 3))
    features = np.sqrt(0.2) * common[:, None] + np.sqrt(0.8) * own
    return torch.from_numpy(features).float()


def subject(seed, *, shuffle, **parts):
    """A line, on days in order or shuffled."""
    features = panel(seed)
    pairs = [(x, x[:, :1]) for x in features]

    def batches(split):
        if split == "train" and shuffle:
            return DataLoader(pairs[:DAYS], batch_size=None, shuffle=True)
        return pairs[:DAYS] if split == "train" else pairs[DAYS:]

    given = {"days": "batch"} | parts
    return Subject(
        name="line",
        model=lambda: torch.nn.Linear(3, 1),
        batches=batches,
        loss=torch.nn.functional.mse_loss,
        scores=lambda y: y,
        **given,
    )


def verdicts(judged):
    """Of the checks that compare blocks of days."""
    return {one.id: judge(one, Case(judged)) for one in CHECKS if one.id in DRIFT}


@pytest.mark.parametrize("seed", range(3))
def test_shuffled_days_are_not_held_against_later_ones(seed):
    """In order a stationary panel passes; shuffled, nothing is said, and what to give is."""
    ordered = verdicts(subject(seed, shuffle=False))
    assert {v.status for v in ordered.values()} == {Status.PASS}
    shuffled = verdicts(subject(seed, shuffle=True))
    assert {v.status for v in shuffled.values()} == {Status.SKIP}
    assert all("batches are shuffled and say no days" in v.measured for v in shuffled.values())
