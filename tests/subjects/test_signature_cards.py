"""How the references are called, what they give back and what their weights are, pinned."""

import pytest

from flatline.harness import Case, Status, judge, signature_card
from flatline.harness.registry import Layer
from flatline.harness.suites import CHECKS
from flatline.settings import load_settings
from flatline.subjects import GATE_SETTINGS, reference

TINY = ("data.source.market=tiny",)
STARTS = [c for c in CHECKS if c.layer == Layer.CONTRACT and not c.shares]


@pytest.fixture(scope="module", params=GATE_SETTINGS)
def case(request):
    """Each reference on its smallest market."""
    file = GATE_SETTINGS[request.param]
    return Case(reference(request.param, load_settings(file, environ={}, overrides=TINY)))


def test_the_signature_of_a_reference_is_pinned(case, snapshot):
    """A change here is one for all who call the model, or hold checkpoints of it."""
    assert signature_card(case) == snapshot


def test_a_reference_keeps_the_contract(case):
    """Every check of the layer speaks and passes, but the one that a snapshot decides."""
    found = {check.id: judge(check, case) for check in STARTS}
    assert {name for name, v in found.items() if v.status != Status.PASS} == {"signature_pinned"}
    assert "the message shows the right call" in found["positional_call_refused"].measured
