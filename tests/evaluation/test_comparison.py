"""Forecasts side by side: who is ahead, and what is left beyond volatility, size and sector."""

import numpy as np
import polars as pl
import pytest

from flatline.errors import DataError
from flatline.evaluation.comparison import EXPOSURES, compare, comparison_table
from flatline.evaluation.learners import score_panel


@pytest.fixture(scope="module")
def frames(experiment):
    """Scores near the target, far from it, and of volatility only."""
    panel, test = experiment.panel, experiment.fold.test
    rng = np.random.default_rng(0)
    target = np.nan_to_num(panel.target[test])
    spread = target.std()
    risk = panel.features[test][..., panel.feature_names.index(EXPOSURES[0])]
    scores = {
        "near": target + spread * rng.normal(size=target.shape),
        "far": target + 20 * spread * rng.normal(size=target.shape),
        "risk": -np.repeat(risk[..., None], len(panel.horizons), 2),
    }
    return {name: score_panel(panel, test, score) for name, score in scores.items()}


def by_name(compared, horizon):
    """The entries of a horizon."""
    return {one.name: one for one in compared if one.horizon == horizon}


def test_the_difference_is_that_of_the_first(experiment, frames):
    """Above 0 where the first is better, below where it is worse; the first has none."""
    panel = experiment.panel
    for horizon in panel.horizons:
        one = by_name(compare({k: frames[k] for k in ("near", "far")}, panel), horizon)
        other = by_name(compare({k: frames[k] for k in ("far", "near")}, panel), horizon)
        assert one["near"].ahead is None
        assert one["far"].ahead.low > 0
        assert one["far"].ahead.mean == pytest.approx(
            one["near"].rank_ic.mean - one["far"].rank_ic.mean
        )
        assert other["near"].ahead.mean == pytest.approx(-one["far"].ahead.mean)


def test_nothing_is_left_of_volatility_alone(experiment, frames):
    """A score made of an exposure has a RankIC, and none beyond the exposures."""
    for one in compare({"risk": frames["risk"]}, experiment.panel):
        assert one.rank_ic.mean is not None
        assert one.beyond.mean is None


def test_skill_of_its_own_is_left(experiment, frames):
    """Scores near the target keep most of their RankIC beyond the exposures."""
    for one in compare({"near": frames["near"]}, experiment.panel):
        assert one.beyond.low > 0.5 * one.rank_ic.mean


def test_only_rows_that_all_scored_count(experiment, frames):
    """A forecast of fewer days is compared on those days; of other days not at all."""
    panel = experiment.panel
    dates = frames["near"]["date"].unique().sort()
    half = frames["near"].filter(pl.col("date") >= dates[len(dates) // 2])
    alone = compare({"near": half}, panel)
    beside = compare({"far": frames["far"], "near": half}, panel)
    for horizon in panel.horizons:
        assert by_name(beside, horizon)["near"].rank_ic == by_name(alone, horizon)["near"].rank_ic
    early = frames["far"].filter(pl.col("date") < dates[3])
    with pytest.raises(DataError, match=r"^rows scored by all forecasts are 0"):
        compare({"near": half, "far": early}, panel)


def test_the_table_has_a_row_for_each(experiment, frames):
    """As many rows as horizons times forecasts."""
    table = comparison_table(compare(frames, experiment.panel))
    assert table.row_count == 3 * len(experiment.panel.horizons)
