"""The generators of python, numpy and torch: seeded, kept and restored."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

__all__ = ["generator_states", "restore_generators", "seed_all", "untouched_generators"]


def seed_all(seed: int) -> None:
    """Seed python, numpy and torch, on every device.

    Example:
        >>> seed_all(7); first = torch.rand(2)
        >>> seed_all(7); bool((first == torch.rand(2)).all())
        True
    """
    random.seed(seed)
    # The global generator is the one that user code draws from.
    np.random.seed(seed)  # noqa: NPY002
    torch.manual_seed(seed)


def generator_states() -> dict[str, Any]:
    """States of all global generators, as plain numbers, lists and tensors.

    `torch.load(weights_only=True)` reads them back.
    """
    version, words, gauss = random.getstate()
    name, keys, position, has_gauss, cached = np.random.get_state()  # noqa: NPY002
    return {
        "python": [version, list(words), gauss],
        "numpy": [
            str(name),
            np.asarray(keys).tolist(),
            int(position),
            int(has_gauss),
            float(cached),
        ],
        "torch": torch.get_rng_state(),
        "cuda": _cuda_states(),
    }


def restore_generators(states: dict[str, Any]) -> None:
    """Put all global generators back into states kept by `generator_states`."""
    version, words, gauss = states["python"]
    random.setstate((version, tuple(words), gauss))
    name, keys, position, has_gauss, cached = states["numpy"]
    np.random.set_state((name, np.array(keys, dtype=np.uint32), position, has_gauss, cached))  # noqa: NPY002
    torch.set_rng_state(states["torch"].cpu())
    # A run may go on where there are fewer devices; their generators then start afresh.
    for device, state in enumerate(states["cuda"][: torch.cuda.device_count()]):
        torch.cuda.set_rng_state(state.cpu(), device)


def _cuda_states() -> list[torch.Tensor]:
    # Asking for the states would start CUDA where nobody uses it.
    started: bool = torch.cuda.is_available() and torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    return torch.cuda.get_rng_state_all() if started else []


@contextmanager
def untouched_generators() -> Iterator[None]:
    """Whatever is drawn inside leaves no trace in the generators.

    Example:
        >>> seed_all(0); first = torch.rand(1)
        >>> seed_all(0)
        >>> with untouched_generators():
        ...     _ = torch.rand(100)
        >>> bool(first == torch.rand(1))
        True
    """
    states = generator_states()
    try:
        yield
    finally:
        restore_generators(states)
