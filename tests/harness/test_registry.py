"""The catalogue holds together: names, markers, and how often the whole cries wolf."""

import re
from collections import Counter

import pytest

from flatline.harness import CHECKS, Subject
from flatline.harness.statistics import FAMILY


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.id)
def test_every_check_is_described(check):
    """A name that fits a test's id, a sentence, a rate, and parts that a subject can have."""
    assert re.fullmatch(r"[a-z][a-z0-9_]*", check.id)
    assert re.fullmatch(r"[A-Z].*\.", check.says)
    assert set(check.needs) <= set(Subject.__dataclass_fields__)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.id)
def test_every_check_states_a_rate(check):
    """How often it fails the healthy or, where that is not known, how often it passes the dead."""
    if check.false_alarm_rate is None:
        assert 0.0 < check.dead_passes <= 1e-3
    else:
        assert 0.0 <= check.false_alarm_rate < FAMILY
        assert check.dead_passes is None


def test_what_was_learned_is_held_against_what_a_dead_model_reaches():
    """Of these no rate at which the healthy fail can be stated by design."""
    assert {check.id for check in CHECKS if check.false_alarm_rate is None} == {
        "loss_falls", "skill_against_oracle", "beyond_class_prior", "overfits_one_batch",
        "learns_newest_step", "learns_earlier_step", "learns_levels", "learns_row_values",
        "learns_neighbours",
    }  # fmt: skip


def test_names_are_unique():
    """Two checks of one name would be one test."""
    assert {name: n for name, n in Counter(c.id for c in CHECKS).items() if n > 1} == {}


def test_the_family_cries_wolf_once_in_a_thousand_runs_at_most():
    """Whatever the checks have to do with each other, their rates add up to no more."""
    assert sum(check.false_alarm_rate or 0.0 for check in CHECKS) <= FAMILY
