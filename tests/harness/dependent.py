"""A small model of windows, attributes and a graph, its batches, and ways to break it."""

from dataclasses import replace

import torch
from torch import nn

from flatline.harness import Subject
from flatline.harness.case import Case
from flatline.harness.suite import judge
from flatline.harness.suites.dependence import CHECKS

DAYS, STOCKS, LOOKBACK, FEATURES, STATIC, HORIZONS, HIDDEN = 4, 12, 6, 3, 2, 2, 8
COLUMNS = {"features": ("open", "close", "volume"), "static": ("size", "age")}


def ring(days=DAYS, stocks=STOCKS):
    """Two rings of stocks a day: the rows that each edge joins, (2, edges)."""
    half = stocks // 2
    first = torch.cat([torch.arange(half), torch.arange(half, stocks)])
    second = torch.cat([torch.arange(half).roll(-1), torch.arange(half, stocks).roll(-1)])
    one = torch.stack([torch.cat([first, second]), torch.cat([second, first])])
    return torch.cat([one + day * stocks for day in range(days)], 1)


def batch(seed, *, edges=True, days=DAYS):
    """Some whole days: inputs and targets."""
    draw = torch.Generator().manual_seed(seed)
    rows = days * STOCKS
    features = torch.randn(rows, LOOKBACK, FEATURES, generator=draw)
    inputs = {
        "features": features,
        "static": torch.randn(rows, STATIC, generator=draw),
        "group_day": torch.arange(rows) // STOCKS + 10 * seed,
        "stock_id": torch.arange(rows) % STOCKS,
    }
    if edges:
        inputs["edge_index"] = ring(days)
        inputs["edge_attr"] = torch.rand(inputs["edge_index"].shape[1], 1, generator=draw)
    noise = torch.randn(rows, HORIZONS, generator=draw)
    return inputs, features[:, -1, :1] + 0.5 * noise


SPLITS = {
    "train": [batch(seed) for seed in range(1, 7)],
    "valid": [batch(seed) for seed in range(7, 9)],
}


class Reader(nn.Module):
    """An LSTM over the window, the attributes, and the mean over weighted neighbours."""

    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(FEATURES, HIDDEN, batch_first=True)
        self.static = nn.Linear(STATIC, HIDDEN)
        self.stock = nn.Embedding(STOCKS, HIDDEN)
        self.neighbours = nn.Linear(HIDDEN, HIDDEN)
        self.head = nn.Linear(HIDDEN, HORIZONS)

    def window(self, inputs):
        """State of the window of every row."""
        return self.lstm(inputs["features"])[0][:, -1]

    def own(self, inputs):
        """State of every row by itself."""
        return self.window(inputs) + self.static(inputs["static"]) + self.stock(inputs["stock_id"])

    def heard(self, state, inputs):
        """What the neighbours of every row say."""
        first, second = inputs["edge_index"]
        said = self.neighbours(state)[first] * inputs["edge_attr"]
        return torch.zeros_like(state).index_add(0, second, said)

    def forward(self, inputs):
        """Scores of every row."""
        state = self.own(inputs)
        return self.head(torch.tanh(state + self.heard(state, inputs)))


def subject(model=Reader, **parts):
    """A healthy subject, or one with other parts."""
    healthy = {
        "name": "reader",
        "model": model,
        "batches": SPLITS,
        "loss": nn.functional.mse_loss,
        "scores": lambda outputs: outputs,
        "columns": COLUMNS,
    }
    return Subject(**healthy | parts)


def verdicts(one, *, steps=20, only=None):
    """What the dependence layer says, by check."""
    case = Case(one, steps=steps)
    return {c.id: judge(c, case) for c in CHECKS if only is None or c.id in only}


def failing(found):
    """The checks that did not pass, and were not skipped."""
    return {name for name, verdict in found.items() if verdict.status in ("fail", "error")}


def changed(change):
    """The batches with other inputs or targets."""
    return {split: [change(*one) for one in batches] for split, batches in SPLITS.items()}


__all__ = ["Reader", "changed", "failing", "replace", "subject", "verdicts"]
