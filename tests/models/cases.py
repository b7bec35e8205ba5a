"""A small model and batches for it."""

import torch
from torch.nn import functional

from flatline.models import AtftGatFan, AtftGatFanSettings

LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
SIZES = {
    "features": 4,
    "static": 3,
    "edge_attributes": 3,
    "lookback": 20,
    "horizons": (1, 5),
    "levels": LEVELS,
}


def build(seed=0, sizes=None, **settings):
    """A model with hidden 16, the same start every time."""
    torch.manual_seed(seed)
    chosen = AtftGatFanSettings(**({"hidden": 16} | settings))
    return AtftGatFan(chosen, **(SIZES | (sizes or {})))


def draw(seed=0, days=2, stocks=12, lookback=20, features=4):
    """A batch of whole days; every stock has four neighbours of its day."""
    generator = torch.Generator().manual_seed(seed)
    rows = days * stocks
    day = torch.arange(days).repeat_interleave(stocks)
    near = torch.randint(stocks, (rows, 4), generator=generator) + stocks * day[:, None]
    group = torch.randint(3, (rows,), generator=generator)
    return {
        "features": torch.randn(rows, lookback, features, generator=generator),
        "group_day": day,
        "stock_id": torch.arange(stocks).repeat(days),
        "static_features": functional.one_hot(group, 3).float(),
        "edge_index": torch.stack([near.flatten(), torch.arange(rows).repeat_interleave(4)]),
        "edge_attr": torch.rand(4 * rows, 3, generator=generator),
    }


def point_loss(forecast, target):
    """Squared error of the points."""
    return (forecast.point - target).square().mean()


def full_loss(forecast, target):
    """Squared error of the points and pinball loss of the quantiles."""
    level = torch.tensor(LEVELS[: forecast.quantiles.shape[-1]])
    error = target.unsqueeze(-1) - forecast.quantiles
    return point_loss(forecast, target) + torch.maximum(level * error, (level - 1) * error).mean()
