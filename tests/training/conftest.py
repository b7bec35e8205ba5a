"""Runs of these tests are compared byte by byte: all have the same id."""

import pytest

from flatline.training import run_folder
from training.victim import ONE_ID


@pytest.fixture(scope="module", autouse=True)
def one_id():
    """Gives every run the same id."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_folder, "_new_id", lambda now: ONE_ID)
        yield
