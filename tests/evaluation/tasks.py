"""What the processes of the tests of jobs do; in a module of its own, so that they can find it."""

import os
import signal
import time
from pathlib import Path


def double(number, *, on_stage):
    """Twice the number, a stage before it, and the threads that the process was given."""
    on_stage(f"doubling {number}")
    return 2 * number, os.environ["OMP_NUM_THREADS"]


def die(number, *, on_stage):
    """Ends the process as the system does where memory runs out."""
    os.kill(os.getpid(), signal.SIGKILL)


def leave(number, *, on_stage):
    """Ends the process with a code."""
    os._exit(3)


def wait_long(number, file, *, on_stage):
    """Says who it is, and works for a minute."""
    Path(file).write_text(str(os.getpid()))
    time.sleep(60)


def in_process(work, tasks, *, jobs, threads, on_done, on_stage=lambda _position, _stage: None):
    """As `run_processes`, without processes."""
    for position, task in enumerate(tasks):
        on_done(position, work(*task, on_stage=lambda stage, p=position: on_stage(p, stage)))
