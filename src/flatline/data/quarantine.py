"""Which bars are fit for use: every row judged by data up to its own day, every verdict counted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import polars as pl

from flatline.errors import SettingsError

if TYPE_CHECKING:
    from rich.table import Table

__all__ = [
    "REASONS",
    "PriceRules",
    "judge_bars",
    "judge_days",
    "judge_keys",
    "left_out",
    "quarantine_table",
    "reason_number",
]

# In order: a row that fits several reasons is counted under the first.
REASONS: Final = (
    "no date or code",
    "equal duplicate",
    "contradicting duplicate",
    "no trading day",
    "thin day",
    "missing price",
    "negative value",
    "missing volume",
    "no trade",
    "high below low",
    "bar contradicts itself",
    "bar too wide",
    "unconfirmed jump",
)
GOOD: Final = pl.lit(None, dtype=pl.UInt8)
MONEY: Final = ("open", "high", "low", "close")


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceRules:
    """The limits by which bars are judged.

    Args:
        no_trade_share: From this share of stocks with volume 0 on, a date is no trading day.
        thin_share: A date with less than this share of the usual number of stocks is thin.
        thin_window: The usual number is the median of this many dates before.
        thin_least: Dates are called thin only where the usual number is at least this.
        widen: Up to this log distance, a high or low that leaves out the open or close is widened.
        max_bar: Largest log distance of open, high or low from the close.
        max_jump: Largest log move of the adjusted close believed at once.
        confirm_days: Rows that a new price level must last before it is believed.
        restart_gap: Calendar days without a good row after which a new level is a new life.
        max_unconfirmed_step: Log size of a split or dividend believed without asking the price.

    Raises:
        SettingsError: A limit is not positive, or a share not between 0 and 1.
    """

    no_trade_share: float = 0.97
    thin_share: float = 0.1
    thin_window: int = 20
    thin_least: int = 20
    widen: float = 0.05
    max_bar: float = 0.7
    max_jump: float = 0.5
    confirm_days: int = 5
    restart_gap: int = 60
    max_unconfirmed_step: float = 0.2

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            value = getattr(self, name)
            share = name.endswith("_share")
            if not (0 < value <= 1 if share else value > 0):
                rule = "a share above 0 and at most 1" if share else "a number above 0"
                raise SettingsError(f"{name} is {value}, expected {rule}. Set it so.")


def reason_number(name: str) -> int:
    """The number under which a reason is noted in a frame."""
    return REASONS.index(name)


def reason(name: str) -> pl.Expr:
    """That number as an expression."""
    return pl.lit(reason_number(name), dtype=pl.UInt8)


def judge_keys(rows: pl.DataFrame) -> pl.DataFrame:
    """Add `reason` for rows without a key and for duplicates; null where there is nothing to say.

    Of rows equal in every column one stays. Of rows that share code and date and differ
    nobody can say which is right: all are put aside.

    Args:
        rows: Bars sorted by code and date.
    """
    keyless = pl.col("date").is_null() | pl.col("code").is_null()
    same = (pl.col("code") == pl.col("code").shift(1)) & (pl.col("date") == pl.col("date").shift(1))
    again = rows.select(again=(same & ~keyless).fill_null(value=False))["again"]
    rows = rows.with_columns(
        reason=pl.when(keyless).then(reason("no date or code")).otherwise(GOOD)
    )
    if not again.any():
        return rows
    shared = again | again.shift(-1, fill_value=False)
    number = rows.select(number=pl.int_range(pl.len()))["number"].filter(shared)
    values = [name for name in rows.columns if name not in {"date", "code", "reason"}]
    verdict = (
        rows.filter(shared)
        .select(
            differs=pl.struct(values).n_unique().over("code", "date") > 1,
            copy=pl.int_range(pl.len()).over("code", "date") > 0,
        )
        .select(
            reason=pl.when("differs")
            .then(reason("contradicting duplicate"))
            .when("copy")
            .then(reason("equal duplicate"))
            .otherwise(GOOD)
        )
    )
    return rows.with_columns(reason=rows["reason"].scatter(number, verdict["reason"]))


def judge_days(rows: pl.DataFrame, rules: PriceRules) -> pl.DataFrame:
    """Dates that are no trading days: date, day_reason.

    A date on which nearly all stocks have volume 0 is a holiday with carried prices, or a day
    whose volume is lost: either way its bars are no evidence of trading. A date with a
    small part of the stocks of the dates before is an accident of the source.

    Args:
        rows: Bars with one row per code and date.
        rules: The limits.
    """
    counts = (
        rows.lazy()
        .group_by("date")
        .agg(stocks=pl.len(), idle=(pl.col("volume").fill_null(0.0) == 0).mean())
        .sort("date")
        .collect()
    )
    idle = pl.col("idle") >= rules.no_trade_share
    closed = counts.filter(idle).select("date", day_reason=reason("no trading day"))
    usual = pl.col("stocks").rolling_median(rules.thin_window, min_samples=1).shift(1)
    thin = (usual >= rules.thin_least) & (pl.col("stocks") < rules.thin_share * usual)
    thinned = counts.filter(~idle).filter(thin).select("date", day_reason=reason("thin day"))
    return pl.concat([closed, thinned])


def judge_bars(rules: PriceRules) -> pl.Expr:
    """The first reason against a bar that shows within its own row, null if none."""
    prices = [pl.col(name) for name in MONEY]
    missing = pl.any_horizontal(*(p.is_null() | p.is_nan() | (p == 0) for p in prices))
    negative = pl.any_horizontal(*(~p.is_finite() | (p < 0) for p in prices))
    volume = pl.col("volume")
    far = pl.max_horizontal(*((pl.col(name) / pl.col("close")).log().abs() for name in MONEY[:3]))
    return (
        pl.when(missing)
        .then(reason("missing price"))
        .when(negative | (volume < 0) | volume.is_infinite())
        .then(reason("negative value"))
        .when(volume.is_null() | volume.is_nan())
        .then(reason("missing volume"))
        .when(volume == 0)
        .then(reason("no trade"))
        .when(pl.col("high") < pl.col("low"))
        .then(reason("high below low"))
        .when(left_out().log() > rules.widen)
        .then(reason("bar contradicts itself"))
        .when(far > rules.max_bar)
        .then(reason("bar too wide"))
        .otherwise(GOOD)
    )


def left_out() -> pl.Expr:
    """By what ratio open or close lie outside low to high; at most 1 where they do not."""
    above = pl.max_horizontal("open", "close") / pl.col("high")
    below = pl.col("low") / pl.min_horizontal("open", "close")
    return pl.max_horizontal(above, below)


def quarantine_table(quarantine: pl.DataFrame, *, title: str = "Quarantine") -> Table:
    """The account of verdicts as a table for the terminal.

    Args:
        quarantine: `Prices.quarantine`.
        title: Heading of the table.
    """
    from rich.table import Table  # noqa: PLC0415 - only who prints pays for it

    table = Table(title=title)
    for name in quarantine.columns:
        table.add_column(name, justify="right" if quarantine[name].dtype.is_integer() else "left")
    for row in quarantine.iter_rows():
        table.add_row(*(f"{value:,}" if isinstance(value, int) else str(value) for value in row))
    return table
