"""ATFT-GAT-FAN finds what is planted along each way it can see."""

import pytest
import torch
from scipy.stats import spearmanr

from models.cases import build, draw, full_loss


def newest(batch):
    """The newest step of a feature."""
    return batch["features"][:, -1, 0]


def five_days_ago(batch):
    """A feature five steps before the newest."""
    return batch["features"][:, -6, 1]


def level(batch):
    """The mean of a window: what adaptive normalisation takes out."""
    return batch["features"][:, :, 3].mean(1) * 20**0.5


def neighbours(batch):
    """The mean of the neighbours' newest feature."""
    near = batch["edge_index"][0].reshape(-1, 4)
    return batch["features"][near, -1, 0].mean(1) * 2


def static_times_feature(batch):
    """A feature that counts upwards, downwards or not at all, as the static one says."""
    sign = batch["static_features"] @ torch.tensor([-1.5, 0.0, 1.5])
    return batch["features"][:, -1, 2] * sign


def rank_correlation(planted, steps=100, **settings):
    """On a fresh batch, after training on random ones."""
    model = build(sizes={"horizons": (1,)}, hidden=32, **settings)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for step in range(steps):
        batch = draw(seed=step, days=4, stocks=48)
        optimizer.zero_grad()
        full_loss(model(batch), planted(batch)[:, None]).backward()
        optimizer.step()
    batch = draw(seed=10**6, days=8, stocks=48)
    with torch.no_grad():
        return spearmanr(model.eval()(batch).point[:, 0], planted(batch)).statistic


@pytest.mark.parametrize(
    "planted", [newest, five_days_ago, level, neighbours, static_times_feature]
)
def test_finds_a_planted_signal(planted):
    """Rank correlation with the truth, on data it has not seen, is far above noise."""
    assert rank_correlation(planted) > 0.5


def test_without_the_graph_the_neighbours_stay_unknown():
    """What bypass_gat takes away is what the neighbours know: noise of 384 rows is 0.05."""
    assert abs(rank_correlation(neighbours, bypass_gat=True)) < 0.25
