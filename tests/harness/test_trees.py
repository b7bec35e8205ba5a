"""Nestings of tensors are read and rewritten whatever they are made of."""

from dataclasses import dataclass
from typing import NamedTuple

import torch

from flatline.harness.trees import leaves, map_tensors, read, write


class Pair(NamedTuple):
    """A named tuple."""

    left: torch.Tensor
    right: torch.Tensor


@dataclass(frozen=True)
class Both:
    """A dataclass, nested."""

    pair: Pair
    note: str = "kept"


def nest():
    """One tensor of each kind of container."""
    pair = Pair(torch.tensor([1.0]), torch.tensor([2.0]))
    return {"both": Both(pair), "list": [torch.tensor([3.0]), None], "n": 4}


def test_every_tensor_has_a_path():
    """Keys, positions and field names, joined by dots."""
    assert {path: x.item() for path, x in leaves(nest())} == {
        "both.pair.left": 1.0,
        "both.pair.right": 2.0,
        "list.0": 3.0,
    }
    assert [path for path, _ in leaves(torch.zeros(1))] == [""]


def test_the_containers_are_kept():
    """Only tensors change; what is no tensor stays."""
    doubled = map_tensors(lambda _, x: 2 * x, nest())
    assert isinstance(doubled["both"], Both)
    assert isinstance(doubled["both"].pair, Pair)
    assert (doubled["both"].note, doubled["list"][1], doubled["n"]) == ("kept", None, 4)
    assert read(doubled, "both.pair.right").item() == 4.0


def test_writing_leaves_the_original_alone():
    """One tensor is replaced in a copy."""
    original = nest()
    changed = write(original, "list.0", torch.tensor([9.0]))
    assert (read(changed, "list.0").item(), read(original, "list.0").item()) == (9.0, 3.0)
