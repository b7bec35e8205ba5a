"""Hypothesis strategies: batches of scored days, as awkward as real ones."""

from typing import NamedTuple

import numpy as np
import torch
from hypothesis import strategies as st

from flatline.days import Days


class ScoredDays(NamedTuple):
    """A batch after the model: scores beside labels, in rows of any order.

    Shapes: score, target and mask (rows, horizons); group_day and stock_id (rows,);
    exposures (rows, 2). Float64. Targets are NaN where the mask is False.
    """

    score: torch.Tensor
    target: torch.Tensor
    mask: torch.Tensor
    group_day: torch.Tensor
    stock_id: torch.Tensor
    exposures: torch.Tensor

    @property
    def days(self) -> Days:
        """The day of every row."""
        return Days.from_ids(self.group_day)

    def rows(self, order):
        """The same rows in another order, or some of them."""
        return ScoredDays(*(part[order] for part in self))

    def joined(self, other):
        """The rows of two batches, one after the other."""
        return ScoredDays(*(torch.cat(pair) for pair in zip(self, other, strict=True)))


def make_scored_days(
    lengths, *, seed=0, horizons=2, ties=False, missing=0.0, scale=1.0, shuffle=True
):
    """Scored days from plain numbers: what `scored_days` draws, for tests without hypothesis."""
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
    batch = ScoredDays(
        *(
            torch.from_numpy(np.ascontiguousarray(part))
            for part in (
                scale * score,
                target,
                mask,
                day,
                np.concatenate(stocks),
                rng.standard_normal((rows, 2)),
            )
        )
    )
    return batch.rows(torch.from_numpy(rng.permutation(rows))) if shuffle else batch


@st.composite
def scored_days(
    draw, *, min_days=1, max_days=4, min_stocks=1, max_stocks=9, ties=None, missing=None
):
    """Batches of whole days: uneven lengths, ties, missing labels, interleaved rows.

    Args:
        draw: Given by hypothesis.
        min_days: Fewest days.
        max_days: Most days.
        min_stocks: Fewest stocks of a day.
        max_stocks: Most stocks of a day.
        ties: Whether values repeat; None draws it.
        missing: Share of missing labels; None draws it.
    """
    sizes = st.integers(min_stocks, max_stocks)
    even = st.tuples(st.integers(min_days, max_days), sizes).map(lambda pair: [pair[1]] * pair[0])
    lengths = draw(st.one_of(st.lists(sizes, min_size=min_days, max_size=max_days), even))
    return make_scored_days(
        lengths,
        seed=draw(st.integers(0, 2**32 - 1)),
        horizons=draw(st.integers(1, 3)),
        ties=draw(st.booleans()) if ties is None else ties,
        missing=draw(st.sampled_from([0.0, 0.2, 0.6])) if missing is None else missing,
        scale=draw(st.sampled_from([1.0, 0.01])),
        shuffle=draw(st.booleans()),
    )
