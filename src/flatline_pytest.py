"""The pytest plugin: markers, options and the device a test runs on. Loads without torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import torch

MARKERS = {
    "degeneracy": "smoke trainings: the scores tell the stocks of a day apart",
    "gpu": "needs a CUDA device; skips without one unless --require-gpu",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the plugin's options in a group of their own."""
    group = parser.getgroup("flatline", "flatline: a gate for return-prediction models")
    group.addoption(
        "--require-gpu",
        action="store_true",
        help="fail, instead of skip, tests that need a CUDA device where there is none",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers."""
    for name, meaning in MARKERS.items():
        config.addinivalue_line("markers", f"{name}: {meaning}")


@pytest.fixture(scope="session")
def flatline_cuda(request: pytest.FixtureRequest) -> torch.device:
    """The CUDA device; without one a test skips, or fails under `--require-gpu`."""
    import torch  # noqa: PLC0415 (`pytest --help` must not load it)

    if torch.cuda.is_available():
        return torch.device("cuda")
    reason = f"no CUDA device: torch {torch.__version__} sees none"
    if request.config.getoption("--require-gpu"):
        pytest.fail(f"{reason}, and --require-gpu asks for one")
    pytest.skip(reason)
