"""What a normaliser does to a model of one series: cells worked on, side by side or one by one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from rich.table import Table

from flatline.data.panel import Panel
from flatline.data.series_features import FEATURE_SETS
from flatline.errors import ArtifactError, SettingsError
from flatline.evaluation.experiment import prepare
from flatline.evaluation.jobs import Died, run_processes
from flatline.evaluation.series.cells import (
    NORMALISERS,
    cell_path,
    cells_of,
    data_hash,
    read_cell,
    settings_of,
    work_cells,
)
from flatline.evaluation.series.report import (
    PeriodFigures,
    drift_table,
    period_figures,
    skill_table,
)
from flatline.evaluation.series.scores import Cell, Finished, check_series
from flatline.evaluation.work_folder import held
from flatline.section import nearest
from flatline.settings import Settings

__all__ = ["NormaliserReport", "compare_normalisers"]


@dataclass(frozen=True, slots=True)
class NormaliserReport:
    """The comparison of normalisers.

    Args:
        folder: Where its cells lie.
        worked: Cells that were worked on now; the others were there.
        figures: By feature set, normaliser, model, period and horizon.
    """

    folder: Path
    worked: int
    figures: tuple[PeriodFigures, ...]

    def tables(self) -> list[Table]:
        """Two tables per feature set, as rich prints them."""
        sets = dict.fromkeys(one.features for one in self.figures)
        return [make(self.figures, name) for name in sets for make in (skill_table, drift_table)]

    def as_data(self) -> dict[str, Any]:
        """The comparison as plain data, ready for JSON."""
        return {"folder": str(self.folder), "figures": [one.as_data() for one in self.figures]}


def compare_normalisers(
    settings: Settings,
    folder: Path,
    *,
    features: Sequence[str] = ("level", "ratio"),
    normalisers: Sequence[str] = NORMALISERS,
    seeds: int = 5,
    learners: bool = True,
    jobs: int = 1,
    later: str | None = None,
    on_stage: Callable[..., None] = lambda *_: None,
) -> NormaliserReport:
    """Train a model of one series under each normaliser, beside reference learners.

    Args:
        settings: What to train: a series, and a model whose loss is `bce`. Their normaliser,
            feature set and seed give way to those compared.
        folder: Of the cells; those that are there and fit settings and data are not trained
            again.
        features: Feature sets to compare.
        normalisers: Normalisers to compare.
        seeds: Of each model: 0, 1, ...
        learners: Also fit logistic regression and random forest on the same features.
        jobs: Processes at a time, of one thread each.
        later: First date of a part of the test days that is reported apart.
        on_stage: Called with what is being done and the share that is done, for progress.

    Raises:
        SettingsError: The settings are not of a series, or a name or number makes no sense.
        DataError: The prices cannot be used.
        ArtifactError: A process died, or another one works in the folder.
        KeyboardInterrupt: Somebody interrupted; the same call goes on.
    """
    check_series(settings)
    _check_names("features", features, tuple(FEATURE_SETS))
    _check_names("normaliser", normalisers, NORMALISERS)
    if seeds < 1 or jobs < 1:
        raise SettingsError(f"seeds is {seeds} and jobs is {jobs}, expected at least 1 each.")
    asked = cells_of(
        settings, features=features, normalisers=normalisers, seeds=seeds, learners=learners
    )
    with held(folder):
        data = {}
        for name in dict.fromkeys(features):
            on_stage(f"reading the series: {name} features")
            example = next(cell for cell in asked if cell.features == name)
            panel = prepare(settings_of(settings, example)).panel
            _check_later(later, panel)
            data[name] = data_hash(panel)
        paths = {cell: cell_path(folder, settings, cell, data[cell.features]) for cell in asked}
        missing = [cell for cell in asked if read_cell(paths[cell], cell) is None]
        _work(settings, folder, missing, paths, jobs=jobs, on_stage=on_stage)
        on_stage("comparing", 1.0)
        finished = [_finished(paths[cell], cell) for cell in asked]
    figures = period_figures(finished, later=later)
    return NormaliserReport(folder, len(missing), tuple(figures))


def _work(
    settings: Settings,
    folder: Path,
    missing: Sequence[Cell],
    paths: dict[Cell, Path],
    *,
    jobs: int,
    on_stage: Callable[..., None],
) -> None:
    """The seeds of each model and normaliser in a process, so many at a time."""
    groups: dict[tuple[str, str, str], list[Cell]] = {}
    for cell in missing:
        groups.setdefault((cell.features, cell.normaliser, cell.model), []).append(cell)
    tasks = [
        (settings, folder, cells, [paths[cell].name for cell in cells]) for cells in groups.values()
    ]
    begun = 0

    def began(_position: int, stage: str) -> None:
        nonlocal begun
        on_stage(f"{begun + 1} of {len(missing)}: {stage}", begun / len(missing))
        begun += 1

    def ended(position: int, answer: Died | None) -> None:
        if isinstance(answer, Died):
            raise ArtifactError(
                f"{tasks[position][2][0]} gave no result, expected one: {answer} "
                "Look at what it said, and run the same command again."
            )

    # One thread each: sums of floats then do not depend on the number of processes.
    run_processes(work_cells, tasks, jobs=jobs, threads=1, on_done=ended, on_stage=began)


def _finished(path: Path, cell: Cell) -> Finished:
    found = read_cell(path, cell)
    if found is None:
        raise ArtifactError(
            f"{path} cannot be read, expected what {cell} came to. Run the same command again."
        )
    return found


def _check_names(what: str, given: Sequence[str], known: Sequence[str]) -> None:
    for name in given:
        if name not in known:
            raise SettingsError(
                f"{what} is {name!r}, expected one of {', '.join(known)}. {nearest(name, known)}"
            )
    if not given:
        raise SettingsError(f"{what} is empty, expected some of {', '.join(known)}. Name one.")


def _check_later(later: str | None, panel: Panel) -> None:
    if later is None:
        return
    try:
        first = date.fromisoformat(later)
    except ValueError as error:
        raise SettingsError(
            f"later is {later!r}, expected a date such as 2024-01-01. Write year, month and day."
        ) from error
    last = panel.dates[-1].astype(date)
    if first > last:
        raise SettingsError(f"later is {later}, expected a test day up to {last}. Choose another.")
