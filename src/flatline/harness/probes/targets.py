"""A batch with other targets: the subject's own labels, dealt out anew among the rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from flatline.errors import ShapeError
from flatline.harness.subject import Subject
from flatline.harness.trees import leaves, write

__all__ = ["LabelPlace"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class LabelPlace:
    """Where a subject's labels are among its targets. Build it with `find`.

    Args:
        subject: Whose targets.
        path: The tensor whose rows the labels follow.
        horizons: How many labels a row has.
    """

    subject: Subject
    path: str
    horizons: int

    @classmethod
    def find(cls, subject: Subject, targets: Any, score: Tensor) -> LabelPlace:  # noqa: ANN401
        """Where the labels of one batch's targets are.

        Raises:
            ShapeError: There is no tensor whose rows the labels follow, or there are several.
        """
        labels = subject.labels_of(targets, score)

        def follows(path: str, x: Tensor) -> bool:
            if x.ndim == 0 or x.shape[0] != len(labels) or x.dtype == torch.bool:
                return False
            turned = subject.labels_of(write(targets, path, x.flip(0)), score)
            # What is known may stand in a mask of its own, which is not turned with them.
            known = torch.isfinite(turned) & torch.isfinite(labels.flip(0))
            same = torch.equal(turned[known], labels.flip(0)[known])
            return bool(known.any()) and same and not torch.equal(turned, labels)

        found = [path for path, x in leaves(targets) if follows(path, x)]
        if len(found) != 1:
            raise ShapeError(
                f"labels of subject {subject.name!r} follow the rows of {len(found)} tensors among "
                "the targets, expected 1, so that other labels can be put in their place. "
                "Give the labels as one tensor, a row for each row of the scores."
            )
        return cls(subject, found[0], score.shape[1])

    def labels(self, targets: Any, rows: int) -> Tensor:  # noqa: ANN401
        """The labels of a batch, NaN where not known: (rows, horizons)."""
        return self.subject.labels_of(targets, torch.empty(rows, self.horizons))

    def put(
        self,
        targets: Any,  # noqa: ANN401
        rows: int,
        change: Callable[[Floats], Floats],
    ) -> tuple[Any, Floats]:
        """The targets with other labels in the place of their own.

        Args:
            targets: Of a batch.
            rows: How many it has.
            change: From the labels, NaN where not known, to those that take their place.

        Returns:
            The targets, and the labels in them. Shape (rows, horizons).
        """
        labels = self.labels(targets, rows)
        own = labels.detach().double().cpu().numpy()
        new = change(own)
        x = dict(leaves(targets))[self.path]
        known = torch.isfinite(labels).to(x.device)
        if x.numel() == known.numel() and torch.equal(labels[known], x.reshape(known.shape)[known]):
            put = torch.from_numpy(np.where(np.isfinite(new), new, 0.0)).to(x)
            held = torch.where(known, put, x.reshape(known.shape))
            return write(targets, self.path, held.reshape(x.shape)), np.where(
                known.cpu(), new, np.nan
            )
        # Labels that are computed from their tensor: whole rows of it change place.
        order = _rows_of(own, new)
        return write(targets, self.path, x[torch.from_numpy(order).to(x.device)]), own[order]


def _rows_of(own: Floats, new: Floats) -> NDArray[np.int64]:
    """The order of the rows in which their first column comes nearest to the new one."""
    order = np.empty(len(own), np.int64)
    order[np.argsort(new[:, 0], kind="stable")] = np.argsort(own[:, 0], kind="stable")
    return order
