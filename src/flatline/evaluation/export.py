"""Predictions as a Parquet file that others can rely on: every row there once, nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import polars as pl
from torch import nn

from flatline.artifacts.output_names import NEW, check_style, names_of
from flatline.data.batches import DayBatches
from flatline.data.panel import Panel
from flatline.errors import ArtifactError
from flatline.evaluation.experiment import Experiment, Split
from flatline.evaluation.predict import predict, to_frame
from flatline.files import replacing

__all__ = ["Written", "check_rows", "expected_rows", "export_predictions", "old_columns"]

KEYS = ("date", "code", "horizon")


@dataclass(frozen=True, slots=True)
class Written:
    """What a file of predictions holds, counted in the file itself.

    Args:
        path: The file.
        rows: Dates, codes and horizons that were predicted.
        days: Trading days.
        codes: Stocks.
        horizons: In trading days.
        not_finite: Scores that are NaN or infinite.
    """

    path: Path
    rows: int
    days: int
    codes: int
    horizons: tuple[int, ...]
    not_finite: int

    def sentence(self) -> str:
        """What was written, and what was verified."""
        return (
            f"predictions: {self.path}: {self.rows} rows of {self.days} days, {self.codes} stocks "
            f"and horizons {', '.join(map(str, self.horizons))}, each once as in the data; "
            "read back bit for bit"
        )


def export_predictions(
    experiment: Experiment,
    model: nn.Module,
    path: Path,
    *,
    run_id: str,
    split: Split = "test",
    names: str = NEW,
    on_batch: Callable[[int], None] = lambda _: None,
) -> Written:
    """Predict one part of the fold and write it, once the file has been read back and checked.

    Args:
        experiment: Panel, fold and batches.
        model: Returns a `Forecast`.
        path: Parquet file to write: a row per date, code and horizon as `predict` gives
            it, and `run_id`; or, under an old style of names, as `old_columns` has it.
        run_id: Of the run that trained the model.
        split: Which part of the fold.
        names: `new`, or a style of `artifacts.output_names`.
        on_batch: Called with the number of batches done, for progress.

    Raises:
        ArtifactError: A row that the data hold is missing, or one is there that they do not
            hold or twice; what stood at *path* stays then.
        SettingsError: There is no such style of names.
    """
    check_style(names)
    batches, panel = experiment.batches(split), experiment.panel
    levels = experiment.settings.data.levels
    frame = predict(model, batches, panel, levels=levels, on_batch=on_batch)
    frame = frame.with_columns(run_id=pl.lit(run_id))
    check_rows(frame, expected_rows(batches, panel))
    with replacing(path) as partial:
        laid_out = frame if names == NEW else old_columns(frame, names)
        laid_out.write_parquet(partial)
        again = pl.read_parquet(partial)
        if names != NEW:
            again = _new_columns(again, names, panel.horizons)
        check_rows(again, expected_rows(batches, panel))
        _check_numbers(frame, again)
    return Written(
        path=path,
        rows=again.height,
        days=again["date"].n_unique(),
        codes=again["code"].n_unique(),
        horizons=tuple(again["horizon"].unique().sort().to_list()),
        not_finite=int((~again["score"].is_finite()).sum()),
    )


def expected_rows(batches: DayBatches, panel: Panel) -> pl.DataFrame:
    """Every date, code and horizon that the data hold for the days of some batches."""
    return to_frame(panel, *batches.rows()).select(KEYS)


def check_rows(frame: pl.DataFrame, expected: pl.DataFrame) -> None:
    """Refuse predictions that are not exactly the expected rows, each once.

    Args:
        frame: Columns date, code and horizon, and others.
        expected: These columns, each row once.

    Raises:
        ArtifactError: Names the first row that is missing, twice or too many, and how many are.
    """
    found = frame.select(KEYS)
    twice = found.filter(found.is_duplicated()).unique(maintain_order=True)
    for rows, what in (
        (expected.join(found, on=KEYS, how="anti"), "missing"),
        (twice, "there more than once"),
        (found.join(expected, on=KEYS, how="anti"), "not in the data"),
    ):
        if rows.height:
            date, code, horizon = rows.row(0)
            raise ArtifactError(
                f"predictions have {rows.height} rows that are {what}, such as {code} on {date} "
                f"for {horizon} days, expected the {expected.height} rows of the data once each. "
                "Predict again with the prices of the run."
            )


def old_columns(frame: pl.DataFrame, style: str) -> pl.DataFrame:
    """Predictions laid out as before: a row per date and code, a column per horizon.

    Args:
        frame: As `predict` gives it, with or without `run_id`.
        style: What the scores are called, see `artifacts.output_names`.

    Returns:
        date, code, run_id; for each horizon the score under its old name, its quantiles
        after that name, such as point_horizon_5_q0.05, and target_5d and return_5d.

    Example:
        >>> from datetime import date
        >>> frame = pl.DataFrame({
        ...     "date": [date(2024, 1, 4)] * 2, "code": ["7203"] * 2, "horizon": [1, 5],
        ...     "score": [0.1, 0.2], "target": [0.0, 0.3], "return": [0.0, 0.03],
        ... })
        >>> old_columns(frame, "old_horizon_d").columns
        ['date', 'code', 'horizon_1d', 'horizon_5d', 'target_1d', 'target_5d', ...]
    """
    fixed = [name for name in ("date", "code", "run_id") if name in frame.columns]
    values = [name for name in frame.columns if name not in {*KEYS, "run_id"}]
    horizons = frame["horizon"].unique().sort().to_list()
    wide = frame.pivot("horizon", index=fixed, values=values, maintain_order=True)
    # With a single value polars names the columns by the horizon alone.
    made = {
        name: f"{value}_{horizon}" if len(values) > 1 else str(horizon)
        for value in values
        for horizon, name in zip(horizons, _old_names(value, horizons, style), strict=True)
    }
    return wide.select(*fixed, **{name: pl.col(source) for name, source in made.items()})


def _old_names(value: str, horizons: list[int], style: str) -> list[str]:
    if value in {"target", "return"}:
        return [f"{value}_{horizon}d" for horizon in horizons]
    ending = "" if value == "score" else f"_{value}"
    return [f"{name}{ending}" for name in names_of(horizons, style)]


def _new_columns(wide: pl.DataFrame, style: str, horizons: tuple[int, ...]) -> pl.DataFrame:
    """The inverse of `old_columns`, by the names that are there."""
    stems = names_of(horizons, style)
    levels = [
        name.removeprefix(stems[0]) for name in wide.columns if name.startswith(f"{stems[0]}_q")
    ]
    values = ["score", *(level.removeprefix("_") for level in levels), "target", "return"]
    parts = [
        wide.select(
            "date",
            "code",
            pl.lit(horizon, pl.Int32).alias("horizon"),
            *(pl.col(_old_names(v, list(horizons), style)[k]).alias(v) for v in values),
            "run_id",
        )
        for k, horizon in enumerate(horizons)
    ]
    return pl.concat(parts)


def _check_numbers(frame: pl.DataFrame, again: pl.DataFrame) -> None:
    """Refuse a file that does not hold the very numbers that were to be written."""
    wanted = frame.sort(KEYS)
    if set(again.columns) != set(wanted.columns):
        raise ArtifactError(
            f"predictions have columns {again.columns}, expected {wanted.columns}. Export again."
        )
    if not again.sort(KEYS).select(wanted.columns).equals(wanted):
        raise ArtifactError(
            "predictions on disk are other numbers than the model gave, expected the same to the "
            "last bit. Check the disk and export again."
        )
