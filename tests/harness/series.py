"""A single series whose class can be foretold, and models of it: healthy, and faulty ones."""

import math

import numpy as np
import torch
from torch import nn

from flatline.harness import Subject

STEPS, KEYS, HORIZONS = 120, 6, 2
DAYS = {"train": 1200, "valid": 300, "test": 300}
RARE = -1.0  # The usual logit of the class: a base rate of 0.3.


def world(seed=0):
    """Batches of 100 days: six past values, their level, and whether the class came."""
    draw = np.random.default_rng(seed)
    days = sum(DAYS.values()) + KEYS
    shock = draw.standard_normal(days)
    state = np.empty(days)
    state[0] = shock[0]
    for t in range(1, days):
        state[t] = 0.9 * state[t - 1] + math.sqrt(1 - 0.9**2) * shock[t]
    windows = np.lib.stride_tricks.sliding_window_view(state, KEYS)[1:]
    logit = RARE + 1.5 * windows[:, -1:]
    happened = draw.random((len(windows), HORIZONS)) < 1 / (1 + np.exp(-logit))
    # Half a percent to two percent: a return, of which one percent is the class.
    label = np.where(happened, 0.02, 0.005).astype(np.float32)
    batches, first = {}, 0
    for split, length in DAYS.items():
        batches[split] = [
            batch(windows, logit, label, np.arange(at, at + 100))
            for at in range(first, first + length, 100)
        ]
        first += length
    return batches


def batch(windows, logit, label, days):
    """Inputs and labels of these days; the level is 0 until the test days, then 30."""
    level = np.where(days >= DAYS["train"] + DAYS["valid"], 30.0, 0.0)
    inputs = {
        "window": torch.tensor(windows[days], dtype=torch.float32),
        "level": torch.tensor(level, dtype=torch.float32)[:, None],
        "group_day": torch.tensor(days),
        "truth": torch.tensor(1 / (1 + np.exp(-logit[days]))).repeat(1, HORIZONS),
    }
    return inputs, torch.tensor(label[days])


SPLITS = world()


class Attentive(nn.Module):
    """Attends to past values by a learned query, and scores what it found."""

    def __init__(self):
        super().__init__()
        self.query = nn.Linear(KEYS, KEYS)
        self.body = nn.Sequential(nn.Linear(KEYS + 1, 16), nn.Tanh())
        self.head = nn.Linear(16, HORIZONS)

    def window(self, inputs):
        """What the model sees of the past."""
        return inputs["window"]

    def sharpness(self, inputs):
        """Factor on the attention's scores."""
        return 1.0

    def attention(self, inputs):
        """Weights over the past values."""
        scores = self.query(self.window(inputs)) * self.sharpness(inputs)
        return torch.softmax(scores, -1)

    def forward(self, inputs):
        """Logits of every row."""
        window = self.window(inputs)
        found = (self.attention(inputs) * window).sum(1, keepdim=True)
        return self.head(self.body(torch.cat([window, found], 1)))


class Prior(Attentive):
    """Puts the base rate out, whatever comes in."""

    def __init__(self):
        super().__init__()
        nn.init.zeros_(self.head.weight)
        nn.init.constant_(self.head.bias, -0.8)
        self.head.weight.requires_grad_(False)


class NoisyPrior(Attentive):
    """The base rate, and a little that has nothing to do with the class."""

    def forward(self, inputs):
        """Logits of every row."""
        noise = torch.sin(1e4 * inputs["group_day"].double()).float()[:, None]
        return self.head.bias + 0.0 * super().forward(inputs) + 0.1 * noise


class SecondSigmoid(Attentive):
    """Returns probabilities where logits are expected."""

    def __init__(self):
        super().__init__()
        self.squash = nn.Sigmoid()

    def forward(self, inputs):
        """Probabilities of every row."""
        return self.squash(super().forward(inputs))


class Saturated(Attentive):
    """Logits so large that every probability is 0 or 1."""

    def forward(self, inputs):
        """Logits of every row."""
        return 1e3 * super().forward(inputs)


class Levels(Attentive):
    """Sees levels: far from those it was trained on, its units saturate."""

    def window(self, inputs):
        """Values on top of the level."""
        return inputs["window"] + inputs["level"]


class Drifting(Attentive):
    """Adds part of the level to the logits."""

    def forward(self, inputs):
        """Logits of every row."""
        return super().forward(inputs) + 0.1 * inputs["level"]


class Uniform(Attentive):
    """Attention whose scores shrink as the level grows."""

    def sharpness(self, inputs):
        """Factor on the attention's scores."""
        return torch.exp(-inputs["level"])


def classifier(model=Attentive, **parts):
    """A healthy subject, or one with other parts."""
    healthy = {
        "name": "series",
        "model": model,
        "batches": SPLITS.__getitem__,
        "loss": lambda outputs, targets, inputs: nn.functional.binary_cross_entropy_with_logits(
            outputs, (targets > 0.01).float()
        ),
        "scores": lambda outputs: outputs,
        "optimizer": lambda model: torch.optim.AdamW(model.parameters(), lr=1e-2),
        "oracle": lambda inputs: inputs["truth"],
        # Only some of the faulty models see the level.
        "insensitive_to": {"truth", "level"},
        "axis": "time",
        "probabilities": torch.sigmoid,
        "classes": lambda labels: labels > 0.01,
        "later": "test",
        "attention": lambda model, inputs: model.attention(inputs),
    }
    return Subject(**healthy | parts)
