"""One way to call any loss on scored days, and to read what it returns."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor

from flatline.errors import FlatlineError, SettingsError, ShapeError
from flatline.harness.laws.promises import Promises
from flatline.harness.laws.scored_days import ScoredDays, make_scored_days

__all__ = ["Found", "Judged", "arguments_of"]

# What a loss may call the parts of a batch; score and target go by their place.
MASKS = ("mask", "known", "valid", "observed", "weight_mask")
DAYS = ("days", "group_day", "day", "date", "dates", "groups", "group")
OTHERS = ("stock_id", "exposures")


class Found(NamedTuple):
    """What a loss said: one number per day and horizon, per day, or one for all.

    Args:
        value: Shape (days, horizons), (days, 1) or (1, 1).
        valid: True where it means something, of the same shape.
        by_day: Whether there is one row per day.
    """

    value: Tensor
    valid: Tensor
    by_day: bool

    @property
    def total(self) -> Tensor:
        """Sum of what is valid."""
        return torch.where(self.valid, self.value, 0.0).sum()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Judged:
    """A loss with what it takes and what it promises.

    Args:
        loss: Any callable.
        takes: The part of `ScoredDays` that each argument stands for, by place.
        named: The same for arguments given by name.
        promises: What its author declares.
        reads: From point scores to what the loss reads, such as quantiles around them.
        whole_days: It takes `flatline.days.Days`, not the day of each row.
        flat: It takes vectors: one horizon, without an axis of its own.
        options: Further keyword arguments.
    """

    loss: Callable[..., Any]
    takes: tuple[str, ...]
    named: Mapping[str, str] = field(default_factory=dict)
    promises: Promises = field(default_factory=Promises)
    reads: Callable[[Tensor], Tensor] = lambda score: score
    whole_days: bool = False
    flat: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self, batch: ScoredDays, score: Tensor | None = None) -> Found:
        """The loss on a batch, with other point scores if given.

        Raises:
            ShapeError: It returns neither one number, nor one per day.
        """
        given = batch if score is None else batch._replace(score=score)
        args = [self._part(name, given) for name in self.takes]
        more = {key: self._part(name, given) for key, name in self.named.items()}
        return self._read(self.loss(*args, **more, **self.options), batch)

    def gradient(self, batch: ScoredDays, score: Tensor | None = None) -> Tensor:
        """Gradient of the sum of the valid values at the point scores; 0 where there is none."""
        leaf = (batch.score if score is None else score).detach().clone().requires_grad_()
        total = self(batch, leaf).total
        if not total.requires_grad:
            return torch.zeros_like(leaf)
        (found,) = torch.autograd.grad(total, leaf, allow_unused=True)
        return torch.zeros_like(leaf) if found is None else found

    def refuses(self, batch: ScoredDays, score: Tensor | None = None) -> bool:
        """Whether it raises an error of its own on the batch, or finds no valid day."""
        try:
            return not bool(self(batch, score).valid.any())
        except (FlatlineError, ValueError):
            return True

    @property
    def masks(self) -> bool:
        """Whether it is told which labels are known."""
        return "mask" in (*self.takes, *self.named.values())

    @property
    def by_day(self) -> bool:
        """Whether it returns one number per day."""
        return self(make_scored_days([6, 6, 6], horizons=self.horizons or 2)).by_day

    @property
    def knows_days(self) -> bool:
        """Whether it is told which rows are of one day."""
        return "group_day" in (*self.takes, *self.named.values())

    @property
    def horizons(self) -> int | None:
        """Number of score columns it is tried with; None for any."""
        return 1 if self.flat else None

    def close(self, value: Tensor) -> float:
        """What sums of some dozen terms in another order differ by at most, with room."""
        return 1e-7 if value.dtype == torch.float64 else 1e-3

    def _part(self, name: str, batch: ScoredDays) -> Any:  # noqa: ANN401 (Days or a tensor)
        if name == "group_day" and self.whole_days:
            return batch.days
        part: Tensor = getattr(batch, name)
        part = part[:, 0] if self.flat and part.ndim == 2 and name != "exposures" else part
        return self.reads(part) if name == "score" else part

    def _read(self, found: Any, batch: ScoredDays) -> Found:  # noqa: ANN401
        if hasattr(found, "value") and hasattr(found, "valid"):
            value, valid = found.value, found.valid
        elif isinstance(found, tuple) and len(found) == 2:
            value, valid = found
        else:
            value, valid = found, None
        if not isinstance(value, Tensor) or value.ndim > 2:
            shape = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise ShapeError(f"loss returns {shape}, expected a tensor: {EXPECTED}")
        days, wide = batch.days.count, value.reshape(len(value) if value.ndim else 1, -1)
        if value.ndim and len(wide) != days:
            raise ShapeError(
                f"loss returns shape {tuple(value.shape)} on {days} days, expected {EXPECTED}"
            )
        known = torch.ones_like(wide, dtype=torch.bool) if valid is None else valid.reshape_as(wide)
        return Found(wide, known, value.ndim > 0)


EXPECTED = "one number, or one per day. Reduce it over the stocks: `.mean()`."


def arguments_of(
    loss: Callable[..., Any], takes: Sequence[str] | None, options: Mapping[str, Any]
) -> tuple[tuple[str, ...], dict[str, str], bool]:
    """Which parts of a batch a loss takes, read off its signature.

    Args:
        loss: Any callable.
        takes: The parts by place, where the signature does not tell.
        options: Keyword arguments that are given anyway.

    Returns:
        The parts by place, those by name, and whether days are to be whole `Days`.

    Raises:
        SettingsError: A required argument stands for no part of a batch.

    Example:
        >>> arguments_of(lambda score, target, mask, day: 0, None, {})[0]
        ('score', 'target', 'mask', 'group_day')
    """
    if takes is not None:
        return tuple(_part_of(name, loss, takes) for name in takes), {}, False
    try:
        signature = inspect.signature(getattr(loss, "forward", loss))
    except ValueError:  # Some built-in functions have none.
        return ("score", "target"), {}, False
    required = [
        p
        for p in signature.parameters.values()
        if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    ]
    # A module's forward may leave its targets optional; the first two places are theirs anyway.
    placed = [p for p in required if p.kind is not p.KEYWORD_ONLY and p.name not in options]
    named = [p for p in required if p.kind is p.KEYWORD_ONLY and p.name not in options]
    parts = ("score", "target", *(_part_of(p.name, loss, None) for p in placed[2:]))
    whole = any("Days" in str(p.annotation) for p in required)
    return parts, {p.name: _part_of(p.name, loss, None) for p in named}, whole


def _part_of(name: str, loss: Callable[..., Any], takes: Sequence[str] | None) -> str:
    if name in ("score", "target", *OTHERS):
        return name
    if name in MASKS:
        return "mask"
    if name in DAYS:
        return "group_day"
    called = getattr(loss, "__name__", type(loss).__name__)
    known = ("score", "target", "mask", "group_day", *OTHERS)
    raise SettingsError(
        f"{'takes names' if takes else f'{called} takes'} {name!r}, expected one of {known}. "
        f"Say what it takes, as in `laws_for({called}, takes=('score', 'target'))`, or give "
        f"it as an option, as in `{name}=...`."
    )
