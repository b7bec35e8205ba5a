"""Batches of scored days, as awkward as real ones: what the laws of a loss are tried on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from flatline.days import Days
from flatline.errors import SettingsError

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

__all__ = ["ScoredDays", "make_scored_days", "scored_days"]


class ScoredDays(NamedTuple):
    """A batch after the model: scores beside labels, in rows of any order. Float64.

    Args:
        score: Shape (rows, horizons).
        target: NaN where the mask is False. Shape (rows, horizons).
        mask: True where the label exists. Shape (rows, horizons).
        group_day: Day of each row. Shape (rows,).
        stock_id: Stock of each row, once a day. Shape (rows,).
        exposures: Shape (rows, 2).
    """

    score: Tensor
    target: Tensor
    mask: Tensor
    group_day: Tensor
    stock_id: Tensor
    exposures: Tensor

    @property
    def days(self) -> Days:
        """The day of every row."""
        return Days.from_ids(self.group_day)

    def rows(self, order: Tensor) -> ScoredDays:
        """The same rows in another order, or some of them."""
        return ScoredDays(*(part[order] for part in self))

    def joined(self, other: ScoredDays) -> ScoredDays:
        """The rows of two batches, one after the other."""
        return ScoredDays(*(torch.cat(pair) for pair in zip(self, other, strict=True)))


def make_scored_days(
    lengths: Sequence[int],
    *,
    seed: int = 0,
    horizons: int = 2,
    ties: bool = False,
    missing: float = 0.0,
    scale: float = 1.0,
    shuffle: bool = True,
) -> ScoredDays:
    """Scored days from plain numbers: what `scored_days` draws, for tests without hypothesis.

    Args:
        lengths: Stocks of each day.
        seed: Of all that is drawn.
        horizons: Score columns.
        ties: Whether values repeat.
        missing: Share of missing labels.
        scale: Spread of the targets: 0.01 for daily returns as fractions.
        shuffle: Whether the rows of different days stand among each other.

    Example:
        >>> batch = make_scored_days([3, 2], missing=0.5)
        >>> batch.score.shape, batch.days.lengths
        (torch.Size([5, 2]), tensor([3, 2]))
    """
    rng = np.random.default_rng(seed)
    rows = sum(lengths)
    target = rng.standard_normal((rows, horizons))
    score = 0.3 * target + rng.standard_normal((rows, horizons))
    if ties:
        target, score = target.round(), score.round()
    mask = rng.random((rows, horizons)) >= missing
    target = np.where(mask, scale * target, np.nan)
    day = np.repeat(np.arange(len(lengths)), lengths)
    # A day holds some of the stocks, not the first few.
    stocks = [rng.permutation(max(lengths) + 2)[:length] for length in lengths]
    exposures = rng.standard_normal((rows, 2))
    parts = (scale * score, target, mask, day, np.concatenate(stocks), exposures)
    batch = ScoredDays(*(torch.from_numpy(np.ascontiguousarray(part)) for part in parts))
    return batch.rows(torch.from_numpy(rng.permutation(rows))) if shuffle else batch


def scored_days(
    *,
    min_days: int = 1,
    max_days: int = 4,
    min_stocks: int = 1,
    max_stocks: int = 9,
    even: bool = False,
    horizons: int | None = None,
    ties: bool | None = None,
    missing: float | None = None,
    scale: float | None = None,
) -> SearchStrategy[ScoredDays]:
    """Batches of whole days: uneven lengths, ties, missing labels, interleaved rows.

    Args:
        min_days: Fewest days.
        max_days: Most days.
        min_stocks: Fewest stocks of a day.
        max_stocks: Most stocks of a day.
        even: Whether all days have as many stocks.
        horizons: Score columns; None draws up to three.
        ties: Whether values repeat; None draws it.
        missing: Share of missing labels; None draws it.
        scale: Spread of the targets; None draws that of daily returns, or 1.

    Raises:
        SettingsError: hypothesis is not installed.

    Example:
        >>> from hypothesis import given
        >>> @given(batch=scored_days(min_stocks=2))
        ... def test_my_loss(batch): ...
    """
    try:
        from hypothesis import strategies as st  # noqa: PLC0415 (an extra)
    except ImportError as error:
        raise SettingsError(
            "hypothesis is not installed, expected it for the laws of a loss. "
            "Install it: pip install 'flatline[laws]'."
        ) from error
    sizes = st.integers(min_stocks, max_stocks)
    counts = st.integers(min_days, max_days)
    lengths = st.tuples(counts, sizes).map(lambda pair: [pair[1]] * pair[0])
    if not even:
        lengths = st.one_of(st.lists(sizes, min_size=min_days, max_size=max_days), lengths)
    return st.builds(
        make_scored_days,
        lengths=lengths,
        seed=st.integers(0, 2**32 - 1),
        horizons=st.integers(1, 3) if horizons is None else st.just(horizons),
        ties=st.booleans() if ties is None else st.just(ties),
        missing=st.sampled_from([0.0, 0.2, 0.6]) if missing is None else st.just(missing),
        scale=st.sampled_from([1.0, 0.01]) if scale is None else st.just(scale),
        shuffle=st.booleans(),
    )
