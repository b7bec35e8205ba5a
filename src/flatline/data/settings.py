"""What the data of a run can be told: source, days, graph, batches.

No torch is imported here, so that a command line can print its help and choose
its threads before torch starts its pool.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self, get_args

from pydantic import Field, model_validator

from flatline.errors import DataError
from flatline.section import Section

__all__ = ["DataSettings", "GraphSettings", "SourceSettings", "SplitSettings", "WindowSettings"]

Positive = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(gt=0, lt=1)]
NormaliserName = Literal[
    "raw",
    "zscore",
    "percent_change",
    "rolling",
    "bounded",
    "hybrid",
    "day_zscore",
    "day_rank",
]
SignalName = Literal["newest", "pattern", "graph", "static"]


class SourceSettings(Section):
    """Where prices come from: files, or the embedded market.

    Args:
        prices: Files, folders or globs of daily bars; none of them for the embedded market.
        sectors: File with the sector of each code.
        index: File with the index series.
        index_code: Which index of that file.
        index_source: Which source of that index.
        universe: Stocks per day with the largest trailing turnover; None for all.
        market: Size of the embedded market: `tiny`, `small` or `large`.
        market_seed: Its seed.
        signals: Which of its planted signals are on: `newest`, `pattern`, `graph`, `static`.
        memory_map: Folder for arrays that are too large to be held in memory.
    """

    prices: tuple[str, ...] = ()
    sectors: Path | None = None
    index: Path | None = None
    index_code: str | None = None
    index_source: str | None = None
    universe: Positive | None = None
    market: Literal["tiny", "small", "large"] = "small"
    market_seed: Annotated[int, Field(ge=0)] = 0
    signals: tuple[SignalName, ...] = get_args(SignalName)
    memory_map: Path | None = None

    @model_validator(mode="after")
    def _each_counts(self) -> Self:
        files = bool(self.prices)
        self.refuse_idle(
            "sectors",
            "index",
            unless=files,
            because="the embedded market brings its own. Give prices, or drop it",
        )
        self.refuse_idle(
            "index_code",
            "index_source",
            unless=self.index is not None,
            because="there is no index file. Give index, or drop it",
        )
        self.refuse_idle(
            "market",
            "market_seed",
            "signals",
            unless=not files,
            because="prices are read from files. Drop it, or drop prices",
        )
        return self


class SplitSettings(Section):
    """Which days are learned from, chosen by and judged on; purged on label end.

    Args:
        train_from: First date to learn from, such as 2013-01-01.
        valid_from: First date of the validation days; takes the place of *valid*.
        test_from: First date of the test days; takes the place of *test*.
        test_until: Last date of the test days.
        valid: Share of the days that validate.
        test: Share of the days that test.
        embargo: Further days between the end of a label and the next part.
    """

    train_from: str | None = None
    valid_from: str | None = None
    test_from: str | None = None
    test_until: str | None = None
    valid: Share = 0.15
    test: Share = 0.15
    embargo: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _each_counts(self) -> Self:
        for share, date in (("valid", self.valid_from), ("test", self.test_from)):
            self.refuse_idle(
                share,
                unless=date is None,
                because=f"{share}_from is set and takes its place. Drop one of them",
            )
        return self


class WindowSettings(Section):
    """How a walk-forward cuts its windows, in trading days; purged on label end.

    Only `flatline walkforward` reads it, and then it takes the place of `data.split`.

    Args:
        train: Days before the validation days: the length of a rolling window, the
            least length of an expanding one.
        valid: Validation days of each window.
        test: Test days of each window.
        step: Days from one window to the next; *test* if None. Where test days
            overlap, the later window, whose model is fresher, counts.
        expanding: Train from the first day on, instead of on the last *train* days.
        embargo: Further days between the end of a label and the next part.
        test_from: First date to test, such as 2016-01-01; the earliest possible if None.
        test_until: Last date to test; the last there is if None.
    """

    train: Positive = 750
    valid: Positive = 125
    test: Positive = 250
    step: Positive | None = None
    expanding: bool = True
    embargo: Annotated[int, Field(ge=0)] = 0
    test_from: str | None = None
    test_until: str | None = None


class GraphSettings(Section):
    """Which stocks of a day are joined by edges.

    Args:
        enabled: Build edges at all.
        neighbours: Most correlated stocks that each stock listens to.
        same_sector: Most correlated stocks of its own sector; None lets the data decide.
        window: Trailing days of returns that correlations are taken over.
        rebuild_every: Days from one rebuild of the graph to the next.
    """

    enabled: bool = True
    neighbours: Annotated[int, Field(ge=0)] = 8
    same_sector: Annotated[int, Field(ge=0)] | None = None
    window: Annotated[int, Field(ge=3)] = 60
    rebuild_every: Positive = 5

    @model_validator(mode="after")
    def _each_counts(self) -> Self:
        self.refuse_idle(
            "neighbours",
            "same_sector",
            "window",
            "rebuild_every",
            unless=self.enabled,
            because="no graph is built. Enable it, or drop it",
        )
        return self


class SeriesSettings(Section):
    """One price series instead of a cross-section; its target is its highest close ahead.

    Args:
        code: Which code of the prices; None where they hold one.
        features: With the level of prices and volumes (`level`), or without it (`ratio`).
    """

    code: str | None = None
    features: Literal["level", "ratio"] = "ratio"


class DataSettings(Section):
    """From prices to batches.

    Args:
        source: Where prices come from.
        split: Which days are for what.
        windows: The same for each window of a walk-forward.
        graph: Which stocks are joined.
        series: A single series to learn from; None for all stocks of each day.
        horizons: Of the targets, in trading days.
        levels: Quantile levels to forecast, ascending; empty for none.
        lookback: Steps of a window, the day itself being the newest.
        normaliser: How features are normalised, fitted on the train days.
        target: Labels as returns (`raw`), or standardised across the stocks of
            a day (`zscore`, `rank`).
        batch_rows: Rows of a training batch. A day is never split, so a batch
            holds the whole days that come nearest to it, and at least one.
        max_stocks: Stocks of a day at most, drawn anew each epoch; None for all.
        min_present: Share of a window's steps on which a stock must be present.
        shuffle: Draw the order of the training days anew each epoch.
        seed: Of the order of the days and of the drawn stocks.
    """

    source: SourceSettings = SourceSettings()
    split: SplitSettings = SplitSettings()
    windows: WindowSettings = WindowSettings()
    graph: GraphSettings = GraphSettings()
    series: SeriesSettings | None = None
    horizons: Annotated[tuple[Positive, ...], Field(min_length=1)] = (1, 5, 10, 20)
    levels: tuple[Share, ...] = (0.05, 0.25, 0.5, 0.75, 0.95)
    lookback: Positive = 20
    normaliser: NormaliserName = "day_zscore"
    target: Literal["raw", "zscore", "rank"] = "zscore"
    batch_rows: Positive = 1000
    max_stocks: Positive | None = None
    min_present: Annotated[float, Field(ge=0, le=1)] = 0.5
    shuffle: bool = True
    seed: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _series_fits(self) -> Self:
        """A series has one row a day: nobody to be joined with, or measured against."""
        if self.series is None:
            return self
        alone = {
            "graph.enabled": (self.graph.enabled, False),
            "target": (self.target, "raw"),
            "levels": (self.levels, ()),
            "max_stocks": (self.max_stocks, None),
            "source.universe": (self.source.universe, None),
            "source.sectors": (self.source.sectors, None),
            "source.index": (self.source.index, None),
            "source.memory_map": (self.source.memory_map, None),
            "source.signals": (self.source.signals, SourceSettings().signals),
        }
        for name, (value, wanted) in alone.items():
            if value != wanted:
                raise ValueError(
                    f"{name} is {value!r} with series, expected {wanted!r} where each day has one "
                    "row. Set it so, or drop series."
                )
        if self.normaliser.startswith("day_"):
            raise ValueError(
                f"normaliser is {self.normaliser!r} with series, expected one that does not "
                "compare the stocks of a day. Choose zscore, rolling or another."
            )
        if self.series.code is not None and not self.source.prices:
            raise ValueError(
                f"series.code is {self.series.code!r} without prices, expected prices that hold "
                "it: the embedded series has one code. Give prices, or drop it."
            )
        return self

    def days_per_batch(self, rows_per_day: float) -> int:
        """Whole days in a batch of about *batch_rows* rows.

        Args:
            rows_per_day: Typical number of stocks of a train day, such as the
                median over the train days of `panel.present`. Where *max_stocks*
                is smaller, that counts.

        Raises:
            DataError: There are no rows.

        Example:
            >>> DataSettings(batch_rows=1000).days_per_batch(316)
            3
            >>> DataSettings(batch_rows=1000).days_per_batch(4000)
            1
        """
        if not rows_per_day > 0:
            raise DataError(
                f"rows per day is {rows_per_day}, expected more than 0. Give days with stocks."
            )
        rows = min(rows_per_day, self.max_stocks or rows_per_day)
        return max(1, round(self.batch_rows / rows))
