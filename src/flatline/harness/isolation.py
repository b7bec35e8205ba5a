"""Subjects never see each other's randomness, nor leave torch changed behind them."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, TypeVar

import numpy as np
import torch

__all__ = ["isolated", "repeatable"]

T = TypeVar("T")


@contextmanager
def isolated(seed: int) -> Iterator[None]:
    """Seed every generator inside, and put all global state back afterwards.

    Restores the generators of Python, NumPy and torch (CUDA included), the number of threads,
    the default dtype and device, gradient and anomaly mode, determinism, what matrix
    products and cuDNN may round, and the kernels of attention.

    Example:
        >>> with isolated(0):
        ...     first = torch.rand(1)
        >>> with isolated(0):
        ...     bool(torch.rand(1) == first)
        True
    """
    # To ask for the state of a device that nobody uses would wake it up.
    cuda = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []  # type: ignore[no-untyped-call]
    with ExitStack() as after, torch.random.fork_rng(devices=cuda):
        _restore(after)
        random.seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002 (subjects may use the global generator)
        torch.manual_seed(seed)
        yield


def repeatable(make: Callable[[], Iterable[T]], seed: int) -> Iterator[T]:
    """Items drawn from generators of their own: the same ones at each reading.

    A loader that shuffles draws its order when it is read. What is done between two items
    neither changes the next ones nor is changed by them.

    Args:
        make: Makes what is read.
        seed: Of the generators that it draws from.

    Example:
        >>> def shuffled():
        ...     yield from torch.randperm(4).tolist()
        >>> list(repeatable(shuffled, 0)) == list(repeatable(shuffled, 0))
        True
    """
    with isolated(seed):
        items = iter(make())
        own = _generators()
    while True:
        outside = _generators()
        _set_generators(own)
        try:
            item = next(items)
        except StopIteration:
            return
        finally:
            own = _generators()
            _set_generators(outside)
        yield item


def _generators() -> tuple[Any, ...]:
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []  # type: ignore[no-untyped-call]
    return random.getstate(), np.random.get_state(), torch.get_rng_state(), cuda  # noqa: NPY002


def _set_generators(states: tuple[Any, ...]) -> None:
    random.setstate(states[0])
    np.random.set_state(states[1])  # noqa: NPY002
    torch.set_rng_state(states[2])
    if states[3]:
        torch.cuda.set_rng_state_all(states[3])


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
    cuda = torch.backends.cuda
    flags = {
        torch.backends.cudnn: ("enabled", "benchmark", "deterministic", "allow_tf32"),
        cuda.matmul: (
            "allow_fp16_reduced_precision_reduction", "allow_bf16_reduced_precision_reduction",
        ),
    }  # fmt: skip
    for owner, names in flags.items():
        for name in names:
            after.callback(setattr, owner, name, getattr(owner, name))
    for kernel in ("flash", "mem_efficient", "math", "cudnn"):
        enabled = getattr(cuda, f"{kernel}_sdp_enabled")()
        after.callback(getattr(cuda, f"enable_{kernel}_sdp"), enabled)


def _device_back(before: torch.device) -> None:
    # Only where it changed: a default device that is set, even the CPU, slows every call.
    if torch.get_default_device() != before:
        torch.set_default_device(None if before.type == "cpu" else before)
