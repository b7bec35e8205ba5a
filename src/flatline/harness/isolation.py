"""Subjects never see each other's randomness, nor leave torch changed behind them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

__all__ = ["isolated"]


@contextmanager
def isolated(seed: int) -> Iterator[None]:
    """Seed every generator inside, and put all global state back afterwards.

    Restores the generators of Python, NumPy and torch (CUDA included), the
    number of threads, the default dtype, gradient mode and determinism.

    Example:
        >>> with isolated(0):
        ...     first = torch.rand(1)
        >>> with isolated(0):
        ...     bool(torch.rand(1) == first)
        True
    """
    python, numpy, threads = random.getstate(), np.random.get_state(), torch.get_num_threads()  # noqa: NPY002 (global state is what is restored)
    dtype, grad = torch.get_default_dtype(), torch.is_grad_enabled()
    strict = torch.are_deterministic_algorithms_enabled()
    warns = torch.is_deterministic_algorithms_warn_only_enabled()
    cuda = list(range(torch.cuda.device_count()))
    try:
        with torch.random.fork_rng(devices=cuda):
            random.seed(seed)
            np.random.seed(seed % 2**32)  # noqa: NPY002 (subjects may use the global generator)
            torch.manual_seed(seed)
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002
        torch.set_num_threads(threads)
        torch.set_default_dtype(dtype)
        torch.set_grad_enabled(grad)
        torch.use_deterministic_algorithms(strict, warn_only=warns)
