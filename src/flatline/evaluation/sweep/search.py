"""Search over settings: many short trainings on one panel, compared on their validation days."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
from rich.table import Table

from flatline.errors import SettingsError
from flatline.evaluation.comparable import comparable
from flatline.evaluation.jobs import run_processes, share_of_cores
from flatline.evaluation.sweep.space import Space
from flatline.evaluation.sweep.trial import BASE, TrialTask, open_study, run_trial
from flatline.evaluation.toml import settings_as_toml
from flatline.evaluation.work_folder import WorkFolder, held, open_folder
from flatline.files import replacing, write_text
from flatline.settings import Settings
from flatline.training.settings import RunSettings

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial

__all__ = ["Sweep", "TrialRow", "run_sweep"]

log = logging.getLogger(__name__)
SHOWN = 12


@dataclass(frozen=True, slots=True)
class TrialRow:
    """What became of a trial.

    Args:
        number: From 0 on.
        status: `complete`, `pruned`, `degenerate` (flat scores), `failed` or `killed`.
        value: What trials are compared on, see `sweep_trial.objective`; None without one.
        values: Of the settings that vary.
        flat: Kinds of flat met on the validation days.
        reason: What went wrong, a sentence; empty where nothing did.
        seconds: Of training.
        best_epoch: From 0 on.
        run: Its run folder.
    """

    number: int
    status: str
    value: float | None
    values: Mapping[str, Any]
    flat: tuple[str, ...]
    reason: str
    seconds: float | None
    best_epoch: int | None
    run: str | None


@dataclass(frozen=True, slots=True, eq=False)
class Sweep:
    """What a sweep came to.

    Args:
        folder: Where everything lies.
        rows: One per trial.
        best: The complete trial with the highest value; None without one.
        best_file: Settings that `flatline train --settings` accepts; None without a best.
    """

    folder: Path
    rows: tuple[TrialRow, ...]
    best: TrialRow | None
    best_file: Path | None

    def table(self) -> Table:
        """The best trials, and all that went wrong, as rich prints them."""
        ordered = sorted(self.rows, key=lambda r: (-(r.value or 0.0), r.value is None, r.number))
        sound = [row for row in ordered if row.status == "complete"]
        others = [row for row in self.rows if row.status not in {"complete", "pruned"}]
        pruned = sum(row.status == "pruned" for row in self.rows)
        title = f"{len(self.rows)} trials: {len(sound)} complete, {pruned} pruned"
        table = Table(title=f"{title}, {len(others)} without a score", title_justify="left")
        table.add_column("trial", justify="right")
        table.add_column("validation score", justify="right")
        for name in self.rows[0].values if self.rows else ():
            table.add_column(name, justify="right")
        table.add_column("status")
        for row in (*sound[:SHOWN], *others[:SHOWN]):
            flat = f": {', '.join(row.flat)}" if row.flat and row.status == "degenerate" else ""
            value = "-" if row.value is None else f"{row.value:.4f}"
            settings = (_cell(row.values.get(name)) for name in self.rows[0].values)
            table.add_row(str(row.number), value, *settings, row.status + flat)
        return table

    def as_data(self) -> dict[str, Any]:
        """The outcome as plain data, ready for JSON."""
        return {
            "folder": str(self.folder),
            "best": None if self.best is None else asdict(self.best),
            "trials": [asdict(row) for row in self.rows],
        }


def run_sweep(
    settings: Settings,
    space: Space,
    folder: Path,
    *,
    trials: int,
    jobs: int = 1,
    pruner: str = "median",
    storage: str | None = None,
    on_stage: Callable[[str, float | None], None] = lambda _what, _done: None,
) -> Sweep:
    """Run trials until there are so many, those of earlier calls included.

    Args:
        settings: What is fixed.
        space: What varies.
        folder: Where it lies; new, empty, or of a sweep with these settings, space and data.
        trials: Trials that are to have ended in all; killed ones do not count.
        jobs: Trials at a time, each in a process of its own.
        pruner: `median` ends a trial that is below the median of the others at its epoch;
            `hyperband`, or `none`.
        storage: URL of another database; None for `sweep.db` in the folder.
        on_stage: Called with what is being done, and the share of the trials that is.

    Raises:
        SettingsError: optuna is missing, the folder or the storage holds another sweep, or
            the space changes what trials are compared on.
        DataError: The prices cannot be used.
        ArtifactError: The folder holds something else, or another process works in it.
        KeyboardInterrupt: Somebody interrupted; the same call goes on.
    """
    if trials < 1 or jobs < 1:
        raise SettingsError(f"trials is {trials} and jobs is {jobs}, expected at least 1.")
    _check_comparable(settings, space)
    url = storage or f"sqlite:///{(folder / 'sweep.db').resolve()}"
    quiet = settings.training.model_copy(update={"progress": False, "tensorboard": False})
    base = settings.model_copy(update={"training": quiet, "run": RunSettings()})
    seed = settings.training.seed
    with held(folder):
        work = open_folder(
            base,
            folder,
            work="sweep",
            threads=share_of_cores(jobs),
            further={"space": space.as_data(), "pruner": pruner},
            on_stage=lambda stage: on_stage(stage, None),
        )
        write_text(folder / BASE, json.dumps(base.model_dump(mode="json"), indent=1) + "\n")
        study = open_study(url, pruner=pruner, seed=seed)
        _check_own(study, url, work, base, space)
        if storage is None:
            # Nobody else works here: what runs has been killed.
            _take_up_killed(study)
        ended = sum(row.status != "killed" for row in _rows(study))
        first, left = len(study.trials), max(0, trials - ended)
        tasks = [(TrialTask(work, space, url, pruner, seed + first + k),) for k in range(left)]

        def done(position: int, answer: object) -> None:
            del position
            nonlocal ended
            ended += isinstance(answer, int)
            on_stage(f"{ended} of {trials} trials", ended / trials)
            if isinstance(answer, int):
                log.info("[sweep] %s", _line(_row(study.trials[answer])))

        on_stage(f"{ended} of {trials} trials", ended / trials)
        run_processes(run_trial, tasks, jobs=jobs, threads=work.threads, on_done=done)
        if storage is None:
            _take_up_killed(study)
        return _outcome(settings, space, folder, study)


def _check_comparable(settings: Settings, space: Space) -> None:
    """Refuse to compare losses of different kinds: trials on a single series are by theirs."""
    varied = [one.name for one in space.dimensions if one.name.startswith("loss.")]
    if settings.data.series is not None and varied:
        raise SettingsError(
            f"{varied[0]} is to vary, expected it fixed: on a single series trials are compared on "
            "their loss. Drop it from the space."
        )


def _check_own(study: Study, url: str, work: WorkFolder, base: Settings, space: Space) -> None:
    """Refuse the trials of other settings, space or data: they may lie in a shared database."""
    facts = [comparable(base), space.as_data(), work.data]
    now = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]
    found = study.user_attrs.get("work")
    if found is None:
        study.set_user_attr("work", now)
    elif found != now:
        raise SettingsError(
            f"storage {url!r} holds a sweep with fingerprint {found}, expected {now} as of this "
            "one's settings, space and data. Give another database, or leave --storage out."
        )


def _take_up_killed(study: Study) -> None:
    """Mark trials that nobody works on any more, and have their values drawn again."""
    from optuna.trial import TrialState  # noqa: PLC0415 (an extra)

    for trial in study.get_trials(states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)
    again = {trial.user_attrs.get("again") for trial in study.trials}
    for row in _rows(study):
        if row.status == "killed" and row.number not in again:
            params = study.trials[row.number].params
            study.enqueue_trial(params, user_attrs={"again": row.number})


def _rows(study: Study) -> list[TrialRow]:
    return [_row(trial) for trial in study.trials if trial.state.is_finished()]


def _row(trial: FrozenTrial) -> TrialRow:
    facts = trial.user_attrs
    complete = facts.get("status") == "complete"
    return TrialRow(
        number=trial.number,
        # Every other end leaves a word.
        status=str(facts.get("status", "killed")),
        value=trial.value if complete else None,
        values={name: _value(value) for name, value in trial.params.items()},
        flat=tuple(facts.get("flat", ())),
        reason=str(facts.get("reason", "")),
        seconds=facts.get("seconds"),
        best_epoch=facts.get("best_epoch"),
        run=facts.get("run"),
    )


def _value(value: object) -> object:
    """Choices are kept as JSON texts."""
    return json.loads(value) if isinstance(value, str) else value


def _outcome(settings: Settings, space: Space, folder: Path, study: Study) -> Sweep:
    rows = tuple(_rows(study))
    with replacing(folder / "trials.csv") as partial:
        pl.DataFrame(list(map(_columns, rows)), infer_schema_length=None).write_csv(partial)
    whole = [row for row in rows if row.status == "complete" and row.value is not None]
    best = max(whole, key=lambda row: row.value or 0.0, default=None)
    if best is None:
        return Sweep(folder, rows, None, None)
    chosen = space.settings(folder / BASE, best.values, environ={})
    shown = {name: getattr(settings.training, name) for name in ("progress", "tensorboard")}
    chosen = chosen.model_copy(update={"training": chosen.training.model_copy(update=shown)})
    file = folder / "best.toml"
    heading = (
        f"Trial {best.number}, the best of {len(rows)}: validation score {best.value:.4f}, which "
        "flatters it, as the best of many."
    )
    write_text(file, settings_as_toml(chosen, heading=heading))
    return Sweep(folder, rows, best, file)


def _columns(row: TrialRow) -> dict[str, Any]:
    """A trial as a line of a CSV: a column for each setting that varies."""
    facts = {name: value for name, value in asdict(row).items() if name != "values"}
    values = {k: _cell(v) if isinstance(v, list) else v for k, v in row.values.items()}
    return facts | {"flat": ", ".join(row.flat)} | values


def _line(row: TrialRow) -> str:
    value = "-" if row.value is None else f"{row.value:.4f}"
    values = " ".join(f"{name}={_cell(v)}" for name, v in row.values.items())
    return f"trial={row.number} status={row.status} score={value} {values}"


def _cell(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
