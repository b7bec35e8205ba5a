"""The pytest plugin as its users meet it: quick to load, and strict where it is asked to be."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
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


@pytest.mark.parametrize("arguments", [["test_other.py"], ["tests", "--collect-only"]])
def test_other_tests_load_no_torch(tmp_path, arguments):
    """Neither where subjects are named in the ini file, as long as nobody asks for them."""
    (tmp_path / "pytest.ini").write_text("[pytest]\nflatline_subjects = mine:subject\n")
    (tmp_path / "test_other.py").write_text("def test_other():\n    pass\n")
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_more.py").write_text("def test_more():\n    pass\n")
    given = ["-p", "flatline_pytest", "-p", "no:randomly", *arguments]
    code = (
        f"import sys, pytest; code = pytest.main({given!r}); "
        "sys.exit('loaded' if {'torch', 'filelock'} & set(sys.modules) else code)"
    )
    done = python("-c", code, folder=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "flatline: seed 0" in done.stdout


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
    plugin += ["-p", "flatline_pytest"]
    done = python(*plugin, *options, folder=tmp_path)
    assert done.returncode == code, done.stdout
    assert outcome in done.stdout
    assert "no CUDA device" in done.stdout
