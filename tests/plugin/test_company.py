"""The plugin next to others: workers of pytest-xdist, random order, coverage, snapshots."""

from importlib.util import find_spec

import pytest

pytest_plugins = ["pytester"]

OTHERS = """
import flatline as fl
from mine import dead, well

test_a = fl.checks_for(well)
test_b = fl.checks_for(dead)
"""


def needs(module, name):
    """Skip, saying so, where another plugin is not installed."""
    return pytest.mark.skipif(find_spec(module) is None, reason=f"{name} is not installed")


@needs("xdist", "pytest-xdist")
def test_workers_train_a_subject_once_between_them(project, monkeypatch, tmp_path):
    """Verdicts travel to the one process that shows them; what they share is thrown away."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    project.file(test_mine=OTHERS)
    done = project("-n2", "--dist", "load", separately=True)
    done.assert_outcomes(passed=3, failed=1, skipped=2)
    assert sorted(project.trainings()) == ["dead 200 0 fp32", "well 200 0 fp32"]
    done.stdout.fnmatch_lines(
        [
            "culprit: module head (mine.py:7): 50 % of its weights, all 0",
            "fail   dead-alert: spread 0, expected more than 0 [[]module head, mine.py:7[]]",
            "6 verdicts on 2 subjects: 1 failed, 3 passed, 2 skipped; *",
            "::error file=mine.py,line=7,title=dead-alert::*",
        ]
    )
    assert list(tmp_path.glob("flatline-*")) == []


@needs("xdist", "pytest-xdist")
def test_workers_judge_what_the_ini_file_names(project):
    """Each collects the same tests, with and without testpaths."""
    (project.path / "test_mine.py").unlink()
    project.ini("[pytest]\npythonpath = .\ntestpaths = .\nflatline_subjects = mine:well\n")
    done = project("-n1", separately=True)
    done.assert_outcomes(passed=2, skipped=1)
    assert project.trainings() == ["well 200 0 fp32"]


@needs("pytest_randomly", "pytest-randomly")
def test_the_order_and_the_seeds_of_others_change_nothing(project):
    """Whichever check comes first, the training is the same and done once."""
    done = project("-p", "randomly", "-k", "well", separately=True)
    done.assert_outcomes(passed=2, skipped=1, deselected=6)
    assert project.trainings() == ["well 200 0 fp32"]


@needs("pytest_cov", "pytest-cov")
def test_coverage_counts_the_users_lines_only_where_they_ran(project):
    """A test that stands on one line of a file is no line more."""
    done = project("--cov=.", "--cov-report=term-missing", "-k", "well", separately=True)
    done.assert_outcomes(passed=2, skipped=1, deselected=6)
    done.stdout.re_match_lines([r"test_mine\.py +6 +1 +83% +9"])


@needs("syrupy", "syrupy")
@pytest.mark.parametrize("change", [False, True])
def test_a_signature_is_held_against_its_snapshot(project, change):
    """Missing, it fails; written by syrupy's own option; changed, the lines are named."""
    project.file(test_mine="import flatline as fl, mine\ntest_it = fl.checks_for(mine.well)\n")
    with (project.path / "conftest.py").open("a") as file:
        file.write(SIGNED)
    only = ("-k", "signature_pinned")
    project(*only).assert_outcomes(failed=1, deselected=3)
    project(*only, "--snapshot-update").assert_outcomes(passed=1, deselected=3)
    (project.path / "card.txt").write_text("name: well\nrows: 3\n" if change else CARD)
    done = project(*only)
    done.assert_outcomes(**{"failed" if change else "passed": 1}, deselected=3)
    if change:
        assert "rows: 2" in done.stdout.str()
        assert "rows: 3" in done.stdout.str()


CARD = "name: well\nrows: 2\n"
# The real check compares the card of the model; here a file stands for it.
SIGNED = """
import flatline.harness.suites.contract as contract


def pinned(case, differs):
    path = HERE / "card.txt"
    lines = differs(path.read_text() if path.exists() else "name: well\\nrows: 2\\n")
    status = Status.FAIL if lines else Status.PASS
    return verdict("signature_pinned", status, f"{len(lines)} lines differ", hint="; ".join(lines))


contract.pinned = pinned
finding.CHECKS += (
    check("signature_pinned", lives, layer=Layer.CONTRACT, cost=Cost.PASSES),
)
"""
