"""One test per subject and check, made in three ways."""

import pytest

from flatline.harness import Layer
from flatline_pytest import MARKERS

pytest_plugins = ["pytester"]

IDS = ["lives", "alert", "signed"]


def collected(done):
    """The ids of the tests that a run has collected."""
    return [line for line in done.outlines if "::" in line]


def test_a_line_in_a_test_file_makes_a_test_per_check(project):
    """Ids are subject-check, in the order of the catalogue."""
    done = project("--collect-only", "-q")
    assert collected(done) == [
        *(f"test_mine.py::test_well[well-{check}]" for check in IDS),
        *(f"test_mine.py::test_others[dead-{check}]" for check in IDS),
        *(f"test_mine.py::test_others[broken-{check}]" for check in IDS),
    ]


@pytest.mark.parametrize(
    ("options", "ids"),
    [
        (["-m", "degeneracy"], ["well-lives", "well-alert"]),
        (["-m", "contract"], ["well-signed"]),
        (["-m", "not slow"], ["well-signed"]),
        (["-k", "well-alert"], ["well-alert"]),
        (["-m", "gpu"], []),
        (["-m", "gpu", "--flatline-device", "cuda"], ["well-lives", "well-alert", "well-signed"]),
    ],
)
def test_tests_are_selected_by_marker_and_name(project, options, ids):
    """Layers and cost are markers; on CUDA every check needs the device."""
    done = project("--collect-only", "-q", "-k", "well", *options)
    assert collected(done) == [f"test_mine.py::test_well[{one}]" for one in ids]


def test_only_some_checks_are_asked_for(project):
    """By id and by layer, in a test file of their own."""
    project.file(
        test_mine="import flatline as fl, mine\n"
        "test_a = fl.checks_for(mine.well, only=['alert'])\n"
        "test_b = fl.checks_for('mine:dead', only=['contract'])\n"
        "test_c = fl.checks_for('mine:make', only=['contract'])\n"
        "test_d = fl.checks_for('apex', only=['contract'])\n"
    )
    done = project("--collect-only", "-q")
    assert collected(done) == [
        "test_mine.py::test_a[well-alert]",
        "test_mine.py::test_b[dead-signed]",
        "test_mine.py::test_c[well-signed]",
        "test_mine.py::test_d[apex-signed]",
    ]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("fl.checks_for(mine.well, only=['alrt'])", "Did you mean 'alert'?"),
        ("fl.checks_for('apx')", "Did you mean 'apex'?"),
        ("fl.checks_for('mine:wel')", "expected a name that mine has. Did you mean 'well'?"),
        ("fl.checks_for('nime:well')", "there is no module 'nime'"),
        ("fl.checks_for('mine:make_of')", "is a function, expected a Subject"),
        ("fl.checks_for('mine:not_a_subject')", "is a int, expected a Subject"),
        ("fl.checks_for(mine.lost)", "subject is a function, expected a Subject"),
        ("fl.parametrize_with_checks([mine.well] * 2)", "named ['well'] more than once"),
    ],
)
def test_what_cannot_be_judged_is_refused_when_tests_are_collected(project, line, says):
    """A typo is no test that silently does not run."""
    project.file(test_mine=f"import flatline as fl, mine\ntest_it = {line}\n")
    done = project()
    assert done.ret == pytest.ExitCode.INTERRUPTED
    assert says in done.stdout.str()


def test_a_check_that_is_never_called_fails(project):
    """A test that was given a check and drops it would pass for a healthy model."""
    project.file(
        test_mine="import flatline as fl, mine\n"
        "@fl.parametrize_with_checks([mine.dead])\n"
        "def test_it(flatline_check):\n    pass\n"
    )
    done = project("-k", "alert")
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(["flatline_check was not called, expected `flatline_check()`."])


def test_a_test_without_a_check_is_told_what_is_missing(project):
    """The fixture alone judges nothing."""
    project.file(test_mine="def test_it(flatline_check):\n    flatline_check()\n")
    done = project()
    done.assert_outcomes(errors=1)
    done.stdout.fnmatch_lines(["*Write `@fl.parametrize_with_checks([[]subject[]])` above*"])


def test_every_layer_is_a_marker():
    """`-m` knows the layers of the catalogue."""
    assert {layer.value for layer in Layer} <= set(MARKERS)
