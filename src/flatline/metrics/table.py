"""The table per horizon: from a frame of scores to figures, intervals and a picture of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import polars as pl
from rich.table import Table

from flatline.errors import DataError
from flatline.metrics.bootstrap import bootstrap_mean
from flatline.metrics.daily import METRICS, Why, daily_metrics
from flatline.metrics.forecast import Naive, forecast_figures, quantile_coverage
from flatline.metrics.null import rank_ic_null

__all__ = ["render", "summarise"]

REQUIRED = ("date", "horizon", "score", "target")
QUANTILE = re.compile(r"^(?:q|quantile_)(0?\.\d+)$")
# What the picture shows, in this order: column of the table, heading, format.
SHOWN = (
    ("days", "days", ",d"),
    ("undefined_days", "undefined", "d"),
    ("ic", "IC", ".3f"),
    ("rank_ic", "RankIC", ".3f"),
    ("icir", "ICIR", ".2f"),
    ("hit_rate", "hit rate", ".3f"),
    ("tile_spread", "top - bottom tenth", ".3f"),
    ("yhat_std", "yhat_std", ".6f"),
    ("scale", "SCALE(yhat/y)", ".3f"),
    ("r2", "R2", ".4f"),
    ("mae", "MAE", ".5f"),
    ("rmse", "RMSE", ".5f"),
    ("naive_rmse", "naive RMSE", ".5f"),
    ("sharpe", "Sharpe, net", ".2f"),
    ("sharpe_gross", "Sharpe, gross", ".2f"),
    ("annual_return", "return a year, net", ".3f"),
    ("turnover", "turnover a day", ".3f"),
    ("drawdown", "drawdown", ".3f"),
)


def summarise(
    frame: pl.DataFrame,
    *,
    min_names: int = 5,
    tiles: int = 10,
    naive: Naive = "zero",
    level: float = 0.95,
    false_alarm_rate: float = 0.001,
    draws: int = 2000,
    seed: int = 0,
) -> pl.DataFrame:
    """The figures of every horizon of a frame of scores, one row each.

    Args:
        frame: Columns date, horizon (trading days), score and target, one row for each
            stock, day and horizon. A null score is a stock that was not forecast: it is
            left out and counted. A NaN score is a fault: its day is undefined. Columns
            named like q0.05 are quantiles of that level.
        min_names: Days with fewer labelled stocks are undefined.
        tiles: Tiles of the spread.
        naive: The forecast to beat; see `forecast_figures`.
        level: Coverage of the confidence intervals.
        false_alarm_rate: Rate at which noise reaches `rank_ic_floor`, by the RankIC's null
            with the horizon's overlap.
        draws: Resampled means of an interval.
        seed: Seed of the resampling.

    Returns:
        One row per horizon, ascending: the fields of `ForecastFigures`; hit_rate and
        tile_spread; for ic, rank_ic, hit_rate and tile_spread the ends `_low` and `_high`
        of the interval; rank_ic_floor; undefined_<reason> days; unscored rows; for each
        quantile coverage_<level>; crossing, the share of rows on which quantiles cross.
        What is undefined is null.

    Raises:
        DataError: A column is missing, or no row has a score.

    Example:
        >>> score = np.random.default_rng(0).standard_normal(200)
        >>> days = pl.Series(np.repeat(np.arange(10), 20)).cast(pl.Date)
        >>> frame = pl.DataFrame({"date": days, "score": score, "target": score})
        >>> summarise(frame.with_columns(horizon=1)).select("horizon", "rank_ic", "slope")
        shape: (1, 3)
        ┌─────────┬─────────┬───────┐
        │ horizon ┆ rank_ic ┆ slope │
        │ ---     ┆ ---     ┆ ---   │
        │ i64     ┆ f64     ┆ f64   │
        ╞═════════╪═════════╪═══════╡
        │ 1       ┆ 1.0     ┆ 1.0   │
        └─────────┴─────────┴───────┘
    """
    missing = [name for name in REQUIRED if name not in frame.columns]
    if missing:
        raise DataError(
            f"columns {missing} are missing from the frame, which has {frame.columns}. Give one "
            "row for each stock, day and horizon."
        )
    if frame["score"].null_count() == len(frame):
        raise DataError(f"none of {len(frame)} rows has a score, expected at least one.")
    found = (QUANTILE.match(name) for name in frame.columns)
    levels = sorted((float(match[1]), match[0]) for match in found if match)
    rows = []
    for part in frame.partition_by("horizon"):
        one = _Horizon(part, min_names=min_names, tiles=tiles)
        rows.append(
            {
                **one.figures(naive),
                **one.intervals(level=level, draws=draws, seed=seed),
                "rank_ic_floor": one.floor(false_alarm_rate),
                **one.undefined(),
                "unscored": part["score"].null_count(),
                **one.quantiles(levels),
            }
        )
    # Every row is looked at for the type: the first may be null where the next is not.
    return pl.DataFrame(rows, infer_schema_length=None).sort("horizon")


class _Horizon:
    """The rows of one horizon and their daily metrics."""

    def __init__(self, part: pl.DataFrame, *, min_names: int, tiles: int) -> None:
        self.frame = part.filter(pl.col("score").is_not_null())
        self.horizon = int(part["horizon"][0])
        self.min_names = min_names
        # A horizon without any score keeps its row, with nothing known in it.
        rows = self.frame if len(self.frame) else part.with_columns(target=None)
        self.day = rows["date"].to_physical().to_numpy()
        self.score, self.target = (
            rows[name].cast(pl.Float64).fill_null(np.nan).to_numpy() for name in ("score", "target")
        )
        self.daily = daily_metrics(
            self.score, self.target, self.day, min_names=min_names, tiles=tiles
        )

    def figures(self, naive: Naive) -> dict[str, object]:
        (row,) = forecast_figures(
            self.score,
            self.target,
            self.day,
            horizons=[self.horizon],
            naive=naive,
            min_names=self.min_names,
            result=self.daily,
        )
        return asdict(row)

    def intervals(self, *, level: float, draws: int, seed: int) -> dict[str, object]:
        found: dict[str, object] = {}
        for name in METRICS:
            per_day = getattr(self.daily, name).value[:, 0]
            interval = bootstrap_mean(
                per_day, horizon=self.horizon, level=level, draws=draws, seed=seed
            )
            found |= {
                name: interval.mean,
                f"{name}_low": interval.low,
                f"{name}_high": interval.high,
            }
        return found

    def floor(self, false_alarm_rate: float) -> float | None:
        metric = self.daily.rank_ic
        names = metric.names[metric.defined]
        if names.size == 0:
            return None
        return rank_ic_null(names.size, names, horizon=self.horizon).floor(false_alarm_rate)

    def undefined(self) -> dict[str, object]:
        reasons = self.daily.rank_ic.reasons()
        kinds = [why.name.lower() for why in Why if why != Why.DEFINED]
        return {f"undefined_{kind}": reasons.get(kind, [0])[0] for kind in kinds}

    def quantiles(self, levels: Sequence[tuple[float, str]]) -> dict[str, object]:
        if not levels or self.frame.is_empty():
            return {f"coverage_{level:g}": None for level, _ in levels}
        columns = self.frame.select(pl.col(name).cast(pl.Float64) for _, name in levels)
        found = quantile_coverage(
            columns.fill_null(np.nan).to_numpy(),
            self.target,
            self.day,
            levels=[level for level, _ in levels],
        )
        shares = zip(levels, found.observed[0], strict=True)
        row: dict[str, object] = {
            f"coverage_{level:g}": _known(share) for (level, _), share in shares
        }
        return row | {"crossing": _known(found.crossing[0])}


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def render(table: pl.DataFrame, *, title: str = "by horizon") -> Table:
    """The table as rich prints it: a figure a line, a column per horizon.

    A figure that is undefined shows as a dash.

    Args:
        table: As `summarise` gives it, with or without the figures of a book.
        title: Above the table.

    Example:
        >>> days = pl.Series(np.repeat(np.arange(3), 6)).cast(pl.Date)
        >>> x = np.tile(np.arange(6.0), 3)
        >>> frame = pl.DataFrame({"date": days, "horizon": 1, "score": x, "target": x})
        >>> picture = render(summarise(frame, tiles=3))
        >>> [column.header for column in picture.columns]
        ['', 'h = 1']
    """
    picture = Table(title=title, title_justify="left")
    picture.add_column("", no_wrap=True)
    rows = list(table.iter_rows(named=True))
    for row in rows:
        picture.add_column(f"h = {row['horizon']}", justify="right", no_wrap=True)
    for name, heading, style in SHOWN:
        if name in table.columns:
            picture.add_row(heading, *(_cell(row, name, style) for row in rows))
    picture.add_row("calibration", *map(_calibration, rows))
    for name in table.columns:
        if name.startswith(("coverage_", "crossing")):
            picture.add_row(
                name.replace("coverage_", "below q"), *(_cell(r, name, ".3f") for r in rows)
            )
    return picture


def _calibration(row: dict[str, Any]) -> str:
    known = row["intercept"] is not None and row["slope"] is not None
    return f"{row['intercept']:.4f} + {row['slope']:.3f} yhat" if known else "-"


def _cell(row: dict[str, Any], name: str, style: str) -> str:
    if row[name] is None:
        return "-"
    text = format(row[name], style)
    low, high = row.get(f"{name}_low"), row.get(f"{name}_high")
    return text if low is None or high is None else f"{text} [{low:{style}}, {high:{style}}]"
