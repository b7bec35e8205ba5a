"""What a command shows in the terminal: figures, one-line messages, log lines, progress."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console

__all__ = ["err", "log_lines", "out", "progress", "say"]

# Figures go to standard output, progress and errors beside it. A file or a pipe
# has no width of its own: give the tables what they need.
out = Console(width=None if sys.stdout.isatty() else 120)
err = Console(stderr=True)


def say(message: str) -> None:
    """One line on standard error, however long."""
    err.print(f"flatline: {message}", style="red", markup=False, highlight=False, soft_wrap=True)


class LogLines(logging.Handler):
    """Log lines on standard error as it is at the moment: a progress bar puts itself in between."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line, tag first, so that it can be grepped."""
        sys.stderr.write(f"{self.format(record)}\n")


@contextmanager
def log_lines() -> Iterator[None]:
    """What the library says about a training is shown, whatever the level of other loggers."""
    logger, lines = logging.getLogger("flatline"), LogLines()
    level = logger.level
    logger.addHandler(lines)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(lines)
        logger.setLevel(level)


@contextmanager
def progress(first: str) -> Iterator[Any]:
    """A line on standard error that says what is being done, and how far it is."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415

    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True) as bar:
        task = bar.add_task(first, total=None)

        def show(what: str, done: float | None = None) -> None:
            bar.update(task, description=what, total=None if done is None else 1.0, completed=done)

        yield show
