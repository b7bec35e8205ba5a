"""What is planted in the references comes through by every way they have, and by no other."""

from dataclasses import replace

import pytest

from flatline.harness import Status, examine
from flatline.harness.suites import CHECKS
from flatline.settings import load_settings
from flatline.subjects import GATE_SETTINGS, reference

PLANTED = [check for check in CHECKS if check.shares == "planted"]


@pytest.mark.parametrize(
    ("name", "overrides", "deaf"),
    [
        pytest.param(
            "atft_gat_fan", ("model.bypass_gat=true",), {"learns_neighbours"}, id="no-graph-branch"
        ),
        pytest.param("apex", (), {"learns_row_values"}, id="no-attributes"),
    ],
)
def test_a_way_that_a_stack_does_not_have_is_named(name, overrides, deaf):
    """Taken for one that should hear it, it fails there and nowhere else."""
    settings = load_settings(GATE_SETTINGS[name], environ={}, overrides=overrides)
    subject = replace(reference(name, settings), insensitive_to=())
    verdicts = examine(subject, checks=PLANTED).verdicts
    assert {v.check for v in verdicts if v.status == Status.FAIL} == deaf
