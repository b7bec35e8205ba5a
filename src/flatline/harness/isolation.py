"""Subjects never see each other's randomness, nor leave torch changed behind them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import numpy as np
import torch

__all__ = ["isolated"]


@contextmanager
def isolated(seed: int) -> Iterator[None]:
    """Seed every generator inside, and put all global state back afterwards.

    Restores the generators of Python, NumPy and torch (CUDA included), the number of threads,
    the default dtype and device, gradient and anomaly mode, determinism, and what
    matrix products and cuDNN may round.

    Example:
        >>> with isolated(0):
        ...     first = torch.rand(1)
        >>> with isolated(0):
        ...     bool(torch.rand(1) == first)
        True
    """
    cuda = list(range(torch.cuda.device_count()))
    with ExitStack() as after, torch.random.fork_rng(devices=cuda):
        _restore(after)
        random.seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002 (subjects may use the global generator)
        torch.manual_seed(seed)
        yield


def _restore(after: ExitStack) -> None:
    """Have all that a subject might set put back when *after* is closed."""
    after.callback(random.setstate, random.getstate())
    after.callback(np.random.set_state, np.random.get_state())  # noqa: NPY002
    after.callback(torch.set_num_threads, torch.get_num_threads())
    after.callback(torch.set_default_dtype, torch.get_default_dtype())
    after.callback(_device_back, torch.get_default_device())
    after.callback(torch.set_grad_enabled, torch.is_grad_enabled())
    after.callback(
        torch.autograd.set_detect_anomaly,
        torch.is_anomaly_enabled(),
        torch.is_anomaly_check_nan_enabled(),
    )
    after.callback(
        torch.use_deterministic_algorithms,
        torch.are_deterministic_algorithms_enabled(),
        warn_only=torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    after.callback(torch.set_float32_matmul_precision, torch.get_float32_matmul_precision())
    cudnn = torch.backends.cudnn
    for name in ("enabled", "benchmark", "deterministic"):
        after.callback(setattr, cudnn, name, getattr(cudnn, name))


def _device_back(before: torch.device) -> None:
    # Only where it changed: a default device that is set, even the CPU, slows every call.
    if torch.get_default_device() != before:
        torch.set_default_device(None if before.type == "cpu" else before)
