"""The pytest plugin: a gate for return-prediction models. Loads without torch."""

from __future__ import annotations

from collections.abc import Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from flatline_pytest.generation import Judged, checks_for, parametrize_with_checks
from flatline_pytest.ini import SubjectsFile, add_ini_file
from flatline_pytest.options import OPTIONS, add_options, options_of
from flatline_pytest.outcomes import JUDGEMENT, as_report
from flatline_pytest.summary import show_summary

if TYPE_CHECKING:
    import torch

    from flatline.harness import Verdict

__all__ = ["MARKERS", "checks_for", "parametrize_with_checks"]

MARKERS = {
    "contract": "the model keeps its word: calls, shapes, modes, round trips, an optimizer of all",
    "dependence": "scores depend on what they should depend on, and on nothing else",
    "degeneracy": "smoke trainings: the scores tell the stocks of a day apart",
    "loss_math": "the laws of a loss: days, signs, ties, masks, gradients",
    "metrics": "an evaluation that cannot be fooled",
    "drift": "train and test data, and scores on them, are of one kind",
    "settings": "every setting changes something",
    "baseline": "the numbers of a subject are what they were",
    "gpu": "needs a CUDA device; skips without one unless --require-gpu",
    "slow": "trains a model",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the plugin's options in a group of their own, and their twins in the ini file."""
    add_options(parser)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Register the markers, and read the options."""
    for name, meaning in MARKERS.items():
        config.addinivalue_line("markers", f"{name}: {meaning}")
    config.stash[OPTIONS] = options_of(config)
    add_ini_file(config)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Throw away what the workers shared."""
    from flatline_pytest.sharing import forget  # noqa: PLC0415

    forget(config)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: object) -> None:
    """Tell a worker of pytest-xdist where the verdicts of all are kept."""
    from flatline_pytest.sharing import tell_worker  # noqa: PLC0415

    tell_worker(node)


def pytest_report_header(config: pytest.Config) -> str:
    """Say what a failure has to be repeated with."""
    return f"flatline: {config.stash[OPTIONS].header}"


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """The ini file holds a test per check for each of its `flatline_subjects`."""
    config = parent.config
    if file_path != config.inipath or not config.getini("flatline_subjects"):
        return None
    return SubjectsFile.from_parent(parent, path=file_path)


def pytest_itemcollected(item: pytest.Item) -> None:
    """On CUDA, every check needs the device."""
    if Judged.of(item) is not None and item.config.stash[OPTIONS].device == "cuda":
        item.add_marker("gpu")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """A test that was given a check has to run it."""
    yield
    if Judged.of(item) is not None and JUDGEMENT not in item.stash:
        pytest.fail("flatline_check was not called, expected `flatline_check()`.", pytrace=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Attach the verdict to the report, as data that survives the way from a worker."""
    report = yield
    return as_report(item, call, report)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Show the verdicts, worst first."""
    show_summary(terminalreporter, config)


@pytest.fixture
def flatline_check(request: pytest.FixtureRequest) -> Callable[[], Verdict]:
    """The check of a test made by `parametrize_with_checks`; calling it passes, fails or skips."""
    judged = Judged.of(request.node)
    if judged is None:
        pytest.fail(
            "flatline_check has no check, expected a test made by parametrize_with_checks. "
            "Write `@fl.parametrize_with_checks([subject])` above the test.",
            pytrace=False,
        )
    from flatline_pytest.outcomes import conclude  # noqa: PLC0415 (loads torch)

    return lambda: conclude(request, judged)


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
