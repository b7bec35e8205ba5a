"""The pytest plugin as its users meet it: quick to load, and strict where it is asked to be."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NEEDS_CUDA = """
import pytest

@pytest.mark.gpu
def test_on_the_device(flatline_cuda):
    pass
"""


def python(*arguments, folder):
    """Run Python in a folder, with this checkout on its path and no CUDA device in sight."""
    path = os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    hidden = {"CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": path, "PYTEST_ADDOPTS": ""}
    return subprocess.run(  # noqa: S603 (our own interpreter)
        [sys.executable, *arguments],
        cwd=folder,
        env=os.environ | hidden,
        capture_output=True,
        text=True,
        check=False,
    )


def test_help_loads_no_torch():
    """`pytest --help` in the checkout shows the option, and starts neither torch nor Lightning."""
    code = (
        "import sys, pytest; pytest.main(['--help']); "
        "sys.exit('loaded' if {'torch', 'lightning'} & set(sys.modules) else 0)"
    )
    done = python("-c", code, folder=ROOT)
    assert done.returncode == 0, done.stderr
    assert "--require-gpu" in done.stdout


@pytest.mark.parametrize(
    ("options", "code", "outcome"),
    [
        ([], 0, "1 skipped"),
        (["--require-gpu"], 1, "and --require-gpu asks for one"),
    ],
)
def test_without_a_device_a_test_skips_or_fails_as_asked(tmp_path, options, code, outcome):
    """What needs a GPU says so and skips; under --require-gpu that is a failure."""
    (tmp_path / "test_device.py").write_text(NEEDS_CUDA)
    plugin = ["-m", "pytest", "-p", "no:cacheprovider", "-rs", "--strict-markers"]
    if not installed():
        plugin += ["-p", "flatline_pytest"]
    done = python(*plugin, *options, folder=tmp_path)
    assert done.returncode == code, done.stdout
    assert outcome in done.stdout
    assert "no CUDA device" in done.stdout


def installed():
    """Whether pytest finds the plugin by its entry point."""
    from importlib.metadata import entry_points  # noqa: PLC0415

    return "flatline_pytest" in entry_points(group="pytest11").names
