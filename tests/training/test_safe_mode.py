"""One process, one thread, decided before torch starts."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from flatline.errors import SettingsError
from flatline.training.safe_mode import THREAD_VARIABLES, enter_safe_mode, safe_mode_wanted

SRC = str(Path(__file__).parents[2] / "src")


@pytest.mark.parametrize(
    ("environ", "wanted"),
    [
        ({}, False),
        ({"FORCE_SINGLE_PROCESS": "1"}, True),
        ({"FORCE_SINGLE_PROCESS": "0"}, False),
        ({"FLATLINE_RUN__SINGLE_PROCESS": "true"}, True),
    ],
)
def test_either_name_asks_for_it(environ, wanted):
    """The short and the long name ask for safe mode, and a no is a no."""
    assert safe_mode_wanted(environ) is wanted


def test_an_answer_that_is_none_is_an_error():
    """A word that is neither yes nor no is refused."""
    with pytest.raises(SettingsError, match="FORCE_SINGLE_PROCESS is 'twice'"):
        safe_mode_wanted({"FORCE_SINGLE_PROCESS": "twice"})


def test_sets_what_the_libraries_read():
    """Every thread variable is 1, for this process and its children."""
    environ, threads = {"OMP_NUM_THREADS": "8"}, torch.get_num_threads()
    try:
        enter_safe_mode(environ)
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(threads)
    assert {environ[name] for name in THREAD_VARIABLES} == {"1"}


def test_torch_starts_with_one_thread():
    """Entered before torch is imported, torch has one thread; entering does not import it."""
    code = (
        "import sys; from flatline.training import enter_safe_mode; enter_safe_mode();"
        "assert 'torch' not in sys.modules;"
        "import torch; print(torch.get_num_threads())"
    )
    environ = {k: v for k, v in os.environ.items() if k not in THREAD_VARIABLES}
    done = subprocess.run(  # noqa: S603 - our own interpreter and code
        [sys.executable, "-c", code],
        env=environ | {"PYTHONPATH": SRC},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "1"
