"""Normalisers: fitted on train days only, saved with the model, applied to whole panels.

A normaliser gives each feature column one *way* of being rescaled, chosen and
measured on the train days (`Normaliser.fit`), and then used unchanged on every
other day (`FittedNormaliser.apply`). Unknown values stay NaN; a value that is
not finite counts as unknown. Distances are winsorised at +-*clip*.

| name | what it does |
|---|---|
| raw | nothing |
| zscore | less the train mean, over the train standard deviation |
| percent_change | levels: change from the day before, as a fraction, z-scored; the rest: zscore |
| rolling | z-score within the stock's own last *window* days, the day itself included |
| bounded | squashed to [-1, 1] between two train quantiles |
| hybrid | bounded columns as they are, levels by percent change, the rest rolling |
| day_zscore | z-score across the stocks of the day |
| day_rank | rank across the stocks of the day, between -1 and 1 |

A *level* is a column whose train values are all positive, unless named. A
*bounded* column lies within [-1, 1] on all train days and fills that range (a
standard deviation of at least 0.1; a daily return does not).

Within a day, a column that all stocks share (the state of the index) has no
spread and would vanish. `day_zscore` and `day_rank` find the columns that are
equal across stocks on every train day, and z-score those over the train days.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flatline.data.fitted_normaliser import FittedNormaliser, check_raw, check_two_stocks
from flatline.data.panel import Panel
from flatline.data.train_statistics import (
    change_moments,
    day_level_moments,
    extremes,
    quantiles,
    row_moments,
    shared_within_days,
)
from flatline.data.ways import MEASURED
from flatline.errors import DataError, SettingsError

__all__ = ["NORMALISERS", "FittedNormaliser", "Normaliser", "make_normaliser"]

# Name: the options that change what it does.
NORMALISERS: Mapping[str, frozenset[str]] = {
    "raw": frozenset(),
    "zscore": frozenset({"clip"}),
    "percent_change": frozenset({"clip", "levels"}),
    "rolling": frozenset({"clip", "window"}),
    "bounded": frozenset({"quantile"}),
    "hybrid": frozenset({"clip", "levels", "window"}),
    "day_zscore": frozenset({"clip"}),
    "day_rank": frozenset({"clip"}),
}
# The least standard deviation of a column that fills [-1, 1].
FILLS_RANGE = 0.1


@dataclass(frozen=True, slots=True)
class Normaliser:
    """A way to normalise, not yet fitted. Build it with `make_normaliser`.

    Args:
        name: One of `NORMALISERS`.
        clip: Distances are cut off here, in standard deviations.
        window: Days of a rolling window, the newest included.
        quantile: Share of the train rows cut off at either end by `bounded`.
        levels: Columns to take the percent change of; all positive ones if None.
    """

    name: str = "day_zscore"
    clip: float = 5.0
    window: int = 60
    quantile: float = 0.005
    levels: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if self.name not in NORMALISERS:
            raise SettingsError(
                f"normaliser is {self.name!r}, expected one of {', '.join(NORMALISERS)}. "
                "Choose one of them."
            )
        rules = {
            "clip": (self.clip > 0, "a positive number of standard deviations"),
            "window": (self.window >= 2, "at least 2 days"),
            "quantile": (0.0 <= self.quantile < 0.5, "a share from 0 to below 0.5"),
        }
        for option, (holds, rule) in rules.items():
            if not holds:
                raise SettingsError(
                    f"{option} is {getattr(self, option)}, expected {rule}. Choose another."
                )

    def fit(self, panel: Panel, days: NDArray[np.integer]) -> FittedNormaliser:
        """Measure the train days, and nothing else.

        Args:
            panel: Raw features.
            days: Positions of the train days. Shape (days,), integer.

        Raises:
            DataError: The panel is normalised already, a named level is no
                column, no train day is given, or no train day has two stocks
                for a normaliser that compares the stocks of a day.
        """
        train = self._check_fit(panel, days)
        columns = len(panel.feature_names)
        ways = np.full(columns, "keep", dtype="<U16")
        centre, scale = np.zeros(columns), np.zeros(columns)
        match self.name:
            case "zscore":
                ways[:] = "zscore"
                centre, scale = row_moments(panel, train)
            case "bounded":
                ways[:] = "squash"
                low, high = quantiles(panel, train, self.quantile)
                centre, scale = (low + high) / 2, (high - low) / 2
            case "rolling":
                ways[:] = "rolling"
            case "percent_change" | "hybrid":
                ways, centre, scale = self._fit_levels(panel, train)
            case "day_zscore" | "day_rank":
                shared = shared_within_days(panel, train)
                ways[:] = np.where(shared, "zscore", self.name)
                if shared.any():
                    centre, scale = day_level_moments(panel, train)
        measured = np.isin(ways, MEASURED)
        return FittedNormaliser(
            name=self.name,
            clip=self.clip,
            window=self.window,
            feature_names=panel.feature_names,
            ways=tuple(ways.tolist()),
            centre=np.where(measured, centre, 0.0),
            scale=np.where(measured, scale, 0.0),
            first_day=str(panel.dates[train[0]]),
            last_day=str(panel.dates[train[-1]]),
            days=len(train),
        )

    def _fit_levels(
        self, panel: Panel, train: NDArray[np.int64]
    ) -> tuple[NDArray[np.str_], NDArray[np.float64], NDArray[np.float64]]:
        """Ways, centre and scale where levels are told from other columns."""
        low, high = extremes(panel, train)
        centre, scale = row_moments(panel, train)
        level = low > 0.0
        if self.levels is not None:
            level = np.isin(panel.feature_names, self.levels)
        ways = np.full(len(level), "zscore" if self.name == "percent_change" else "rolling")
        ways = ways.astype("<U16")
        if self.name == "hybrid":
            bounded = (low >= -1.0) & (high <= 1.0) & (scale >= FILLS_RANGE)
            ways[bounded] = "keep"
            level = level & ~bounded if self.levels is None else level
        ways[level] = "percent_change"
        if level.any():
            change_centre, change_scale = change_moments(panel, train)
            centre, scale = np.where(level, (change_centre, change_scale), (centre, scale))
        return ways, centre, scale

    def _check_fit(self, panel: Panel, days: NDArray[np.integer]) -> NDArray[np.int64]:
        check_raw(panel)
        unknown = sorted(set(self.levels or ()) - set(panel.feature_names))
        if unknown:
            raise DataError(
                f"levels has {unknown[0]}, expected columns of the panel. "
                f"Choose among {', '.join(panel.feature_names)}."
            )
        train = np.unique(np.asarray(days, dtype=np.int64))
        if train.size == 0 or train[0] < 0 or train[-1] >= len(panel.dates):
            bounds = f"{train[0]} to {train[-1]}" if train.size else "empty"
            raise DataError(
                f"train days is {bounds}, expected positions from 0 to {len(panel.dates) - 1}. "
                "Take them from a Fold of this panel."
            )
        if not panel.present[train].any():
            raise DataError(
                f"rows on the {train.size} train days is 0, expected at least one. "
                "Choose days on which stocks are present."
            )
        if self.name.startswith("day_"):
            check_two_stocks(self.name, panel.present[train])
        return train


def make_normaliser(name: str = "day_zscore", **options: Any) -> Normaliser:  # noqa: ANN401 - the fields differ in type
    """The normaliser of that name.

    Args:
        name: One of `NORMALISERS`; the table at the top of this module says what each does.
        **options: Fields of `Normaliser` that change what this one does.

    Raises:
        SettingsError: The name is unknown, an option is out of range, or it
            would change nothing for this normaliser.

    Example:
        >>> make_normaliser("rolling", window=20).window
        20
    """
    useless = sorted(set(options) - NORMALISERS.get(name, options.keys()))
    if useless:
        choices = ", ".join(sorted(NORMALISERS[name])) or "none"
        raise SettingsError(
            f"option of {name} is {useless[0]}, expected one that changes it: {choices}. Drop it."
        )
    return Normaliser(name, **options)
