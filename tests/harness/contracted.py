"""A small ranker that keeps its word, its batches, and ways to make it break it."""

import torch
from torch import nn

from flatline.harness import Subject
from flatline.harness.case import Case
from flatline.harness.registry import Layer
from flatline.harness.suite import judge
from flatline.harness.suites import CHECKS

DAYS, STOCKS, FEATURES, HORIZONS, HIDDEN = 4, 12, 5, 2, 8
BY_ID = {check.id: check for check in CHECKS if check.layer == Layer.CONTRACT}
UNTRAINED = [check for check in BY_ID.values() if not check.shares]


def batches(split):
    """Two batches of some whole days each."""
    draw = torch.Generator().manual_seed(len(split))
    rows = DAYS * STOCKS
    return [
        (
            {
                "features": torch.randn(rows, FEATURES, generator=draw),
                "group_day": torch.arange(rows) // STOCKS + DAYS * k,
            },
            torch.randn(rows, HORIZONS, generator=draw),
        )
        for k in range(2)
    ]


class Ranker(nn.Module):
    """Normalises, encodes, drops some, scores."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(FEATURES)
        self.encoder = nn.Linear(FEATURES, HIDDEN)
        self.drop = nn.Dropout(0.3)
        self.head = nn.Linear(HIDDEN, HORIZONS)

    def encode(self, features):
        """What is known of each row."""
        return self.drop(torch.tanh(self.encoder(self.norm(features))))

    def forward(self, batch):
        """Scores of every row."""
        return {"point": self.head(self.encode(batch["features"]))}


def subject(model=Ranker, **parts):
    """A subject that keeps its word, but for what is given."""
    healthy = {
        "name": "ranker",
        "batches": batches,
        "loss": lambda outputs, targets: (outputs["point"] - targets).square().mean(),
        "scores": lambda outputs: outputs["point"],
    }
    return Subject(model=model, **healthy | parts)


def verdict(check, one):
    """What one check says of one subject."""
    return judge(BY_ID[check], Case(one, steps=2))
