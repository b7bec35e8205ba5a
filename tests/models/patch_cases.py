"""Small models on patches, and batches for them."""

import torch

from flatline.models import Apex, ApexSettings, PatchTST, PatchTSTSettings

SIZES = {
    "features": 6,
    "static": 0,
    "edge_attributes": 0,
    "lookback": 20,
    "horizons": (1, 5),
    "levels": (0.25, 0.5, 0.75),
}


def patchtst(seed=0, sizes=None, **settings):
    """A PatchTST with hidden 16, the same start every time."""
    torch.manual_seed(seed)
    small = {"hidden": 16, "depth": 2, "attention_heads": 2, "feed_forward": 32}
    return PatchTST(PatchTSTSettings(**(small | settings)), **(SIZES | (sizes or {})))


def apex(seed=0, sizes=None, **settings):
    """An Apex, the same start every time."""
    torch.manual_seed(seed)
    return Apex(ApexSettings(**settings), **(SIZES | (sizes or {})))


def draw(seed=0, days=2, stocks=12, lookback=20, features=6):
    """A batch of whole days."""
    generator = torch.Generator().manual_seed(seed)
    return {
        "features": torch.randn(days * stocks, lookback, features, generator=generator),
        "group_day": torch.arange(days).repeat_interleave(stocks),
        "stock_id": torch.arange(stocks).repeat(days),
    }
