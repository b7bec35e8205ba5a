"""Walk-forward: retrain over windows that follow each other, judge all test days together."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from flatline.errors import SettingsError
from flatline.evaluation.jobs import Died, run_processes, share_of_cores
from flatline.evaluation.walkforward.plan import Plan, Window, open_plan
from flatline.evaluation.walkforward.report import Report, make_report, window_table, write_windows
from flatline.evaluation.walkforward.results import Row, dead_row
from flatline.evaluation.walkforward.window import run_window, settled_row
from flatline.evaluation.work_folder import held
from flatline.settings import Settings

log = logging.getLogger(__name__)

__all__ = ["WalkForward", "run_walk_forward"]


@dataclass(frozen=True, slots=True, eq=False)
class WalkForward:
    """What a walk-forward came to.

    Args:
        folder: Where everything lies.
        rows: One per window.
        report: The figures over all test days; None where no window has finished.
    """

    folder: Path
    rows: tuple[Row, ...]
    report: Report | None

    @property
    def dead(self) -> bool:
        """True where a window has no predictions."""
        return any(row.status != "finished" for row in self.rows)

    def tables(self) -> list[Table]:
        """The outcome as rich prints it."""
        return [window_table(self.rows), *(self.report.tables() if self.report else ())]

    def as_data(self) -> dict[str, Any]:
        """The outcome as plain data, ready for JSON."""
        return {
            "folder": str(self.folder),
            "windows": [asdict(row) for row in self.rows],
            "pooled": None if self.report is None else self.report.as_data(),
        }


def run_walk_forward(
    settings: Settings,
    folder: Path,
    *,
    jobs: int = 1,
    most_windows: int | None = None,
    learners: bool = True,
    cost: float = 0.001,
    on_stage: Callable[[str, float | None], None] = lambda _what, _done: None,
) -> WalkForward:
    """Retrain on every window, or go on where an earlier call was ended.

    Args:
        settings: What to train; `data.windows` says on which days.
        folder: Where it lies; new, empty, or of a walk-forward with these settings and data.
        jobs: Windows at a time, each in a process of its own.
        most_windows: Only the first ones; None for all.
        learners: Also fit the reference learners on each window.
        cost: Of each unit of value that the books trade, as a fraction.
        on_stage: Called with what is being done, and the share of the windows that is.

    Raises:
        SettingsError: Too few days for a window, or the folder holds another walk-forward.
        DataError: The prices cannot be used.
        ArtifactError: The folder holds something else, or another process works in it.
        KeyboardInterrupt: Somebody interrupted; the same call goes on.
    """
    if jobs < 1 or (most_windows is not None and most_windows < 1):
        raise SettingsError(f"jobs is {jobs} and windows is {most_windows}, expected at least 1.")
    with held(folder):
        plan = open_plan(
            settings,
            folder,
            threads=share_of_cores(jobs),
            on_stage=lambda stage: on_stage(stage, None),
        )
        windows = plan.windows[:most_windows]
        if settings.data.series is not None and learners:
            learners = False
            log.warning(
                "[walkforward] a single series has no cross-section: the reference learners, IC "
                "and books are left out; see `flatline normalisers`"
            )
        if plan.work.threads > share_of_cores(jobs):
            log.warning(
                "[walkforward] jobs=%d threads=%d more than there are cores; the threads are those "
                "it began with, so that the sums stay the same",
                jobs,
                plan.work.threads,
            )
        rows: dict[int, Row] = {}

        def done(row: Row) -> None:
            rows[row.window] = row
            log.info("[walkforward] %s", _line(row))
            write_windows(plan, sorted(rows.values(), key=lambda r: r.window))

        _work(plan, windows, jobs=jobs, learners=learners, on_stage=on_stage, done=done)
        found = tuple(rows[window.number] for window in windows)
        on_stage("comparing", None)
        report = make_report(plan, found, learners=learners, cost=cost)
    return WalkForward(folder, found, report)


def _work(
    plan: Plan,
    windows: Sequence[Window],
    *,
    jobs: int,
    learners: bool,
    on_stage: Callable[[str, float], None],
    done: Callable[[Row], None],
) -> None:
    """Run the windows, each in a process of its own.

    Also where there is one at a time: nothing of a window reaches the next, and the
    sums do not depend on the number of jobs.
    """
    count, left = 0, list[Window]()

    def staged(position: int, stage: str) -> None:
        number = left[position].number
        on_stage(f"window {number} of {len(windows)}: {stage}", count / len(windows))

    def answered(position: int, answer: Row | Died) -> None:
        nonlocal count
        count += 1
        if isinstance(answer, Died):
            answer = dead_row(left[position], "killed", str(answer))
        done(answer)

    on_stage("looking at what is there", 0.0)
    for window in windows:
        row = settled_row(plan, window, learners=learners)
        if row is None:
            left.append(window)
        else:
            count += 1
            done(row)
    run_processes(
        _in_process,
        [(plan, window, learners) for window in left],
        jobs=jobs,
        threads=plan.work.threads,
        on_done=answered,
        on_stage=staged,
    )


def _line(row: Row) -> str:
    """A finished window as a line of the log."""
    facts = {
        "window": row.window,
        "status": row.status,
        "test": f"{row.test_from}..{row.test_until}",
        "rank_ic": None if row.rank_ic is None else f"{row.rank_ic:.4f}",
        "s_per_epoch": None if row.seconds_per_epoch is None else f"{row.seconds_per_epoch:.1f}",
        "flat": ",".join(row.flat) or None,
    }
    return " ".join(f"{name}={value}" for name, value in facts.items() if value is not None)


def _in_process(
    plan: Plan, window: Window, learners: bool, *, on_stage: Callable[[str], None]
) -> Row:
    training = window.settings.training.model_copy(update={"progress": False})
    quiet = window.settings.model_copy(update={"training": training})
    return run_window(plan, Window(window.number, quiet), learners=learners, on_stage=on_stage)
