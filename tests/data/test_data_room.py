"""The front door of the data room."""

import os
import subprocess
import sys
from pathlib import Path

import flatline.data


def test_every_public_name_is_there():
    """Each name opens, and the list tells them all."""
    for name in flatline.data.__all__:
        assert getattr(flatline.data, name) is not None
    assert dir(flatline.data) == sorted(flatline.data.__all__)


def test_the_room_opens_without_torch():
    """Settings and splits are at hand before torch starts its threads."""
    code = (
        "import sys, flatline.data, flatline.data.settings; "
        "flatline.data.holdout; flatline.data.make_normaliser; print('torch' in sys.modules)"
    )
    path = {**os.environ, "PYTHONPATH": str(Path(flatline.data.__file__).parents[2])}
    done = subprocess.run(  # noqa: S603 - its own interpreter, on the line above
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=path
    )
    assert done.stdout == "False\n"
