"""What pytest makes of a verdict: passed, failed without a traceback, skipped with the reason."""

import xml.etree.ElementTree as ET

import pytest

from flatline_pytest.annotations import command
from flatline_pytest.summary import family_rate, total_of, unstated

pytest_plugins = ["pytester"]

FAILURE = """
spread 0, expected more than 0
culprit: module head (mine.py:7): 50 % of its weights, all 0
remedy: Give it weights.
hint: constant: every score is 0
expected: It alert.
"""
TOTAL = (
    "9 verdicts on 3 subjects: 1 error, 1 failed, 4 passed, 3 skipped; "
    "healthy subjects fail by chance in at most 1 run in 400"
)


def test_a_healthy_subject_passes_and_is_trained_once(project):
    """Checks that share the training share its outcome; an absent part skips with the reason."""
    done = project("-ra", "-k", "well")
    done.assert_outcomes(passed=2, skipped=1, deselected=6)
    assert project.trainings() == ["well 200 0 fp32"]
    done.stdout.fnmatch_lines(
        ["SKIPPED [[]1[]] test_mine.py:4: not judged: the subject has no `oracle`"]
    )


def test_a_failed_verdict_is_a_few_lines_without_a_traceback(project):
    """Measured and bound first, then the culprit with its place, the remedy, the hint."""
    done = project("-k", "dead")
    done.assert_outcomes(failed=1, passed=1, skipped=1, deselected=6)
    assert FAILURE in done.stdout.str()
    assert "Traceback" not in done.stdout.str()
    assert "conftest.py" not in done.stdout.str()
    done.stdout.fnmatch_lines(["FAILED test_mine.py::test_others[[]dead-alert[]]*spread 0*"])


def test_an_error_of_the_subject_says_where_it_was_raised(project):
    """The suite goes on, and the line is that of the subject's own code."""
    done = project("-k", "broken and alert")
    done.assert_outcomes(failed=1, deselected=8)
    done.stdout.fnmatch_lines(
        [
            "RuntimeError: no weights",
            "here",
            'culprit: code lost (mine.py:10): raise RuntimeError("no weights?nhere")',
            "hint: Raised at */mine.py:10 in lost.",
        ]
    )


def test_the_first_failure_stops_a_run_that_is_asked_to(project):
    """`-x` works as for any test."""
    done = project("-x")
    done.assert_outcomes(passed=3, skipped=1, failed=1)
    assert [line.split()[0] for line in project.trainings()] == ["well", "dead"]


@pytest.mark.parametrize("where", ["file", "ini"])
def test_the_last_failures_can_be_run_again(project, where):
    """`--lf` judges only what failed, whichever way it was named."""
    if where == "ini":
        (project.path / "test_mine.py").unlink()
        project.ini("[pytest]\npythonpath = .\nflatline_subjects =\n    mine:well\n    mine:dead\n")
    cached = ("-p", "cacheprovider")
    first, again = project(*cached), project(*cached, "--lf")
    failed = {"file": 2, "ini": 1}[where]
    assert first.parseoutcomes()["failed"] == failed
    assert not {"passed", "skipped"} & again.parseoutcomes().keys()
    assert again.parseoutcomes()["failed"] == failed


def test_a_junit_file_holds_each_verdict(project):
    """As properties of its test: what was measured, and who is to blame where."""
    project("-k", "dead", "--junitxml", "junit.xml")
    cases = {c.get("name"): c for c in ET.parse(project.path / "junit.xml").iter("testcase")}  # noqa: S314 (written just now)
    failed = {
        p.get("name"): p.get("value") for p in cases["test_others[dead-alert]"].iter("property")
    }
    assert failed == {
        "flatline.subject": "dead",
        "flatline.check": "alert",
        "flatline.layer": "degeneracy",
        "flatline.stage": "N steps",
        "flatline.status": "fail",
        "flatline.measured": "spread 0, expected more than 0",
        "flatline.false_alarm_rate": "0.0005",
        "flatline.culprit": "module head",
        "flatline.place": "mine.py:7",
    }


def test_the_verdicts_are_shown_worst_first(project):
    """Errors that say the same are one line; skips are counted; the family's rate closes."""
    shown = section(project())
    assert shown == [
        "error  broken-alert: RuntimeError: no weights here [code lost, mine.py:10]",
        "fail   dead-alert: spread 0, expected more than 0 [module head, mine.py:7]",
        "skip   3 for want of parts of the subject: `oracle` (3)",
        TOTAL,
    ]


def test_every_verdict_is_shown_where_asked(project):
    """`-v` lists passes and skips too."""
    shown = section(project("-v", "-k", "well"))
    assert [line.split(":")[0] for line in shown] == [
        "pass   well-lives",
        "pass   well-alert",
        "skip   well-signed",
        "3 verdicts on 1 subject",
    ]


def test_nothing_is_shown_where_nothing_was_judged(project):
    """Other tests are left alone."""
    project.file(test_mine="def test_other():\n    pass\n")
    assert section(project()) == []


def section(done):
    """The lines of the plugin's section."""
    lines = done.outlines
    heads = [n for n, line in enumerate(lines) if line.startswith("=") and " flatline " in line]
    if not heads:
        return []
    rest = lines[heads[0] + 1 :]
    return rest[: next(n for n, line in enumerate(rest) if line.startswith("=") or not line)]


def test_the_familys_rate_counts_what_was_judged():
    """The stated rates add up, whatever the checks share; a skipped check cannot cry wolf."""
    rates = [("pass", 0.1), ("fail", 0.1), ("skip", 0.5), ("error", 0.5)]
    found = [{"status": status, "false_alarm_rate": rate} for status, rate in rates]
    assert family_rate(found) == pytest.approx(0.2)
    assert family_rate([]) == 0.0


def test_verdicts_without_a_stated_rate_are_counted_and_said():
    """They are no part of the sum; beside them a family that states all of its rates."""
    stated = {"subject": "well", "status": "pass", "false_alarm_rate": 1e-3}
    learned, skipped = (
        stated | {"status": status, "false_alarm_rate": None} for status in ("fail", "skip")
    )
    assert unstated([stated, learned, skipped]) == 1
    assert family_rate([stated, learned, skipped]) == pytest.approx(1e-3)
    assert total_of([stated, stated]).endswith("at most 1 run in 500")
    assert "1 run in 1,000, not counting 1 verdict" in total_of([stated, learned, skipped])


@pytest.mark.parametrize("there", [True, False])
def test_a_pull_request_is_marked_at_the_culprit(project, monkeypatch, there):
    """Under GitHub Actions only; where the culprit is not known, at the test."""
    if there:
        monkeypatch.setenv("GITHUB_ACTIONS", "true")
    marks = [line for line in project("-k", "alert").outlines if line.startswith("::")]
    if not there:
        assert marks == []
        return
    assert sorted(mark.partition("::")[2].partition("::")[0] for mark in marks) == [
        "error file=mine.py,line=10,title=broken-alert",
        "error file=mine.py,line=7,title=dead-alert",
    ]
    (dead,) = [mark for mark in marks if "dead" in mark]
    assert "spread 0, expected more than 0%0Aculprit: module head (mine.py:7): 50 %25 of" in dead


def test_a_mark_cannot_be_broken_out_of():
    """Line ends, percent signs and separators are escaped."""
    assert command("a\r\nb: 5 %", title="x,y: 5 %") == (
        "::error title=x%2Cy%3A 5 %25::a%0D%0Ab: 5 %25"
    )
