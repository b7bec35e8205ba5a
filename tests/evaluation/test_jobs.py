"""Processes side by side: what they answer, how they end, and that none is left behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from evaluation import tasks
from flatline.evaluation.jobs import Died, run_processes, share_of_cores


def run(work, given, *, jobs=2):
    """Answers and stages by position."""
    answers, stages = {}, {}
    run_processes(
        work,
        given,
        jobs=jobs,
        threads=1,
        on_done=answers.__setitem__,
        on_stage=stages.__setitem__,
    )
    return answers, stages


def test_every_task_is_answered_with_its_own_threads():
    """Answers and stages come with the position of their task; the environment is left alone."""
    before = dict(os.environ)
    answers, stages = run(tasks.double, [(1,), (2,), (3,)])
    assert answers == {0: (2, "1"), 1: (4, "1"), 2: (6, "1")}
    assert stages == {0: "doubling 1", 1: "doubling 2", 2: "doubling 3"}
    assert dict(os.environ) == before


@pytest.mark.parametrize(
    ("work", "how"),
    [(tasks.die, "its process ended with signal SIGKILL."), (tasks.leave, "exit code 3")],
)
def test_a_process_that_dies_is_an_answer(work, how):
    """It says how; the others are not touched."""
    answers, _ = run(work, [(1,)])
    assert isinstance(answers[0], Died)
    assert how in str(answers[0])


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_no_process_outlives_the_one_that_started_it(tmp_path, how):
    """Neither where that is interrupted, nor where it is killed and can do nothing."""
    file = tmp_path / "pid"
    code = (
        "import signal\n"
        "from evaluation import tasks\n"
        "from flatline.evaluation.jobs import run_processes\n"
        # What a shell starts in the background is told to ignore interrupts.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "if __name__ == '__main__':\n"
        f"    run_processes(tasks.wait_long, [(0, {str(file)!r})], jobs=1, threads=1,\n"
        "                  on_done=lambda position, answer: None)\n"
    )
    script = tmp_path / "start.py"
    script.write_text(code)
    path = os.pathsep.join([str(Path(tasks.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    started = subprocess.Popen(  # noqa: S603
        [sys.executable, str(script)],
        env={**os.environ, "PYTHONPATH": path},
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + 60
    while not (file.exists() and file.read_text()):
        assert time.monotonic() < deadline, "the process never started"
        time.sleep(0.05)
    started.send_signal(how)
    started.wait(30)
    child = int(file.read_text())
    while time.monotonic() < deadline and _lives(child):
        time.sleep(0.05)
    assert not _lives(child)


def _lives(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    # One that has ended and that nobody has asked about yet is no longer there.
    return state != "Z"


@pytest.mark.parametrize(("variable", "jobs", "share"), [("8", 2, 4), ("1", 4, 1), ("6", 4, 1)])
def test_jobs_share_the_cores_they_are_given(monkeypatch, variable, jobs, share):
    """Whole threads, at least one each."""
    monkeypatch.setenv("OMP_NUM_THREADS", variable)
    assert share_of_cores(jobs) == share
