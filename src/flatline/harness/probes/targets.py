"""A batch with other targets: the subject's own labels, dealt out anew among the rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from flatline.errors import ShapeError
from flatline.harness.subject import Subject
from flatline.harness.trees import leaves, write

__all__ = ["label_path", "relabel"]

Floats = NDArray[np.float64]


def label_path(subject: Subject, targets: Any, score: Tensor) -> str:  # noqa: ANN401 (the subject's own)
    """Where among a batch's targets the labels are: the tensor whose rows they follow.

    Raises:
        ShapeError: There is no such tensor, or the labels come from several.
    """
    labels = subject.labels_of(targets, score)
    rows = len(labels)

    def follows(path: str, x: Tensor) -> bool:
        if x.ndim == 0 or x.shape[0] != rows or x.dtype == torch.bool:
            return False
        turned = subject.labels_of(write(targets, path, x.flip(0)), score)
        # What is known may stand in a mask of its own, which is not turned with them.
        known = torch.isfinite(turned) & torch.isfinite(labels.flip(0))
        same = torch.equal(turned[known], labels.flip(0)[known])
        return bool(known.any()) and same and not torch.equal(turned, labels)

    found = [path for path, x in leaves(targets) if follows(path, x)]
    if len(found) != 1:
        raise ShapeError(
            f"labels of subject {subject.name!r} follow the rows of {len(found)} tensors among the "
            "targets, expected 1, so that other labels can be put in their place. "
            "Give the labels as one tensor, a row for each row of the scores."
        )
    return found[0]


def relabel(
    targets: Any,  # noqa: ANN401
    path: str,
    labels: Tensor,
    change: Callable[[Floats], Floats],
) -> tuple[Any, Floats]:
    """The targets with other labels in the place of their own.

    Args:
        targets: Any nesting of tensors.
        path: Where the labels are.
        labels: What they are, NaN where not known. Shape (rows, horizons).
        change: From the labels to those that take their place; whichever are known stay known.

    Returns:
        The targets, and the new labels. Shape (rows, horizons).
    """
    own = labels.detach().double().cpu().numpy()
    new = change(own)
    x = dict(leaves(targets))[path]
    known = torch.isfinite(labels).to(x.device)
    if x.numel() == labels.numel() and torch.equal(labels[known], x.reshape(known.shape)[known]):
        put = torch.from_numpy(np.where(np.isfinite(new), new, 0.0)).to(x)
        held = torch.where(known, put, x.reshape(known.shape))
        return write(targets, path, held.reshape(x.shape)), new
    # Labels that are computed from their tensor: whole rows of it change place.
    order = _rows_of(own, new)
    return write(targets, path, x[torch.from_numpy(order).to(x.device)]), own[order]


def _rows_of(own: Floats, new: Floats) -> NDArray[np.int64]:
    """The order of the rows in which their first column comes nearest to the new one."""
    order = np.empty(len(own), np.int64)
    order[np.argsort(new[:, 0], kind="stable")] = np.argsort(own[:, 0], kind="stable")
    return order
