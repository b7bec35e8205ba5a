"""The part of a subject that makes batches of prices, so that prices can be changed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from torch import Tensor

from flatline.errors import DataError

__all__ = ["Pipeline"]

Batches = Iterable[tuple[Any, Any]]

# What a day's trading leaves in a table: the columns that are changed unless others are named.
MONEY = ("open", "high", "low", "close", "adj_close")
AMOUNTS = ("volume", "turnover")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """How a subject's batches are made of prices.

    The harness changes some prices, makes the batches again and looks at what has changed.
    It does so eight times: give prices of few stocks and days, a year of fifty stocks is enough.

    Args:
        prices: One row per code and date, in any order.
        batches: From such prices to the batches by split, as `batches` of the Subject.
        splits: Its splits, in the order of time: the first one is what is trained on.
        stocks: From the inputs to the stock of each row, whole numbers of shape (rows,), the
            same for a stock whatever the prices; by default the key `stock_id`, else the
            place among the rows of the day.
        dates: From day ids to the dates of *prices*; by default a day id is the position
            among its dates in ascending order.
        date: Name of the column of dates.
        code: Name of the column that says which stock.
        changed: Columns that are changed; by default those named open, high, low, close,
            adj_close, volume and turnover.

    Raises:
        DataError: A column is missing.

    Example:
        >>> bars = pl.DataFrame({"date": [1, 2], "code": ["A", "A"], "close": [10.0, 11.0]})
        >>> pipeline = Pipeline(prices=bars, batches=lambda prices: {"train": [], "test": []})
        >>> pipeline.columns
        ('close',)
    """

    prices: pl.DataFrame
    batches: Callable[[pl.DataFrame], Callable[[str], Batches] | Mapping[str, Batches]]
    splits: Sequence[str] = ("train", "valid", "test")
    stocks: Callable[[Any], Tensor] | None = None
    dates: Callable[[NDArray[np.int64]], Any] | None = None
    date: str = "date"
    code: str = "code"
    changed: Sequence[str] | None = None

    def __post_init__(self) -> None:
        """Refuse prices that cannot be changed."""
        for name in (self.date, self.code, *(self.changed or ())):
            if name not in self.prices.columns:
                raise DataError(
                    f"prices have the columns {self.prices.columns}, expected {name!r} among "
                    "them. Name the right one with date=, code= or changed=."
                )
        if not self.columns:
            raise DataError(
                f"prices have the columns {self.prices.columns}, expected one of "
                f"{', '.join((*MONEY, *AMOUNTS))}. Name those to change with changed=."
            )

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that are changed."""
        if self.changed is not None:
            return tuple(self.changed)
        known = (*MONEY, *AMOUNTS)
        return tuple(name for name in self.prices.columns if name.lower() in known)

    def make(self, prices: pl.DataFrame) -> Callable[[str], Batches]:
        """From a split to its batches, made of these prices."""
        made = self.batches(prices)
        return made if callable(made) else made.__getitem__

    def calendar(self) -> pl.Series:
        """The dates of the prices, ascending."""
        return self.prices[self.date].unique().sort()

    def positions(self, day: NDArray[np.int64], calendar: pl.Series) -> NDArray[np.int64]:
        """Positions of day ids among the dates of the prices.

        Raises:
            DataError: There is no such date.
        """
        if self.dates is None:
            found, known = day, (day >= 0) & (day < len(calendar))
        else:
            wanted = pl.Series(self.dates(day)).cast(calendar.dtype)
            found = np.asarray(calendar.search_sorted(wanted), dtype=np.int64)
            inside = np.minimum(found, len(calendar) - 1)
            known = (calendar.gather(inside) == wanted).to_numpy()
        if not known.all():
            raise DataError(
                f"day {day[~known][0]} is none of the {len(calendar)} dates of the prices, "
                "expected a position among them. Add `dates=lambda day: ...` to the Pipeline."
            )
        return found
