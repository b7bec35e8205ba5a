"""What a user's project looks like in these tests: a model, and a light catalogue of checks."""

# The checks that are fitted into the plugin where the project's own would take too long.
CONFTEST = '''
import os
from pathlib import Path

import flatline.subjects.finding as finding
from flatline.harness import Check, Cost, Culprit, Layer, Stage, Status, Verdict

HERE = Path(__file__).parent


def training(case):
    """The costly work: leaves a line in a file for each time that it is done."""
    with (HERE / "trainings.txt").open("a") as file:
        file.write(f"{case.subject.name} {case.steps} {case.seed} {case.place.precision}\\n")


def verdict(check, status, measured, **said):
    return Verdict(check=check, stage=Stage.TRAINED, status=status, measured=measured, **said)


def lives(case):
    case.of(training)
    return verdict("lives", Status.PASS, "spread 1, expected more than 0", value=1.0, bound=0.0)


def alert(case):
    case.of(training)
    if case.subject.name.startswith("dead"):
        head = Culprit(
            kind="module", path="head", file=str(HERE / "mine.py"), line=7,
            evidence="50 % of its weights, all 0", remedy="Give it weights.",
        )
        return verdict("alert", Status.FAIL, "spread 0, expected more than 0", value=float("nan"),
                       hint="constant: every score is 0", culprit=head)
    case.subject.model()
    return verdict("alert", Status.PASS, "spread 1, expected more than 0")


def check(id, judge, **parts):
    common = dict(says=f"It {id}.", stage=Stage.TRAINED, false_alarm_rate=0.0005)
    return Check(id=id, judge=judge, **common | parts)


finding.CHECKS = (
    check("lives", lives, layer=Layer.DEGENERACY, cost=Cost.TRAINING, shares="smoke"),
    check("alert", alert, layer=Layer.DEGENERACY, cost=Cost.TRAINING, shares="smoke"),
    check("signed", lives, layer=Layer.CONTRACT, cost=Cost.FREE, needs=("oracle",)),
)
'''

MINE = """
import flatline as fl
from torch import nn


def subject(name, model=lambda: nn.Linear(1, 1)):
    return fl.Subject(name=name, model=model, batches={}, loss=nn.MSELoss(), scores=lambda o: o)


def lost():
    raise RuntimeError("no weights\\nhere")


well, dead, broken = subject("well"), subject("dead"), subject("broken", lost)


def make():
    return well


def make_of(size):
    return well


not_a_subject = 3
"""

TESTS = """
import flatline as fl
from mine import broken, dead, well

test_well = fl.checks_for(well)


@fl.parametrize_with_checks([dead, broken])
def test_others(flatline_check, tmp_path):
    assert flatline_check().status == "pass"
"""
