"""What a walk-forward is to do: its folder and its windows.

Beside what every `WorkFolder` holds there are `windows/` (a run folder each) and
`results/` (what each came to).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from flatline.data.panel import Panel
from flatline.data.settings import SplitSettings, WindowSettings
from flatline.data.splits import walk_forward
from flatline.evaluation.work_folder import WorkFolder, open_folder
from flatline.settings import Settings
from flatline.training.settings import RunSettings

__all__ = ["Plan", "Window", "open_plan", "windows_of"]


@dataclass(frozen=True, slots=True)
class Window:
    """One retraining.

    Args:
        number: From 1 on, in the order of time.
        settings: The whole tree, with the dates of this window as `data.split`: `flatline
            train` with it gives the same run.
    """

    number: int
    settings: Settings


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """A walk-forward that is ready to be worked on. Build it with `open_plan`.

    Args:
        work: Its folder.
        model: Name of the model.
        windows: In the order of time.
    """

    work: WorkFolder
    model: str
    windows: tuple[Window, ...]

    @property
    def folder(self) -> Path:
        """Where everything lies."""
        return self.work.path


def open_plan(
    settings: Settings,
    folder: Path,
    *,
    threads: int,
    on_stage: Callable[[str], None] = lambda _: None,
) -> Plan:
    """Begin a walk-forward in a new folder, or take up the one that is there.

    Args:
        settings: What to do; `data.windows` says on which days.
        folder: Where; new, empty, or of a walk-forward with these settings and data.
        threads: Of each process, where the walk-forward is new.
        on_stage: Called with the name of each stage as it begins, for progress.

    Raises:
        ArtifactError: The folder holds something else, or is damaged.
        SettingsError: It holds a walk-forward with other settings or data, or the
            panel has too few days for a window.
        DataError: The prices cannot be used.
    """
    work = open_folder(
        settings,
        folder,
        work="walkforward",
        threads=threads,
        free=("data.split.",),
        on_stage=on_stage,
    )
    windows = tuple(windows_of(work.raw().panel, settings))
    return Plan(work, str(settings.model.name), windows)


def windows_of(panel: Panel, settings: Settings) -> Iterator[Window]:
    """The windows of a panel, each with the dates of its parts as settings.

    Raises:
        SettingsError: A window has too few days.
    """
    asked = settings.data.windows
    folds = walk_forward(panel, **{n: getattr(asked, n) for n in WindowSettings.model_fields})
    for number, fold in enumerate(folds, start=1):
        # Purging takes days off the ends only: the first day of each part is its bound.
        first = [str(panel.dates[part[0]]) for part in (fold.train, fold.valid, fold.test)]
        split = SplitSettings(
            train_from=first[0],
            valid_from=first[1],
            test_from=first[2],
            test_until=str(panel.dates[fold.test[-1]]),
            embargo=asked.embargo,
        )
        data = settings.data.model_copy(update={"split": split, "windows": WindowSettings()})
        yield Window(number, settings.model_copy(update={"data": data, "run": RunSettings()}))
