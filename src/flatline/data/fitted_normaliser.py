"""What a normaliser learned from the train days, and its use on whole panels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from flatline.data.panel import Panel
from flatline.data.ways import MEASURED, apply_ways
from flatline.errors import ArtifactError, DataError, SettingsError

__all__ = ["FittedNormaliser", "check_raw", "check_two_stocks"]

FORMAT = 1


@dataclass(frozen=True, slots=True, eq=False)
class FittedNormaliser:
    """What a normaliser learned from the train days.

    Args:
        name: Name of the normaliser.
        clip: Distances are cut off here, in standard deviations.
        window: Days of a rolling window, the newest included.
        feature_names: Columns it was fitted on, in order.
        ways: How each column is rescaled.
        centre: Taken off each column; 0 where its way needs none. Shape (features,), float64.
        scale: Unit of each column; 0 where its way needs none, or where the
            train days have no spread (such a column becomes 0). Shape (features,), float64.
        first_day: First train date.
        last_day: Last train date.
        days: Number of train days.
    """

    name: str
    clip: float
    window: int
    feature_names: tuple[str, ...]
    ways: tuple[str, ...]
    centre: NDArray[np.float64]
    scale: NDArray[np.float64]
    first_day: str
    last_day: str
    days: int

    @property
    def without_spread(self) -> tuple[str, ...]:
        """Columns that did not move on the train days and therefore become 0."""
        needs = np.isin(self.ways, MEASURED)
        return tuple(np.array(self.feature_names)[needs & (self.scale == 0.0)].tolist())

    @property
    def day_level(self) -> tuple[str, ...]:
        """Columns that a within-day normaliser standardises over days instead."""
        if not self.name.startswith("day_"):
            return ()
        return tuple(np.array(self.feature_names)[np.array(self.ways) == "zscore"].tolist())

    def apply(
        self, panel: Panel, *, overwrite: bool = False, memory_map: Path | None = None
    ) -> Panel:
        """The panel with normalised features; unknown values stay NaN.

        Args:
            panel: Raw features, in the columns and order fitted on.
            overwrite: Reuse the panel's own memory instead of taking as much
                again; the panel handed in is then normalised too.
            memory_map: New .npy file to hold the result instead of memory.

        Raises:
            DataError: The panel is normalised already, its columns differ, it
                has one stock a day where stocks of a day are compared, or its
                memory cannot be written to.
            SettingsError: Both *overwrite* and *memory_map* are given.
        """
        self._check_apply(panel)
        if self.name == "raw":
            return panel
        if overwrite and memory_map is not None:
            raise SettingsError(
                f"memory_map is {memory_map} with overwrite, expected one of the two. Drop one."
            )
        if overwrite and not panel.features.flags.writeable:
            raise DataError(
                "features is read-only, expected memory that can be overwritten. "
                "Load the panel with memory_map=False, or give memory_map a new file."
            )
        target: NDArray[np.float32]
        if overwrite:
            target = panel.features
        elif memory_map is not None:
            target = np.lib.format.open_memmap(
                memory_map, mode="w+", dtype=np.float32, shape=panel.features.shape
            )
        else:
            target = np.empty_like(panel.features, subok=False)
        apply_ways(
            panel,
            target,
            ways=self.ways,
            centre=self.centre,
            scale=self.scale,
            clip=self.clip,
            window=self.window,
        )
        return panel.with_features(target, self.feature_names, normaliser=self.name)

    def state(self) -> dict[str, Any]:
        """All of it as plain values that JSON can hold; floats survive exactly."""
        return {
            "format": FORMAT,
            "name": self.name,
            "clip": self.clip,
            "window": self.window,
            "feature_names": list(self.feature_names),
            "ways": list(self.ways),
            "centre": self.centre.tolist(),
            "scale": self.scale.tolist(),
            "first_day": self.first_day,
            "last_day": self.last_day,
            "days": self.days,
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Self:
        """The normaliser that `state` was taken of.

        Raises:
            ArtifactError: The state is of another format, or incomplete.
        """
        if state.get("format") != FORMAT:
            raise ArtifactError(
                f"normaliser format is {state.get('format')!r}, expected {FORMAT}. Fit it again."
            )
        try:
            fitted = cls(
                name=str(state["name"]),
                clip=float(state["clip"]),
                window=int(state["window"]),
                feature_names=tuple(state["feature_names"]),
                ways=tuple(state["ways"]),
                centre=np.array(state["centre"], dtype=np.float64),
                scale=np.array(state["scale"], dtype=np.float64),
                first_day=str(state["first_day"]),
                last_day=str(state["last_day"]),
                days=int(state["days"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ArtifactError(
                f"normaliser state has keys {sorted(state)}, expected those that state() gives. "
                "Fit it again."
            ) from error
        shape = (len(fitted.feature_names),)
        if not (len(fitted.ways),) == fitted.centre.shape == fitted.scale.shape == shape:
            raise ArtifactError(
                f"normaliser state has {len(fitted.ways)} ways, {fitted.centre.size} centres and "
                f"{fitted.scale.size} scales, expected {shape[0]} each, one per feature. "
                "Fit it again."
            )
        return fitted

    def _check_apply(self, panel: Panel) -> None:
        check_raw(panel)
        if panel.feature_names != self.feature_names:
            raise DataError(_first_difference(self.feature_names, panel.feature_names))
        if self.name.startswith("day_"):
            check_two_stocks(self.name, panel.present)


def check_raw(panel: Panel) -> None:
    """Refuse a panel that went through a normaliser already.

    Raises:
        DataError: It did; a second one would measure the first one's output.
    """
    if panel.normaliser != "raw":
        raise DataError(
            f"panel is normalised by {panel.normaliser}, expected raw features. "
            "Build the panel again, or leave its own memory alone (overwrite=False)."
        )


def check_two_stocks(name: str, present: NDArray[np.bool_]) -> None:
    """Refuse days that hold one stock each: there is nobody to compare it with.

    Raises:
        DataError: No day has two stocks.
    """
    most = int(np.count_nonzero(present, axis=1).max(initial=0))
    if most < 2:
        raise DataError(
            f"stocks a day is {most} at most, expected at least 2 for {name}, which compares the "
            "stocks of a day. Use zscore or rolling for a single series."
        )


def _first_difference(fitted: tuple[str, ...], given: tuple[str, ...]) -> str:
    pairs = zip_longest(given, fitted, fillvalue="missing")
    position, (found, wanted) = next((i, p) for i, p in enumerate(pairs) if p[0] != p[1])
    return (
        f"feature {position} is {found}, expected {wanted} as in the train days. "
        "Give the panel the columns, and their order, that the normaliser was fitted on."
    )
