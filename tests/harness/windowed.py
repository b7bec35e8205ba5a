"""Stocks with windows, attributes and neighbours; a model that hears all of it, and deaf ones."""

import torch
from torch import nn

from flatline.harness import Subject

DAYS, STOCKS, LOOKBACK, FEATURES, STATIC, HORIZONS = 10, 40, 8, 4, 3, 2
WIDTH = 32


def world(seed):
    """Days whose labels have nothing to do with the inputs, some of them not known."""
    draw = torch.Generator().manual_seed(seed)
    ring = torch.arange(STOCKS)
    edges = torch.stack([torch.cat([(ring + k) % STOCKS for k in (1, 2, 3)]), ring.repeat(3)])
    batches = []
    for day in range(DAYS):
        steps = torch.randn(STOCKS, LOOKBACK, FEATURES, generator=draw)
        level = torch.randn(STOCKS, 1, FEATURES, generator=draw)
        inputs = {
            "features": steps + level,
            "static": torch.randn(STOCKS, STATIC, generator=draw),
            "edge_index": edges,
            "group_day": torch.full((STOCKS,), day),
            "stock_id": torch.arange(STOCKS),
        }
        label = 0.02 * torch.randn(STOCKS, HORIZONS, generator=draw)
        label[torch.rand(STOCKS, HORIZONS, generator=draw) < 0.1] = torch.nan
        batches.append((inputs, label))
    return batches


SPLITS = {"train": world(1), "valid": world(2)}


class Hearing(nn.Module):
    """A hidden layer over the whole window, the attributes, and the neighbours' windows."""

    def __init__(self):
        super().__init__()
        self.window = nn.Linear(LOOKBACK * FEATURES, WIDTH)
        self.static = nn.Linear(STATIC, WIDTH)
        self.graph = nn.Linear(LOOKBACK * FEATURES, WIDTH)
        self.head = nn.Linear(WIDTH, HORIZONS)

    def seen(self, features):
        """What the model sees of the windows."""
        return features

    def around(self, flat, inputs):
        """Mean of the neighbours' windows."""
        source, target = inputs["edge_index"]
        total = torch.zeros_like(flat).index_add(0, target, flat[source])
        count = torch.bincount(target, minlength=len(flat)).clamp(min=1)
        return total / count[:, None]

    def attributes(self, inputs):
        """What the model sees of the attributes."""
        return inputs["static"]

    def forward(self, inputs):
        """Scores of every row."""
        flat = self.seen(inputs["features"]).flatten(1)
        hidden = self.window(flat) + self.static(self.attributes(inputs))
        hidden = hidden + self.graph(self.around(flat, inputs))
        return self.head(nn.functional.leaky_relu(hidden, 0.3))


class StaleStep(Hearing):
    """Never sees the newest step."""

    def seen(self, features):
        """All steps, the newest replaced by the one before."""
        return torch.cat([features[:, :-1], features[:, -2:-1]], 1)


class NewestOnly(Hearing):
    """Sees the newest step only."""

    def seen(self, features):
        """The newest step at every place."""
        return features[:, -1:].expand_as(features)


class Levelled(Hearing):
    """Takes each window's mean out of it."""

    def seen(self, features):
        """Windows without their level."""
        return features - features.mean(1, keepdim=True)


class NoAttributes(Hearing):
    """Reads the attributes and does not use them."""

    def attributes(self, inputs):
        """Nothing."""
        return 0.0 * inputs["static"]


class SelfLoops(Hearing):
    """Hears itself instead of its neighbours."""

    def around(self, flat, inputs):
        """The rows themselves."""
        return flat


class Diluted(Hearing):
    """Its graph branch is scaled away."""

    def around(self, flat, inputs):
        """The neighbours, a millionth of them."""
        return 1e-6 * super().around(flat, inputs)


class Rectified(Hearing):
    """Its scores cannot be below 0."""

    def forward(self, inputs):
        """Scores of every row."""
        return nn.functional.softplus(super().forward(inputs))


class Drowned(Hearing):
    """Drops nine tenths of its hidden units."""

    def __init__(self):
        super().__init__()
        self.head = nn.Sequential(nn.Dropout(0.99), self.head)


def mse(outputs, targets):
    """Mean squared error over the known labels, in spreads."""
    known = torch.isfinite(targets)
    return (outputs - 50 * torch.nan_to_num(targets)).square()[known].mean()


def subject(model=Hearing, **parts):
    """A healthy subject, or one with other parts."""
    healthy = {
        "name": "windowed",
        "model": model,
        "batches": SPLITS,
        "loss": mse,
        "scores": lambda outputs: outputs,
        "optimizer": lambda model: torch.optim.AdamW(model.parameters(), lr=1e-2),
    }
    return Subject(**healthy | parts)
