"""Options of the project's own tests; what users of the plugin get is in flatline_pytest."""

import os
from pathlib import Path

import pytest

# Also from a bare checkout, where the plugin's entry point is not installed.
pytest_plugins = ["flatline_pytest"]

REAL_DATA = "FLATLINE_REAL_DATA"


def pytest_addoption(parser):
    """Add the option that says where real prices are."""
    parser.addoption(
        "--real-data",
        metavar="FOLDER",
        default=os.environ.get(REAL_DATA),
        help=f"folder of real price files for tests marked `real` (default: ${REAL_DATA})",
    )


def pytest_configure(config):
    """Register the project's own marker."""
    config.addinivalue_line("markers", "real: needs real prices, see --real-data")


@pytest.fixture(scope="session")
def real_data(request):
    """The folder of real prices; skips with the reason where there is none."""
    given = request.config.getoption("--real-data")
    if not given:
        pytest.skip(f"no real prices: give --real-data FOLDER or set {REAL_DATA}")
    folder = Path(given)
    if not folder.is_dir():
        pytest.fail(f"--real-data is {given}, expected a folder. Correct the path.")
    return folder
