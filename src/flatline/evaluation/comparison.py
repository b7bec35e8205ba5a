"""Several forecasts of the same days side by side, with intervals and paired differences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray
from rich.table import Table

from flatline.data.panel import Panel
from flatline.errors import DataError
from flatline.evaluation.predict import positions
from flatline.evaluation.shown import with_ends
from flatline.metrics.bootstrap import Interval, bootstrap_mean, paired_difference
from flatline.metrics.daily import DailyMetric, daily_rank_ic
from flatline.metrics.residual import residualise

__all__ = ["EXPOSURES", "Compared", "compare", "comparison_table"]

# Known to order returns without any model: skill is reported beyond them too.
EXPOSURES = ("volatility_60", "log_turnover")
# Share of a day's variance below which a residual is rounding: single precision squared.
EXPLAINED = 1e-12


@dataclass(frozen=True, slots=True)
class Compared:
    """How one forecast did on one horizon, over the days it shares with the others.

    Args:
        name: Of the forecast.
        horizon: In trading days.
        rank_ic: Mean daily RankIC.
        beyond: The same for the scores less what volatility, size and sector explain.
        ahead: Mean daily RankIC of the first forecast less that of this one; None for
            the first itself.
        undefined_days: Days without a RankIC.
    """

    name: str
    horizon: int
    rank_ic: Interval
    beyond: Interval
    ahead: Interval | None
    undefined_days: int


def compare(frames: Mapping[str, pl.DataFrame], panel: Panel, *, seed: int = 0) -> list[Compared]:
    """RankIC of several forecasts on the rows that all of them scored.

    Args:
        frames: As `predict` gives them, by name; the first is compared with each other one.
        panel: Normalised features, for the exposures, and sectors.
        seed: Seed of the resampling.

    Returns:
        One entry per forecast and horizon, in the order given.

    Raises:
        DataError: No row is scored by all.
    """
    keys = ["date", "code", "horizon"]
    shared = None
    for name, frame in frames.items():
        scored = frame.select(*keys, "return", pl.col("score").alias(f"score {name}"))
        shared = scored if shared is None else shared.join(scored.drop("return"), on=keys)
    if shared is None or shared.is_empty():
        raise DataError("rows scored by all forecasts are 0, expected some. Score the same days.")
    found = []
    for (horizon,), part in shared.sort(keys).partition_by("horizon", as_dict=True).items():
        one = _Horizon(int(horizon), part, panel, seed)
        metrics = {name: one.rank_ic(name) for name in frames}
        first = next(iter(metrics.values()))
        for name, metric in metrics.items():
            found.append(
                Compared(
                    name=name,
                    horizon=one.horizon,
                    rank_ic=one.mean(metric),
                    beyond=one.mean(one.rank_ic(name, residual=True)),
                    ahead=None if metric is first else one.difference(first, metric),
                    undefined_days=int(metric.undefined_days[0]),
                )
            )
    return found


class _Horizon:
    """The shared rows of one horizon."""

    def __init__(self, horizon: int, rows: pl.DataFrame, panel: Panel, seed: int) -> None:
        self.horizon, self.rows, self.seed = horizon, rows, seed
        self.day, stock = positions(rows, panel)
        columns = [panel.feature_names.index(name) for name in EXPOSURES]
        self.exposures = panel.features[self.day, stock][:, columns]
        sector = panel.attributes.get("sector")
        self.sector = None if sector is None else sector.code[self.day, stock]
        self.target = _numbers(rows, "return")

    def rank_ic(self, name: str, *, residual: bool = False) -> DailyMetric:
        score = _numbers(self.rows, f"score {name}")
        if residual:
            left = residualise(score, self.day, exposures=self.exposures, group=self.sector)
            # What is left of a day that is explained whole is rounding, and has no ranks.
            whole = 1.0 - left.explained[:, 0] < EXPLAINED
            of_row = np.unique(self.day, return_inverse=True)[1]
            score = np.where(whole[of_row], 0.0, left.score[:, 0])
        return daily_rank_ic(score, self.target, self.day)

    def mean(self, metric: DailyMetric) -> Interval:
        return bootstrap_mean(metric.value[:, 0], horizon=self.horizon, seed=self.seed)

    def difference(self, a: DailyMetric, b: DailyMetric) -> Interval:
        first, second = a.value[:, 0], b.value[:, 0]
        return paired_difference(first, second, horizon=self.horizon, seed=self.seed)


def _numbers(rows: pl.DataFrame, name: str) -> NDArray[np.float64]:
    return rows[name].cast(pl.Float64).fill_null(np.nan).to_numpy()


def comparison_table(compared: list[Compared]) -> Table:
    """The comparison as rich prints it; intervals at 95 % by block bootstrap over days."""
    first = compared[0].name if compared else "first"
    table = Table(title="RankIC on the rows that all forecasts scored", title_justify="left")
    table.add_column("h", justify="right")
    table.add_column("forecast")
    for heading in ("RankIC", "beyond volatility, size, sector", f"{first} ahead by"):
        table.add_column(heading, justify="right", no_wrap=True)
    for k, one in enumerate(compared):
        last = k + 1 == len(compared) or compared[k + 1].horizon != one.horizon
        table.add_row(
            str(one.horizon),
            one.name,
            _shown(one.rank_ic),
            _shown(one.beyond),
            "" if one.ahead is None else _shown(one.ahead),
            end_section=last,
        )
    return table


def _shown(interval: Interval) -> str:
    return with_ends(interval.mean, interval.low, interval.high)
