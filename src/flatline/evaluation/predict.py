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
from flatline.errors import DataError

__all__ = ["predict", "to_frame"]


@torch.no_grad()
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
        model: Returns a `Forecast`; its mode is left as it was.
        batches: Their `group_day` and `stock_id` are positions in *panel*.
        panel: Dates, codes and raw targets.
        levels: Quantile levels of the forecast, none to leave quantiles out.
        on_batch: Called with the number of batches done, for progress.

    Returns:
        A row per date, stock and horizon: date, code, horizon (trading days),
        score (in units of the training target), target (raw return as a
        fraction, null where not known) and one column per level, such as
        q0.05.

    Raises:
        DataError: There is no batch.
    """
    device = next(model.parameters()).device
    training = model.training
    model.eval()
    days, stocks, scores, quantiles = [], [], [], []
    for done, (inputs, _) in enumerate(batches, start=1):
        on_device: DayBatch = {k: v.to(device) for k, v in inputs.items()}  # type: ignore[attr-defined, assignment]
        forecast: Forecast = model(on_device)
        days.append(inputs["group_day"].numpy())
        stocks.append(inputs["stock_id"].numpy())
        scores.append(forecast.point.float().cpu().numpy())
        if forecast.quantiles is not None and levels:
            quantiles.append(forecast.quantiles.float().cpu().numpy())
        on_batch(done)
    model.train(training)
    if not days:
        raise DataError("batches are 0, expected at least 1 to predict. Choose other dates.")
    extra = dict(
        zip(
            (f"q{level:g}" for level in levels),
            np.moveaxis(np.concatenate(quantiles), -1, 0) if quantiles else (),
            strict=False,
        )
    )
    return to_frame(
        panel, np.concatenate(days), np.concatenate(stocks), np.concatenate(scores), **extra
    )


def to_frame(
    panel: Panel,
    day: NDArray[np.int64],
    stock: NDArray[np.int64],
    score: NDArray[np.float32],
    **columns: NDArray[np.float32],
) -> pl.DataFrame:
    """Scores laid out as rows of date, code and horizon, beside the raw targets.

    Args:
        panel: Dates, codes and targets.
        day: Position in the panel's dates. Shape (rows,).
        stock: Position in the panel's codes. Shape (rows,).
        score: Shape (rows, horizons).
        **columns: More numbers of the same shape, by column name.
    """
    horizons = len(panel.horizons)
    frame = pl.DataFrame(
        {
            "date": np.repeat(panel.dates[day], horizons),
            "code": np.repeat(panel.codes[stock].astype(object), horizons),
            "horizon": np.tile(np.asarray(panel.horizons, dtype=np.int32), len(day)),
            "score": score.reshape(-1),
            "target": panel.target[day, stock].reshape(-1),
            **{name: values.reshape(-1) for name, values in columns.items()},
        },
        schema_overrides={"code": pl.String, "date": pl.Date},
    )
    return frame.with_columns(pl.col("target").fill_nan(None))
