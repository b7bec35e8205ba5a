"""Subjects draw from generators of their own."""

import random

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from flatline.harness.isolation import repeatable


def drawn():
    """Numbers from every global generator, one after the other."""
    for _ in range(3):
        yield random.random(), np.random.rand(), torch.rand(1).item()  # noqa: NPY002, S311


def shuffled():
    """A loader as most people have it."""
    return DataLoader(TensorDataset(torch.arange(64)), batch_size=8, shuffle=True)


def order(items):
    """What a loader gave, in order."""
    return [x for (batch,) in items for x in batch.tolist()]


def test_every_reading_gives_the_same():
    """Whatever was drawn in between, and by whichever generator."""
    first = list(repeatable(drawn, 3))
    random.random(), np.random.rand(), torch.rand(5)  # noqa: NPY002, S311
    assert list(repeatable(drawn, 3)) == first
    assert list(repeatable(drawn, 4)) != first
    assert len(set(first)) == 3


@pytest.mark.parametrize("between", [lambda: None, lambda: torch.rand(7)], ids=["still", "drawing"])
def test_a_loader_that_shuffles_keeps_its_order(between):
    """Shuffled, and the same each time, also where something is drawn between its batches."""
    seen = []
    for (batch,) in repeatable(shuffled, 0):
        between()
        seen += batch.tolist()
    assert seen == order(repeatable(shuffled, 0))
    assert sorted(seen) == list(range(64)) != seen


def test_reading_leaves_the_generators_of_others_alone():
    """Also where it stops in the middle."""
    torch.manual_seed(1)
    expected = torch.rand(4)
    torch.manual_seed(1)
    items = repeatable(shuffled, 0)
    parts = [torch.rand(1) for _, _ in zip(range(4), items, strict=False)]
    assert torch.equal(torch.cat(parts), expected)
