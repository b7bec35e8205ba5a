"""The day batch: names, shapes and units of what a model receives and returns.

A model is called with one mapping of tensors, never with positional tensors.
The rows of a batch are whole days; targets travel beside the inputs, never
inside what the model sees.
"""

from __future__ import annotations

from typing import NamedTuple, NotRequired, TypedDict

import torch
from torch import Tensor

from flatline.days import Days
from flatline.errors import ShapeError

__all__ = ["DayBatch", "Forecast", "Labels", "check_batch", "days_of"]


class DayBatch(TypedDict):
    """Inputs of a model: all stocks of one or more whole days.

    Keys:
        features: Normalised features, oldest step first. Shape (rows, lookback, features).
        group_day: Day of each row. Shape (rows,), int64.
        stock_id: Stock of each row. Shape (rows,), int64.
        static_features: What does not change from day to day. Shape (rows, static).
        edge_index: Source and target row of each edge, within this batch and
            within one day. Shape (2, edges), int64.
        edge_attr: Attributes of each edge. Shape (edges, attributes).
    """

    features: Tensor
    group_day: Tensor
    stock_id: Tensor
    static_features: NotRequired[Tensor]
    edge_index: NotRequired[Tensor]
    edge_attr: NotRequired[Tensor]


class Labels(NamedTuple):
    """What happened, beside the inputs it belongs to.

    Args:
        value: Forward return as a fraction (0.01 is one percent), or a
            standardised form of it. Anything, NaN included, where not known.
            Shape (rows, horizons).
        known: True where the label exists. Shape (rows, horizons), bool.
    """

    value: Tensor
    known: Tensor


class Forecast(NamedTuple):
    """What a model returns.

    Args:
        point: One score per row and horizon. Shape (rows, horizons).
        quantiles: Shape (rows, horizons, levels), ascending along the last
            axis; None for a model without quantile heads.
    """

    point: Tensor
    quantiles: Tensor | None = None


def days_of(batch: DayBatch) -> Days:
    """The days of a batch.

    Raises:
        ShapeError: The batch has no `group_day`: without it a per-day loss
            would silently pool the days.
    """
    if "group_day" not in batch:
        raise ShapeError(
            f"batch has keys {sorted(batch)}, expected group_day among them. "
            "Add the day of every row as an int64 vector."
        )
    return Days.from_ids(batch["group_day"])


def check_batch(batch: DayBatch) -> None:
    """Refuse a batch whose parts do not fit each other.

    Raises:
        ShapeError: A key is missing, a row count differs, or an edge leaves
            the batch or joins two days.
    """
    for key in ("features", "group_day", "stock_id"):
        if key not in batch:
            raise ShapeError(f"batch has keys {sorted(batch)}, expected {key} among them. Add it.")
    if batch["features"].ndim != 3:
        raise ShapeError(
            f"features has shape {tuple(batch['features'].shape)}, expected "
            "(rows, lookback, features). Give one window of steps per row."
        )
    rows = batch["features"].shape[0]
    for key in ("group_day", "stock_id", "static_features"):
        tensor = batch.get(key)
        if isinstance(tensor, Tensor) and tensor.shape[0] != rows:
            raise ShapeError(
                f"{key} has {tensor.shape[0]} rows, expected {rows} as features has. "
                "Take both from the same batch."
            )
    _check_edges(batch, rows)


def _check_edges(batch: DayBatch, rows: int) -> None:
    edges = batch.get("edge_index")
    if edges is None:
        return
    if edges.ndim != 2 or edges.shape[0] != 2:
        raise ShapeError(
            f"edge_index has shape {tuple(edges.shape)}, expected (2, edges). "
            "Give one row of sources and one of targets."
        )
    if edges.dtype != torch.int64:
        raise ShapeError(
            f"edge_index has type {edges.dtype}, expected torch.int64. Call edge_index.long()."
        )
    if edges.numel() and (int(edges.min()) < 0 or int(edges.max()) >= rows):
        raise ShapeError(
            f"edge_index reaches from {int(edges.min())} to {int(edges.max())}, expected 0 to "
            f"{rows - 1}. Edges index the rows of this batch, not the universe."
        )
    day = batch["group_day"]
    if bool(torch.any(day[edges[0]] != day[edges[1]])):
        raise ShapeError(
            "edge_index joins rows of different days, expected edges within one day. "
            "Build the edges day by day."
        )
