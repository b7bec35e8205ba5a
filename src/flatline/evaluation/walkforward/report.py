"""All test days of a walk-forward together: one file of predictions, figures beside references."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from rich import box
from rich.markup import escape
from rich.table import Table

from flatline.data.normalise import make_normaliser
from flatline.data.panel import Panel
from flatline.errors import ArtifactError
from flatline.evaluation.comparison import EXPOSURES, Compared, compare, comparison_table
from flatline.evaluation.pooled import Pooled, pool, pooled_tables
from flatline.evaluation.walkforward.plan import Plan
from flatline.evaluation.walkforward.results import MODEL, Row, results_of
from flatline.evaluation.walkforward.window import learner_names
from flatline.evaluation.work_folder import read_json
from flatline.files import replacing

__all__ = ["Report", "make_report", "stitch", "window_table", "write_windows"]

PREDICTIONS = "predictions.parquet"
KEYS = ["date", "code", "horizon"]


@dataclass(frozen=True, slots=True)
class Report:
    """Figures over all test days of all windows.

    Args:
        predictions: The stitched predictions of the model.
        pooled: Each forecast on each horizon, on the rows that all of them scored; empty
            for a single series.
        compared: RankIC beyond known exposures, and paired differences.
        missing_days: Test days of windows without predictions.
    """

    predictions: Path
    pooled: tuple[Pooled, ...]
    compared: tuple[Compared, ...]
    missing_days: int

    def tables(self) -> list[Table]:
        """The report as rich prints it."""
        if not self.pooled:
            return []
        compared = [comparison_table(list(self.compared))] if self.compared else []
        return [*pooled_tables(self.pooled, missing_days=self.missing_days), *compared]

    def as_data(self) -> dict[str, Any]:
        """The report as plain data, ready for JSON."""
        return {
            "predictions": str(self.predictions),
            "missing_days": self.missing_days,
            "figures": [asdict(one) for one in self.pooled],
            "compared": [asdict(one) for one in self.compared],
        }


def make_report(plan: Plan, rows: Sequence[Row], *, learners: bool, cost: float) -> Report | None:
    """Stitch the predictions and judge them; None where no window has any.

    Raises:
        ArtifactError: Predictions are missing, or are there twice.
    """
    whole = [row for row in rows if row.status == "finished"]
    if not whole:
        return None
    model = plan.model
    frames = {model: stitch(plan, whole, MODEL)}
    path = plan.folder / PREDICTIONS
    with replacing(path) as partial:
        frames[model].write_parquet(partial)
    taken = [row.seconds_per_epoch for row in whole if row.seconds_per_epoch is not None]
    seconds = {model: float(np.mean(taken))}
    for name in learner_names() if learners else ():
        frames[name] = stitch(plan, whole, name)
        records = [read_json(results_of(plan.folder, r.window) / "learners.json") for r in whole]
        seconds[name] = float(np.mean([record[name]["seconds"] for record in records]))
    panel = _exposed(plan.work.raw().panel)
    # One series has no cross-section to be ranked or traded in.
    several = len(panel.codes) > 1
    return Report(
        predictions=path,
        pooled=tuple(pool(frames, panel, seconds=seconds, cost=cost)) if several else (),
        compared=tuple(compare(frames, panel)) if several else (),
        missing_days=_missing_days(panel, rows, frames[model]),
    )


def stitch(plan: Plan, rows: Sequence[Row], name: str) -> pl.DataFrame:
    """The predictions of one forecast on all windows, none of them twice.

    Where the test days of two windows overlap, the later one counts: its model is fresher.

    Raises:
        ArtifactError: A file is missing, has days of another window, or has a row twice.
    """
    parts = []
    for row, later in zip(rows, [*rows[1:], None], strict=True):
        path = results_of(plan.folder, row.window) / f"{name}.parquet"
        try:
            part = pl.read_parquet(path)
        except (OSError, pl.exceptions.PolarsError) as error:
            raise ArtifactError(
                f"{path} cannot be read, expected the predictions of window {row.window}. "
                "Run the walk-forward again."
            ) from error
        first, last = (pl.lit(day).str.to_date() for day in (row.test_from, row.test_until))
        strange = part.filter(~pl.col("date").is_between(first, last))
        if not strange.is_empty():
            raise ArtifactError(
                f"{path} has a prediction of {strange['date'][0]}, expected test days of window "
                f"{row.window} only. Run the walk-forward again in another folder."
            )
        if later is not None:
            part = part.filter(pl.col("date") < pl.lit(later.test_from).str.to_date())
        parts.append(part.with_columns(window=pl.lit(row.window, pl.Int32)))
    frame = pl.concat(parts)
    twice = frame.height - frame.select(KEYS).n_unique()
    if twice:
        raise ArtifactError(
            f"rows of {name} that are there twice are {twice}, expected none: one score for each "
            "date, code and horizon. Run the walk-forward again in another folder."
        )
    return frame


def _exposed(panel: Panel) -> Panel:
    """The panel with the exposures alone, standardised across the stocks of each day."""
    names = tuple(name for name in EXPOSURES if name in panel.feature_names)
    columns = [panel.feature_names.index(name) for name in names]
    few = replace(panel, features=np.array(panel.features[:, :, columns]), feature_names=names)
    if len(panel.codes) < 2:
        return few
    # Nothing is learned from other days: each is standardised by itself.
    days = np.arange(len(panel.dates))
    return make_normaliser("day_zscore").fit(few, days).apply(few, overwrite=True)


def _missing_days(panel: Panel, rows: Sequence[Row], predicted: pl.DataFrame) -> int:
    """Test days of some window on which no score was stitched."""
    asked = np.zeros(len(panel.dates), bool)
    for row in rows:
        first, last = (np.datetime64(str(day), "D") for day in (row.test_from, row.test_until))
        asked |= (panel.dates >= first) & (panel.dates <= last)
    return int(np.setdiff1d(panel.dates[asked], predicted["date"].unique().to_numpy()).size)


def write_windows(plan: Plan, rows: Sequence[Row]) -> None:
    """The table of the windows as CSV, a column per figure and horizon."""
    flat = [_columns(asdict(row)) for row in rows]
    with replacing(plan.folder / "windows.csv") as partial:
        pl.DataFrame(flat, infer_schema_length=None).write_csv(partial)


def _columns(row: Mapping[str, Any]) -> dict[str, Any]:
    each = {
        f"{name}_{one['horizon']}": value
        for one in row["horizons"]
        for name, value in one.items()
        if name != "horizon"
    }
    return (
        {k: v for k, v in row.items() if k != "horizons"} | {"flat": ", ".join(row["flat"])} | each
    )


def window_table(rows: Sequence[Row]) -> Table:
    """One row a window, as rich prints it; what went wrong is told below."""
    headings = ("#", "test", "days", "steps", "s/epoch", "best", "IC", "RankIC", "ICIR", "undef.")
    table = Table(
        title="windows: train + validation + test days; figures averaged over the horizons",
        title_justify="left",
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    for heading in headings:
        table.add_column(heading, justify="left" if heading == "test" else "right", no_wrap=True)
    table.add_column("flat")
    table.add_column("status")
    for row in rows:
        days = (row.train_days, row.valid_days, row.test_days)
        table.add_row(
            str(row.window),
            f"{row.test_from} .. {row.test_until}",
            "-" if None in days else " + ".join(map(str, days)),
            _shown(row.steps, ",d"),
            _shown(row.seconds_per_epoch, ",.1f"),
            _shown(row.best_epoch, "d"),
            _shown(row.ic, ".3f"),
            _shown(row.rank_ic, ".3f"),
            _shown(row.icir, ".2f"),
            _shown(row.undefined_days, "d"),
            ", ".join(row.flat) or "-",
            row.status,
        )
    wrong = [f"window {row.window}: {row.reason}" for row in rows if row.reason]
    table.caption = escape("\n".join(wrong)) if wrong else None
    return table


def _shown(value: float | None, style: str) -> str:
    return "-" if value is None else format(value, style)
