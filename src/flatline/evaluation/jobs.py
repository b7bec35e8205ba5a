"""Tasks side by side: a fresh process for each, so many at a time.

Processes are spawned, never forked: a fork after threads have started may hang.
Each has its own number of threads, so that they do not fight for the cores. No
torch is imported here, because its threads are counted when it starts.
"""

from __future__ import annotations

import logging
import multiprocessing as mp
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from flatline.training.safe_mode import THREAD_VARIABLES

__all__ = ["Died", "run_processes", "share_of_cores"]

# Seconds that a process has to end by itself after an interrupt.
GRACE = 10.0


class Died(Exception):  # noqa: N818 (an outcome, never raised)
    """A process ended without an answer; the text says how."""


def share_of_cores(jobs: int) -> int:
    """Threads for each of some jobs on this machine, at least one.

    Where OMP_NUM_THREADS is set, that is all the threads there are to share.
    """
    given = os.environ.get("OMP_NUM_THREADS", "")
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    return max(1, (int(given) if given.isdigit() else cores) // jobs)


def run_processes(
    work: Callable[..., Any],
    tasks: Sequence[tuple[Any, ...]],
    *,
    jobs: int,
    threads: int,
    on_done: Callable[[int, Any], None],
    on_stage: Callable[[int, str], None] = lambda _position, _stage: None,
) -> None:
    """Do all tasks, *jobs* at a time, each in a process of its own.

    Args:
        work: A function of a module, called with the parts of a task and `on_stage`.
        tasks: What to call it with.
        jobs: Processes at a time.
        threads: Threads of each process.
        on_done: Called with the position of a task and what *work* returned, or a
            `Died` where its process ended without an answer.
        on_stage: Called with the position of a task and what it is at.

    Raises:
        KeyboardInterrupt: Somebody interrupted; the processes have been ended.
    """
    waiting = list(enumerate(tasks))[::-1]
    running: dict[Any, tuple[int, BaseProcess]] = {}
    context = mp.get_context("spawn")
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                position, task = waiting.pop()
                receiver, sender = context.Pipe(duplex=False)
                process: BaseProcess = context.Process(
                    target=_process, args=(sender, threads, work, task)
                )
                with _thread_variables(threads):
                    process.start()
                sender.close()
                running[receiver] = (position, process)
            for ready in wait(list(running)):
                position, process = running[ready]
                stage, answer = _message(process, ready)
                if stage is not None:
                    on_stage(position, stage)
                    continue
                del running[ready]
                process.join()
                on_done(position, answer)
    finally:
        _end([process for _, process in running.values()])


def _message(process: BaseProcess, receiver: Any) -> tuple[str | None, Any]:  # noqa: ANN401
    """What a process is at; or None and its answer."""
    try:
        message: tuple[str | None, Any] = receiver.recv()
    except EOFError:
        process.join()
        code = process.exitcode or 0
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        return None, Died(f"its process ended with {how}.")
    return message


def _end(processes: Sequence[BaseProcess]) -> None:
    """Interrupt what still runs; end by force what does not listen."""
    for process in processes:
        if process.pid is not None and process.is_alive():
            os.kill(process.pid, signal.SIGINT)
    for process in processes:
        process.join(GRACE)
        if process.is_alive():
            process.kill()
            process.join()


def _process(sender: Connection, threads: int, work: Callable[..., Any], task: Any) -> None:  # noqa: ANN401
    """What runs in a process."""
    threading.Thread(target=_follow_parent, daemon=True).start()
    log = logging.getLogger("flatline")
    log.addHandler(logging.StreamHandler())
    log.setLevel(logging.INFO)
    try:
        import torch  # noqa: PLC0415 (with the threads it was given)

        # First of all: later, after other libraries, sums may come out another way.
        torch.set_num_threads(threads)
        answer = work(*task, on_stage=lambda stage: sender.send((stage, None)))
        sender.send((None, answer))
    except KeyboardInterrupt:
        sys.exit(130)


def _follow_parent() -> None:
    """End with the parent, however that ends: nobody would collect the answer."""
    parent = mp.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


@contextmanager
def _thread_variables(threads: int) -> Iterator[None]:
    """The variables that numeric libraries read when they start, for processes started inside."""
    before = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(threads)))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
