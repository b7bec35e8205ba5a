"""The loss of each reference, and every term of it, passes the loss layer of the gate."""

import pytest

from flatline.harness import Case, Status, judge
from flatline.harness.suites.loss_math import CHECKS
from flatline.subjects.references import REFERENCES, reference

pytestmark = pytest.mark.loss_math


@pytest.mark.parametrize("name", REFERENCES)
def test_the_loss_of_a_reference_passes_every_check(name):
    """No check fails, and those of the terms are judged."""
    case = Case(reference(name))
    found = {check.id: judge(check, case) for check in CHECKS}
    assert {k: v.measured for k, v in found.items() if v.status == Status.FAIL} == {}
    assert {v.status for v in found.values()} <= {Status.PASS, Status.SKIP}
    assert found["weights_count"].status == found["gradient_budget"].status == Status.PASS


def test_the_terms_are_those_of_the_settings():
    """Each weighted term is declared with its weight, and with what its law promises."""
    terms = reference("apex").terms
    assert {name: term.weight for name, term in terms.items()} == {
        "listnet": 1.0,
        "ranknet": 0.5,
        "mse": 0.1,
        "top_k": 0.1,
    }
    assert [terms[name].shift for name in ("listnet", "mse")] == [True, False]
