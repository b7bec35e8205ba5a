"""The backtest of a run: what its scores would have earned on the test days, beside benchmarks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from rich.table import Table

from flatline.data.panel import Panel
from flatline.errors import ArtifactError, DataError, SettingsError
from flatline.evaluation.backtest_tables import figure_table, sector_table, year_table
from flatline.evaluation.books import BookRules, KeptBook, figures_of, keep_books
from flatline.evaluation.learners import naive_composite
from flatline.evaluation.run import open_run, predict_test
from flatline.metrics.portfolio_sharpe import sharpe_difference

__all__ = ["BacktestReport", "backtest_frames", "backtest_run"]

KEYS = ("date", "code", "horizon")
UNIVERSE = "universe"


@dataclass(frozen=True, slots=True, eq=False)
class BacktestReport:
    """What several forecasts would have earned over the same days.

    Args:
        rules: How they were traded; the universe is held in equal parts at the same times.
        figures: A row per forecast and horizon: forecast, the columns of `figures_of`, and
            for all but the first forecast ahead, ahead_low and ahead_high: the first one's
            Sharpe ratio less this one's, net.
        years: A row per forecast, horizon and calendar year: net, gross (returns, as
            fractions of capital), days.
        sectors: A row per forecast, horizon and sector: mean_net, mean_gross (fractions of
            capital, over the days the book is open), largest_net and the date it was on.
        daily: A row per forecast, horizon and day: net, gross, turnover.
    """

    rules: BookRules
    figures: pl.DataFrame
    years: pl.DataFrame
    sectors: pl.DataFrame
    daily: pl.DataFrame

    def tables(self) -> list[Table]:
        """The report as rich prints it."""
        shown = [figure_table(self.figures, self.rules), year_table(self.years)]
        if len(self.sectors):
            shown.append(sector_table(self.sectors))
        return shown

    def as_data(self) -> dict[str, Any]:
        """The report as plain data, ready for JSON; without the daily rows."""
        sectors = self.sectors.with_columns(pl.col("on").cast(pl.String))
        return {
            "rules": asdict(self.rules),
            "figures": self.figures.to_dicts(),
            "years": self.years.to_dicts(),
            "sectors": sectors.to_dicts(),
        }


def backtest_run(
    run_dir: Path,
    *,
    predictions: Path | None = None,
    prices: tuple[str, ...] = (),
    horizon: int | None = None,
    rules: BookRules | None = None,
    seed: int = 0,
    on_stage: Callable[[str], None] = lambda _: None,
) -> BacktestReport:
    """Trade the scores of a run's test days, beside the naive composite and the universe.

    Args:
        run_dir: Folder of the run.
        predictions: Trade the scores of this Parquet file instead of the model's, with the
            run's prices; it needs the columns date, code, horizon and score.
        prices: Where the run's price files are now, if not where they were.
        horizon: Trade the scores of this horizon alone; None for each.
        rules: How to trade.
        seed: Of the resampling for the intervals.
        on_stage: Called with the name of each stage as it begins, for progress.

    Raises:
        ArtifactError: The folder holds no finished run, its prices are others now, or the
            file cannot be read.
        DataError: The file lacks a column, or has rows that the prices lack.
        SettingsError: No score has this horizon.
    """
    # First, because opening the run takes long.
    given = None if predictions is None else read_predictions(predictions)
    experiment, model = open_run(run_dir, prices=prices, on_stage=on_stage)
    on_stage("scoring the test days")
    scored = predict_test(experiment, model) if given is None else given
    horizons = sorted(scored["horizon"].unique().to_list())
    if horizon is not None:
        if horizon not in horizons:
            raise SettingsError(
                f"horizon is {horizon}, expected one of {horizons}. Give one that was scored."
            )
        scored = scored.filter(pl.col("horizon") == horizon)
    on_stage("trading")
    panel = experiment.panel
    days = np.searchsorted(panel.dates, scored["date"].unique().sort().to_numpy())
    name = experiment.settings.model.name if predictions is None else predictions.stem
    frames = {name: scored}
    if (days < len(panel.dates)).all():
        frames["naive composite"] = naive_composite(panel, days)
    return backtest_frames(frames, panel, rules=rules, seed=seed)


def read_predictions(path: Path) -> pl.DataFrame:
    """Scores from a Parquet file: date, code, horizon and score.

    Raises:
        ArtifactError: It cannot be read.
        DataError: It lacks a column.
    """
    try:
        frame = pl.read_parquet(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise ArtifactError(
            f"predictions are {path}, expected a Parquet file that can be read. Give one that "
            "`flatline train` or `flatline walkforward` has written."
        ) from error
    missing = [name for name in (*KEYS, "score") if name not in frame.columns]
    if missing:
        raise DataError(
            f"columns {missing} are missing from {path}, which has {frame.columns}. Give one row "
            "for each date, code and horizon."
        )
    kinds = {"date": pl.Date, "code": pl.String, "horizon": pl.Int64, "score": pl.Float64}
    return frame.select(pl.col(name).cast(kind) for name, kind in kinds.items())


def backtest_frames(
    frames: Mapping[str, pl.DataFrame],
    panel: Panel,
    *,
    rules: BookRules | None = None,
    seed: int = 0,
) -> BacktestReport:
    """Trade several forecasts on the rows of the first, beside the universe in equal parts.

    Args:
        frames: As `predict` gives them, by name; the first is compared with each other one.
        panel: Dates, codes, daily returns and, if it has them, sectors.
        rules: How to trade.
        seed: Of the resampling for the intervals.

    Raises:
        DataError: There is no row, or one that the panel lacks.
    """
    rules = rules or BookRules()
    first = next(iter(frames.values()))
    keys = first.select(pl.col("date"), pl.col("code"), pl.col("horizon").cast(pl.Int64))
    kept: dict[str, list[KeptBook]] = {}
    for name, frame in frames.items():
        rows = frame.with_columns(pl.col("horizon").cast(pl.Int64))
        kept[name] = keep_books(rows.join(keys, on=KEYS, how="semi"), panel, rules)
    scored = first.filter(pl.col("score").is_not_null() & pl.col("score").is_not_nan())
    market = replace(rules, book="universe", top=None)
    kept[UNIVERSE] = keep_books(scored, panel, market)
    return _report(kept, rules, seed)


def _report(kept: Mapping[str, list[KeptBook]], rules: BookRules, seed: int) -> BacktestReport:
    leaders = {book.horizon: book for book in next(iter(kept.values()))}
    figures: list[dict[str, Any]] = []
    sectors: list[dict[str, Any]] = []
    years, daily = [], []
    for name, books in kept.items():
        for book in books:
            who = {"forecast": name, "horizon": book.horizon}
            ahead = _ahead(leaders[book.horizon], book, seed=seed)
            figures.append(who | figures_of(book, seed=seed) | ahead)
            days = _days(book)
            years.append(_years(days).select(**_fixed(who), **_all("year", "net", "gross", "days")))
            daily.append(days.select(**_fixed(who), **_all("date", "net", "gross", "turnover")))
            sectors.extend(who | row for row in _sectors(book))
    table = pl.DataFrame(figures, infer_schema_length=None)
    # By horizon, and within it in the order in which the forecasts were given.
    return BacktestReport(
        rules,
        table.sort("horizon", maintain_order=True),
        pl.concat(years).sort("horizon", maintain_order=True),
        pl.DataFrame(sectors, schema=SECTORS).sort("horizon", maintain_order=True),
        pl.concat(daily).sort("horizon", maintain_order=True),
    )


SECTORS = {
    "forecast": pl.String,
    "horizon": pl.Int64,
    "sector": pl.String,
    "mean_net": pl.Float64,
    "mean_gross": pl.Float64,
    "largest_net": pl.Float64,
    "on": pl.Date,
}


def _fixed(who: Mapping[str, Any]) -> dict[str, pl.Expr]:
    return {name: pl.lit(value) for name, value in who.items()}


def _all(*names: str) -> dict[str, pl.Expr]:
    return {name: pl.col(name) for name in names}


def _days(book: KeptBook) -> pl.DataFrame:
    """The days on which the book is open."""
    found = book.result
    columns = {"net": found.net, "gross": found.gross, "turnover": found.turnover}
    frame = pl.DataFrame({"date": book.dates, **columns}, schema_overrides={"date": pl.Date})
    return frame.slice(found.first)


def _years(days: pl.DataFrame) -> pl.DataFrame:
    by_year = days.group_by(pl.col("date").dt.year().alias("year"), maintain_order=True)
    return by_year.agg(pl.col("net").sum(), pl.col("gross").sum(), pl.len().alias("days"))


def _sectors(book: KeptBook) -> list[dict[str, Any]]:
    """Exposure to each sector that was ever held, the largest first."""
    if book.exposure is None or not book.result.days:
        return []
    net, gross = (x[book.result.first :] for x in (book.exposure.net, book.exposure.gross))
    dates, most = book.dates[book.result.first :], np.abs(net).argmax(0)
    mean = gross.mean(0)
    return [
        {
            "sector": book.sectors[k],
            "mean_net": float(net[:, k].mean()),
            "mean_gross": float(mean[k]),
            "largest_net": float(net[most[k], k]),
            "on": dates[most[k]].item(),
        }
        for k in np.argsort(-mean, kind="stable")
        if mean[k] > 0
    ]


def _ahead(leader: KeptBook, book: KeptBook, *, seed: int) -> dict[str, float | None]:
    """The leader's Sharpe ratio less the book's, over the days that both are open."""
    empty = dict.fromkeys(("ahead", "ahead_low", "ahead_high"))
    if book is leader or not leader.result.days or not book.result.days:
        return empty
    start = max(b.dates[b.result.first] for b in (leader, book))
    end = min(b.dates[-1] for b in (leader, book))
    series = [b.result.net[(b.dates >= start) & (b.dates <= end)] for b in (leader, book)]
    found = sharpe_difference(*series, seed=seed)
    return {"ahead": found.value, "ahead_low": found.low, "ahead_high": found.high}
