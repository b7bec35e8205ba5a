"""What is planted in a reference comes through by the ways it has, and by no other."""

from dataclasses import replace

from flatline.harness import Status, examine
from flatline.harness.suites import CHECKS
from flatline.settings import load_settings
from flatline.subjects import GATE_SETTINGS, reference

PLANTED = [check for check in CHECKS if check.shares == "planted"]


def test_a_stack_without_its_graph_branch_is_deaf_to_neighbours():
    """Taken for one that should hear them, it fails there and nowhere else."""
    bypassed = ("model.bypass_gat=true",)
    settings = load_settings(GATE_SETTINGS["atft_gat_fan"], environ={}, overrides=bypassed)
    subject = replace(reference("atft_gat_fan", settings), insensitive_to=())
    verdicts = examine(subject, checks=PLANTED).verdicts
    assert {v.check for v in verdicts if v.status == Status.FAIL} == {"learns_neighbours"}
