"""What a model was built for, held against the batch it is called with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from flatline.batch import DayBatch, check_batch
from flatline.errors import ShapeError

__all__ = ["InputSizes"]

CALL = "model({'features': ..., 'group_day': ..., 'stock_id': ...})"


class InputSizes(NamedTuple):
    """The sizes a model was built for.

    Args:
        lookback: Steps of a window.
        features: Features of a step.
        static: Static features of a row; 0 for none.
        edge_attributes: Attributes of an edge; 0 for none.

    Example:
        >>> sizes = InputSizes(lookback=20, features=3, static=0, edge_attributes=0)
        >>> sizes.check(torch.ones(7, 20, 3))
        Traceback (most recent call last):
        flatline.errors.ShapeError: The model was called with a Tensor, expected one batch...
    """

    lookback: int
    features: int
    static: int
    edge_attributes: int

    def check_sizes(self) -> None:
        """Refuse sizes that no batch can have.

        Raises:
            ShapeError: A size is too small.
        """
        for name, least in (
            ("lookback", 1),
            ("features", 1),
            ("static", 0),
            ("edge_attributes", 0),
        ):
            if getattr(self, name) < least:
                raise ShapeError(
                    f"{name} is {getattr(self, name)}, expected {least} or more. "
                    "Build the model with the sizes of the batches it will see."
                )

    def check(
        self, batch: DayBatch | Tensor, *more: object, dtype: torch.dtype | None = None
    ) -> None:
        """Refuse a batch that the model was not built for.

        Does nothing while the model is exported or compiled, where values are not known.

        Args:
            batch: What the model was called with.
            more: What else it was called with: nothing, if all is well.
            dtype: Type of the model's weights; not compared under autocast or if None.

        Raises:
            ShapeError: It is no mapping, a key is missing, or a shape or type does not fit.
        """
        if torch.compiler.is_compiling() or torch.compiler.is_exporting():
            return
        if more or not isinstance(batch, Mapping):
            given = " and ".join(["a " + type(batch).__name__, *(type(x).__name__ for x in more)])
            raise ShapeError(
                f"The model was called with {given}, expected one batch: a mapping of tensors. "
                f"Write {CALL}."
            )
        check_batch(batch)
        self._check_windows(batch["features"], dtype)
        self._check_static(batch.get("static_features"))
        self._check_edges(batch.get("edge_index"), batch.get("edge_attr"))

    def _check_windows(self, features: Tensor, dtype: torch.dtype | None) -> None:
        if features.shape[1:] != (self.lookback, self.features):
            raise ShapeError(
                f"features has shape {tuple(features.shape)}, expected (rows, {self.lookback}, "
                f"{self.features}): the lookback and features the model was built for. Build "
                "both from the same panel and settings."
            )
        if features.shape[0] == 0:
            raise ShapeError("features has 0 rows, expected 1 or more. Leave empty days out.")
        mixed = torch.is_autocast_enabled(features.device.type)
        if dtype is not None and features.dtype != dtype and not mixed:
            raise ShapeError(
                f"features has type {features.dtype}, expected {dtype} as the model's weights. "
                f"Convert them with features.to({dtype})."
            )

    def _check_static(self, static: Tensor | None) -> None:
        width = 0 if static is None else static.shape[-1]
        if width != self.static or (static is not None and static.ndim != 2):
            shape = "no static_features" if static is None else f"shape {tuple(static.shape)}"
            raise ShapeError(
                f"static_features: the batch has {shape}, expected (rows, {self.static}): what "
                f"the model was built for. Give them, or build the model with static={width}."
            )

    def _check_edges(self, edges: Tensor | None, attributes: Tensor | None) -> None:
        if edges is None:
            if attributes is not None:
                raise ShapeError(
                    f"edge_attr has shape {tuple(attributes.shape)} but edge_index is missing, "
                    "expected both or none. Add edge_index."
                )
            return
        given = (edges.shape[1], 0) if attributes is None else tuple(attributes.shape)
        expected = (edges.shape[1], self.edge_attributes)
        if given != expected:
            shape = "is missing" if attributes is None else f"has shape {given}"
            raise ShapeError(
                f"edge_attr {shape}, expected {expected}: one row per edge and one column per "
                "attribute the model was built for. Take edges and attributes from the same "
                f"graph, or build the model with edge_attributes={given[-1]}."
            )
