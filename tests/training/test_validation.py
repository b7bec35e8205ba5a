"""What a validation makes of a cross-section, and of a single series."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from flatline.batch import Forecast, Labels
from flatline.training.validation import ValidationScores


def validated(score, target, day, losses=(0.7, 0.5)):
    """The validation of a model's scores, taken in as two batches."""
    gathered = ValidationScores()
    half = len(score) // 2
    for part, loss in zip((slice(None, half), slice(half, None)), losses, strict=True):
        known = torch.from_numpy(~np.isnan(target[part]))
        labels = Labels(torch.from_numpy(np.nan_to_num(target[part])), known)
        batch = {"group_day": torch.from_numpy(day[part])}
        gathered.add(Forecast(torch.from_numpy(score[part])), labels, batch, loss=loss)
    return gathered.finish()


def numbers(rows, seed=0):
    """Scores that know something of the targets, two horizons."""
    rng = np.random.default_rng(seed)
    target = rng.standard_normal((rows, 2))
    return 0.5 * target + rng.standard_normal((rows, 2)), target


def test_a_single_series_is_ranked_along_time_and_compared_on_its_loss():
    """One row a day: RankIC over all days as one, spread over time, minus the loss as score."""
    score, target = numbers(60)
    found = validated(score, target, np.arange(60))
    expected = [spearmanr(score[:, j], target[:, j]).statistic for j in range(2)]
    assert found.single
    assert found.days == 60
    assert found.rank_ic == pytest.approx(expected)
    assert found.spread == pytest.approx(score.std(0).tolist())
    assert found.score(min_defined_share=0.5) == pytest.approx(-0.6)


def test_a_cross_section_is_compared_on_its_rank_ic():
    """Ten days of six stocks, whatever the loss."""
    score, target = numbers(60)
    found = validated(score, target, np.repeat(np.arange(10), 6))
    assert not found.single
    assert found.score(min_defined_share=0.5) == pytest.approx(np.mean(found.rank_ic))


@pytest.mark.parametrize("score", [np.zeros((60, 2)), np.full((60, 2), math.nan)])
def test_a_series_without_life_is_never_the_best(score):
    """Constant or missing scores are degenerate however low their loss."""
    _, target = numbers(60)
    assert validated(score, target, np.arange(60)).score(min_defined_share=0.5) is None
