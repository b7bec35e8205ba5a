"""A small world for the training tests: days of stocks, a model and a loss."""

from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from flatline.batch import Forecast, Labels

HORIZONS = (1, 5)
LEVELS = (0.25, 0.5, 0.75)


def make_batches(days=6, stocks=12, *, first_day=0, seed=0, noise=0.5):
    """One batch per day; the last step of feature 0 says what will happen."""
    generator = torch.Generator().manual_seed(seed)
    batches = []
    for day in range(first_day, first_day + days):
        features = torch.randn(stocks, 4, 3, generator=generator)
        error = torch.randn(stocks, len(HORIZONS), generator=generator)
        value = features[:, -1, :1] + noise * error
        known = torch.rand(stocks, len(HORIZONS), generator=generator) > 0.1
        inputs = {
            "features": features,
            "group_day": torch.full((stocks,), day),
            "stock_id": torch.arange(stocks),
        }
        batches.append((inputs, Labels(torch.where(known, value, torch.nan), known)))
    return batches


class Shuffled:
    """Shuffles its batches by epoch, and masks features with the global generators of all kinds."""

    def __init__(self, batches, seed=0):
        self.batches, self.seed, self.epoch = batches, seed, 0

    def __len__(self):
        return len(self.batches)

    def set_epoch(self, epoch):
        """Choose the order of the next pass."""
        self.epoch = epoch

    def __iter__(self):
        order = np.random.default_rng([self.seed, self.epoch]).permutation(len(self.batches))
        for position in order:
            inputs, labels = self.batches[position]
            # Both global generators, as augmentations in user code draw from them.
            width = 0.1 * float(np.random.rand())  # noqa: NPY002
            jitter = width * torch.randn_like(inputs["features"])
            yield {**inputs, "features": inputs["features"] + jitter}, labels


class Head(nn.Module):
    """A point and ascending quantiles per horizon."""

    def __init__(self, width):
        super().__init__()
        self.linear = nn.Linear(width, len(HORIZONS) * (1 + len(LEVELS)))

    def forward(self, x):
        """Rows to a forecast."""
        out = self.linear(x).reshape(len(x), len(HORIZONS), -1)
        return Forecast(out[..., 0], out[..., 0:1] + out[..., 1:].exp().cumsum(-1) - 1.5)


class Toy(nn.Module):
    """Encoder, graph, fusion and head under the names that the stack uses."""

    def __init__(self, width=8, dropout=0.1):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(12, width), nn.LayerNorm(width), nn.Dropout(dropout))
        self.gat = nn.Linear(width, width)
        self.fusion = nn.Linear(2 * width, width)
        self.gate = nn.Parameter(torch.zeros(()))
        self.head = Head(width)

    def forward(self, batch):
        """A batch to a forecast."""
        x = self.encoder(batch["features"].flatten(1))
        fused = self.fusion(torch.cat([x, torch.sigmoid(self.gate) * self.gat(x)], -1))
        return self.head(torch.tanh(fused))


class Report(NamedTuple):
    """The parts of a loss report that training reads."""

    total: torch.Tensor
    terms: dict
    gradient_share: dict


class ToyLoss(nn.Module):
    """Mean squared error times a running moment, so that a forgotten buffer shows in the losses."""

    horizons, levels = HORIZONS, LEVELS

    def __init__(self):
        super().__init__()
        self.register_buffer("running", torch.ones(()))

    def forward(self, forecast, labels, days, *, stock_id=None):
        """The report of one batch."""
        days.check_rows(score=forecast.point, stock_id=stock_id)
        error = torch.where(labels.known, forecast.point - labels.value, 0.0).square().mean(0)
        if self.training:
            self.running.mul_(0.9).add_(0.1 * error.detach().mean())
        return Report(error.mean() * self.running, {"mse": error}, {"mse": 1.0})
