"""From tensors to a frame: a model's scores for every date, stock and horizon."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import nn

from flatline.batch import DayBatch, Forecast, Labels
from flatline.data.panel import Panel
from flatline.errors import DataError, ShapeError
from flatline.training.guard import eval_mode

__all__ = ["positions", "predict", "to_frame"]


def predict(
    model: nn.Module,
    batches: Iterable[tuple[DayBatch, Labels]],
    panel: Panel,
    *,
    levels: tuple[float, ...] = (),
    on_batch: Callable[[int], None] = lambda _: None,
) -> pl.DataFrame:
    """Eval-mode scores over all batches, beside what happened.

    Args:
        model: Returns a `Forecast`; the mode of each of its modules is left as it was.
        batches: Their `group_day` and `stock_id` are positions in *panel*.
        panel: Dates, codes and raw targets.
        levels: Quantile levels of the forecast, none to leave quantiles out.
        on_batch: Called with the number of batches done, for progress.

    Returns:
        A row per date, stock and horizon: date, code, horizon (trading days),
        score and target (both in units of the batches' labels, null where not
        known), return (from close(t+1) to close(t+1+h) as a fraction) and one
        column per level, such as q0.05.

    Raises:
        DataError: There is no batch.
        ShapeError: The forecast has another number of quantiles than *levels*.
    """
    device = next(model.parameters()).device
    days, stocks, scores, targets, quantiles = [], [], [], [], []
    with eval_mode(model):
        for done, (inputs, labels) in enumerate(batches, start=1):
            on_device: DayBatch = {k: v.to(device) for k, v in inputs.items()}  # type: ignore[attr-defined, assignment]
            forecast: Forecast = model(on_device)
            days.append(inputs["group_day"].numpy())
            stocks.append(inputs["stock_id"].numpy())
            scores.append(forecast.point.float().cpu().numpy())
            targets.append(torch.where(labels.known, labels.value, torch.nan).numpy())
            if forecast.quantiles is not None and levels:
                quantiles.append(forecast.quantiles.float().cpu().numpy())
            on_batch(done)
    if not days:
        raise DataError("batches are 0, expected at least 1 to predict. Choose other dates.")
    extra = {}
    if quantiles:
        each = np.moveaxis(np.concatenate(quantiles), -1, 0)
        if len(each) != len(levels):
            raise ShapeError(
                f"levels is {levels} but the forecast has {len(each)} quantiles, expected one "
                "level each. Give the levels that the model was built with."
            )
        extra = {f"q{level:g}": column for level, column in zip(levels, each, strict=True)}
    return to_frame(
        panel,
        np.concatenate(days),
        np.concatenate(stocks),
        score=np.concatenate(scores),
        target=np.concatenate(targets),
        **extra,
    )


def to_frame(
    panel: Panel,
    day: NDArray[np.int64],
    stock: NDArray[np.int64],
    **columns: NDArray[np.floating],
) -> pl.DataFrame:
    """Numbers of every horizon laid out as rows of date, code and horizon.

    Args:
        panel: Dates, codes, horizons and returns.
        day: Position in the panel's dates. Shape (rows,).
        stock: Position in the panel's codes. Shape (rows,).
        **columns: By name, such as score. Shape (rows, horizons) each.

    Returns:
        The columns, and the raw `return`; what is not known is null, except a
        score that is not finite, which stays visible.
    """
    horizons = len(panel.horizons)
    frame = pl.DataFrame(
        {
            "date": np.repeat(panel.dates[day], horizons),
            "code": np.repeat(panel.codes[stock].astype(object), horizons),
            "horizon": np.tile(np.asarray(panel.horizons, dtype=np.int32), len(day)),
            **{name: values.reshape(-1) for name, values in columns.items()},
            "return": panel.target[day, stock].reshape(-1),
        },
        schema_overrides={"code": pl.String, "date": pl.Date},
    )
    labels = [name for name in ("target", "return") if name in frame.columns]
    return frame.with_columns(pl.col(labels).fill_nan(None))


def positions(frame: pl.DataFrame, panel: Panel) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where the rows of a frame lie in the panel: the inverse of `to_frame`.

    Args:
        frame: Columns date and code, all of them in the panel.
        panel: Dates and codes.

    Returns:
        Positions in the panel's dates and in its codes. Shape (rows,) each.
    """
    day = np.searchsorted(panel.dates, frame["date"].to_numpy())
    stock = np.searchsorted(panel.codes, frame["code"].to_numpy().astype(panel.codes.dtype))
    return day, stock
