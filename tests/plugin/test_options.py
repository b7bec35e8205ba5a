"""Options of the command line, and their twins in the ini file."""

import pytest

pytest_plugins = ["pytester"]

INI = "[pytest]\nflatline_seed = 3\nflatline_steps = 7\nflatline_precision = bf16-mixed\n"


@pytest.mark.parametrize(
    ("ini", "options", "said"),
    [
        ("[pytest]\n", [], "seed 0, steps 200, device cpu, fp32"),
        (INI, [], "seed 3, steps 7, device cpu, bf16-mixed"),
        (INI, ["--flatline-seed=4"], "seed 4, steps 7, device cpu, bf16-mixed"),
        (INI, ["--flatline-precision", "fp32"], "seed 3, steps 7, device cpu, fp32"),
    ],
)
def test_the_command_line_comes_before_the_ini_file(project, ini, options, said):
    """The header says what is in force, and the training is done with it."""
    project.ini(ini)
    done = project(*options, "-k", "well-lives")
    assert f"flatline: {said}" in done.outlines
    seed, steps, precision = said.split()[1][:-1], said.split()[3][:-1], said.split()[-1]
    assert project.trainings() == [f"well {steps} {seed} {precision}"]


@pytest.mark.parametrize(
    ("option", "says"),
    [
        ("--flatline-seed=x", "flatline_seed is 'x', expected a whole number from 0 on."),
        ("--flatline-steps=0", "flatline_steps is '0', expected a whole number from 1 on."),
        ("--flatline-device=tpu", "flatline_device is 'tpu', expected cpu or cuda."),
        ("--flatline-precision=fp8", "flatline_precision is 'fp8', expected fp32 or bf16-mixed."),
    ],
)
def test_an_option_that_makes_no_sense_ends_the_run(project, option, says):
    """A usage error in one line, before anything is collected."""
    done = project(option)
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    assert says in done.stderr.str()
    assert "Traceback" not in done.stderr.str()


def test_the_options_stand_in_a_group_of_their_own(project):
    """With their twins, and the subjects, among the ini options."""
    text = project("--help").stdout.str()
    group = text.partition("flatline: a gate for return-prediction models:")[2]
    for option in ("seed", "steps", "device", "precision", "baseline-update"):
        assert f"--flatline-{option}" in group
    for option in ("seed", "steps", "device", "precision", "subjects"):
        assert f"flatline_{option} (" in group


@pytest.mark.parametrize(("more", "outcome"), [([], "skipped"), (["--require-gpu"], "failed")])
def test_without_a_device_a_check_on_cuda_skips_or_fails_as_asked(
    project, monkeypatch, more, outcome
):
    """Nothing passes that was not judged where it was asked for."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    done = project("--flatline-device", "cuda", *more, "-k", "well-lives")
    done.assert_outcomes(**{outcome: 1}, deselected=8)
    assert project.trainings() == []


BASELINE = """
import flatline.harness.suites.baseline as baseline

baseline.updated = lambda check, case: verdict(check.id, Status.PASS, "baseline written")
finding.CHECKS += (
    check("matches", alert, layer=Layer.BASELINE, cost=Cost.TRAINING, shares="smoke"),
)
"""


@pytest.mark.parametrize(
    ("options", "outcome"),
    [([], "FAILED"), (["--flatline-baseline-update"], "PASSED")],
)
def test_baselines_are_written_only_where_asked(project, options, outcome):
    """The option reaches the checks of that layer and no other."""
    with (project.path / "conftest.py").open("a") as file:
        file.write(BASELINE)
    shown = project("-k", "dead-matches or dead-alert", "-v", *options).stdout.str()
    assert f"test_others[dead-matches] {outcome}" in shown
    assert "test_others[dead-alert] FAILED" in shown
    assert ("baseline written" in shown) == bool(options)
