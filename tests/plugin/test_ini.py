"""Subjects named in the ini file, without a test file."""

import pytest

pytest_plugins = ["pytester"]

INI = "[pytest]\npythonpath = .\nflatline_subjects =\n    mine:well\n    mine:make_other\n"
TOML = '[tool.pytest.ini_options]\npythonpath = ["."]\nflatline_subjects = ["mine:well"]\n'


@pytest.fixture
def project(project):
    """The project with no test of its own, and a function that makes a second subject."""
    (project.path / "test_mine.py").unlink()
    with (project.path / "mine.py").open("a") as file:
        file.write("\n\ndef make_other():\n    return subject('other')\n")
    return project


def ids(done):
    """The ids of the tests that a run has collected."""
    return [line for line in done.outlines if "::" in line]


def test_each_subject_is_judged_without_a_test_file(project):
    """The ini file is as if it were a test file; ids are subject-check."""
    project.ini(INI)
    assert ids(project("--collect-only", "-q")) == [
        f"tox.ini::test_gate[{name}-{check}]"
        for name in ("well", "other")
        for check in ("lives", "alert", "signed")
    ]
    done = project("-ra")
    done.assert_outcomes(passed=4, skipped=2)
    done.stdout.fnmatch_lines(["SKIPPED [[]2[]] tox.ini:3: not judged*"])


def test_a_list_in_pyproject_names_them_too(project):
    """As TOML writes lists."""
    (project.path / "pyproject.toml").write_text(TOML)
    done = project("-v", "-k", "lives")
    done.assert_outcomes(passed=1, deselected=2)
    done.stdout.fnmatch_lines(["pyproject.toml::test_gate[[]well-lives[]] PASSED*"])


@pytest.mark.parametrize(
    ("arguments", "count"),
    [
        pytest.param([], 3, id="testpaths"),
        pytest.param(["."], 3, id="the-whole-folder"),
        pytest.param(["pyproject.toml"], 3, id="the-ini-file"),
        pytest.param(["pyproject.toml::test_gate[well-lives]"], 1, id="one-test"),
        pytest.param(["tests"], 0, id="another-folder"),
        pytest.param(["tests/test_other.py"], 0, id="another-file"),
    ],
)
def test_they_are_judged_where_the_ini_file_is_within_what_is_asked_for(project, arguments, count):
    """Who asks for one test file gets that alone."""
    (project.path / "pyproject.toml").write_text(TOML + 'testpaths = ["tests"]\n')
    (project.path / "tests").mkdir()
    (project.path / "tests" / "test_other.py").write_text("def test_other():\n    pass\n")
    found = ids(project("--collect-only", "-q", *arguments))
    assert len([one for one in found if one.startswith("pyproject.toml")]) == count


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("mine:wel", "Did you mean 'well'?"),
        ("nime:well", 'set `pythonpath = ["."]`'),
        ("apx", "Did you mean 'apex'?"),
        (":well", "Name the module first."),
    ],
)
def test_a_typo_is_one_line_when_tests_are_collected(project, name, says):
    """It names the ini option, and what may have been meant."""
    project.ini(INI.replace("mine:make_other", name))
    done = project()
    assert done.ret == pytest.ExitCode.INTERRUPTED
    (line,) = [line for line in done.outlines if line.startswith("flatline_subjects: ")]
    assert says in line
    assert "Traceback" not in done.stdout.str()


def test_without_an_ini_file_there_is_nothing_to_call_the_tests(project):
    """An override alone has no file that ids could begin with."""
    done = project("-o", "flatline_subjects=mine:well")
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    assert "flatline_subjects are given without an ini file" in done.stderr.str()
