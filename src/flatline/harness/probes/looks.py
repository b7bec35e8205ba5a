"""One model looked at several times: the same inputs, shuffled ones, shifted ones."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from flatline.harness.case import Case
from flatline.harness.inputs import Input, Role, inputs_of
from flatline.harness.labels import as_columns
from flatline.harness.permutation import shuffle
from flatline.harness.probes.moments import level_and_spread
from flatline.harness.probes.passes import first_steps
from flatline.harness.probes.scoring import forward
from flatline.harness.probes.smoke import smoke
from flatline.harness.trees import leaves, read, write

__all__ = ["Looks", "looks_after_first_steps", "looks_at_start", "looks_when_trained"]

Floats = NDArray[np.float64]

# Rows that are looked at: kinds of flat show on a few days.
ROWS = 1000
# How far the inputs are shifted, in spreads of each feature: a market that moved, not another one.
SHIFT = 2.0
STOCK_NAMES = ("stock_id", "stock", "asset_id", "asset", "code", "ticker", "symbol", "instrument")


@dataclass(frozen=True, slots=True, eq=False)
class Looks:
    """Eval-mode scores of some validation rows, looked at in several ways.

    Args:
        score: Shape (rows, horizons).
        again: Of the same inputs, once more. Shape (rows, horizons).
        shuffled: Of inputs that changed place among the rows they are compared with; categories
            stayed. Shape (rows, horizons).
        shifted: Of inputs that all went up, and of inputs that all went down by two of their
            spreads, those of one sign by a factor. Shape (rows, horizons) each.
        day: Shape (rows,).
        stock: None where the inputs do not tell. Shape (rows,).
        quantiles: None where the subject does not give them. Shape (rows, horizons, levels).
        target: NaN where not known. Shape (rows, horizons).
    """

    score: Floats
    again: Floats
    shuffled: Floats
    shifted: tuple[Floats, Floats]
    day: NDArray[np.int64]
    stock: NDArray[np.int64] | None
    quantiles: Floats | None
    target: Floats


def looks_at_start(case: Case) -> Looks:
    """Looks at a fresh model."""
    return _look(case, case.model())


def looks_after_first_steps(case: Case) -> Looks:
    """Looks at a model after its first steps, which open what starts at zero."""
    return _look(case, case.of(first_steps).model)


def looks_when_trained(case: Case) -> Looks:
    """Looks at the model of the smoke training."""
    return _look(case, case.of(smoke).model)


@torch.no_grad()
def _look(case: Case, model: nn.Module) -> Looks:
    subject = case.subject
    model.eval()
    draw = np.random.default_rng(case.seed_of("looks"))
    found: dict[str, list[Tensor]] = {}
    before: Any = None
    rows = days = 0

    def scores(inputs: Any) -> Tensor:  # noqa: ANN401 (the subject's own)
        return subject.score_of(forward(subject, model, inputs, case.place))

    for inputs, targets in case.batches("valid"):
        parts = inputs_of(subject, inputs)
        outputs = forward(subject, model, inputs, case.place)
        score, day = subject.score_of(outputs), subject.day_of(inputs)
        group = subject.group_of(inputs).cpu().numpy()
        order = torch.from_numpy(shuffle(group, draw)).to(score.device)
        alone = len(np.unique(group)) == len(group)
        one = {
            "score": score,
            "again": scores(inputs),
            # A row alone has nobody to change place with but that of the batch before.
            "shuffled": scores(
                _of_another(inputs, parts, before) if alone else _moved(inputs, parts, order)
            ),
            "up": scores(_shifted(inputs, parts, SHIFT)),
            "down": scores(_shifted(inputs, parts, -SHIFT)),
            "day": day + days if subject.days_by_batch(inputs) else day,
            "target": subject.labels_of(targets, score),
        }
        stock = _stock(inputs, parts)
        if stock is not None:
            one["stock"] = stock
        if subject.quantiles is not None:
            one["quantiles"] = _levels(subject.quantiles(outputs), score)
        for name, x in one.items():
            found.setdefault(name, []).append(x.cpu())
        before = inputs
        rows, days = rows + len(score), int(one["day"].max()) + 1
        # A day alone does not tell what stands still in time.
        if rows >= ROWS and len(found["day"]) > 1:
            break
    whole = {name: torch.cat(parts_of).numpy() for name, parts_of in found.items()}
    floats = {name: x.astype(np.float64) for name, x in whole.items() if x.dtype.kind == "f"}
    return Looks(
        score=floats["score"],
        again=floats["again"],
        shuffled=floats["shuffled"],
        shifted=(floats["up"], floats["down"]),
        day=whole["day"],
        stock=whole.get("stock"),
        quantiles=floats.get("quantiles"),
        target=floats["target"],
    )


def _moved(inputs: Any, parts: tuple[Input, ...], order: Tensor) -> Any:  # noqa: ANN401
    """Numbers and masks of the rows change place; days, categories and edges stay."""
    for part in parts:
        if part.role in {Role.ROWS, Role.MASK} and "rows" in part.axes:
            x = read(inputs, part.path)
            inputs = write(inputs, part.path, x.index_select(part.axes.index("rows"), order))
    return inputs


def _of_another(inputs: Any, parts: tuple[Input, ...], other: Any) -> Any:  # noqa: ANN401
    """Numbers and masks of the rows are those of another batch, where it has as many."""
    theirs = dict(leaves(other))
    for part in parts:
        fits = part.path in theirs and tuple(theirs[part.path].shape) == part.shape
        if part.role in {Role.ROWS, Role.MASK} and fits:
            inputs = write(inputs, part.path, theirs[part.path])
    return inputs


def _shifted(inputs: Any, parts: tuple[Input, ...], spreads: float) -> Any:  # noqa: ANN401
    """Every feature of the rows goes up by so many of its spreads."""
    for part in parts:
        if part.role == Role.ROWS:
            over = [i for i, name in enumerate(part.axes) if name in ("rows", "lookback")]
            inputs = write(inputs, part.path, _raised(read(inputs, part.path), over, spreads))
    return inputs


def _raised(x: Tensor, over: list[int], spreads: float) -> Tensor:
    """Each column up by so many of its spreads; by a factor where it has one sign only.

    A price or a volume that falls stays positive, and so does a model's logarithm of it a
    number. The factor takes the mean of the column as far up as the sum would.
    """
    level, spread = level_and_spread(x, over)
    known = torch.nan_to_num(x)
    one_sided = (known.amin(over, keepdim=True) >= 0) | (known.amax(over, keepdim=True) <= 0)
    size = torch.where(spread > 0, level.abs(), 1.0)
    factor = (1 + abs(spreads) * spread / size) ** (math.copysign(1.0, spreads) * level.sign())
    return torch.where(one_sided & (spread > 0), x * factor, x + spreads * spread)


def _stock(inputs: Any, parts: tuple[Input, ...]) -> Tensor | None:  # noqa: ANN401
    """The stock of each row, where an input is called that."""
    named = {part.path.rpartition(".")[2]: part for part in parts if part.axes == ("rows",)}
    part = next((named[name] for name in STOCK_NAMES if name in named), None)
    return None if part is None else read(inputs, part.path).long()


def _levels(quantiles: Tensor, score: Tensor) -> Tensor:
    """(rows, horizons, levels), whether or not there is an axis for a single horizon."""
    if quantiles.ndim == 2 and score.shape[1] == 1:
        return quantiles[:, None]
    as_columns(quantiles[..., 0], of="quantiles of one level")
    return quantiles
