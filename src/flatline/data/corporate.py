"""Splits and dividends, applied forward so that the past never changes.

The usual back-adjustment divides the past by every split and dividend that
comes after it: the price level of a day then depends on its future. Here the
first row of a code keeps its price, and rows *after* a split or dividend are
multiplied instead. Returns are the same; a row depends on data up to its own
day only.

A step is the log of what one share before becomes in shares after: log 2 for
a 2:1 split. A step of more than `max_unconfirmed_step` must be seen in the
price, which should fall by about as much; one that is not (a false split, a
nonsense adjustment) is ignored and counted.
"""

from __future__ import annotations

from typing import Final

import polars as pl

__all__ = ["MONEY", "adjust_forward"]

MONEY: Final = ("open", "high", "low", "close")


def adjust_forward(bars: pl.DataFrame, *, max_unconfirmed_step: float = 0.2) -> pl.DataFrame:
    """Adjust bars for splits, and derive a total-return close, from past data only.

    With `split_coefficient` splits come from it; where it contradicts the price, the
    step of adj_close / close is taken if the price agrees with that one. Without it, a
    large step of adj_close / close that the price confirms is a split. What adj_close
    adds beyond splits is a dividend (or spin-off) and goes to the adjusted close only.

    Args:
        bars: Rows with a positive close, sorted by code and date: code, open, high, low,
            close, volume, and adj_close, split_log (log of the split coefficient since
            the row before) where known.
        max_unconfirmed_step: Log size up to which a step is believed without asking the price.

    Returns:
        *bars* with open, high, low, close and volume adjusted for splits, adj_close
        also for dividends, equal to close at the first row of each code, and four flags:
        `split_applied`, `split_refuted`, `adj_missing` (adj_close absent or not positive,
        continued from close) and `step_ignored` (a step of adj_close / close that the price
        refutes).

    Example:
        >>> bars = pl.DataFrame({"code": ["A"] * 3, "volume": [100.0, 200.0, 200.0]}).with_columns(
        ...     *(pl.Series(name, [10.0, 5.0, 5.5]) for name in MONEY),
        ...     adj_close=pl.Series([5.0, 5.0, 5.5]),
        ...     split_log=pl.Series([1.0, 2.0, 1.0]).log(),
        ... )
        >>> adjusted = adjust_forward(bars)
        >>> adjusted["close"].round(6).to_list(), adjusted["volume"].round(6).to_list()
        ([10.0, 10.0, 11.0], [100.0, 100.0, 100.0])
    """
    if "adj_close" not in bars.columns and "split_log" not in bars.columns:
        none = {name: pl.lit(value=False) for name in FLAGS}
        return bars.with_columns(adj_close=pl.col("close"), **none)
    same = pl.col("code") == pl.col("code").shift(1)
    move = pl.when(same).then((pl.col("close") / pl.col("close").shift(1)).log()).fill_null(0.0)
    adj = pl.col("adj_close") if "adj_close" in bars.columns else pl.col("close")
    usable = adj.is_finite() & (adj > 0)
    factor = pl.when(usable).then((adj / pl.col("close")).log())
    known = "split_log" in bars.columns
    steps = (
        bars.select(
            "code", move=move, factor=factor, told=pl.col("split_log") if known else pl.lit(0.0)
        )
        # The last factor that was usable, carried over rows without one.
        .with_columns(carried=pl.col("factor").forward_fill().over("code"))
        .with_columns(total=pl.when(same).then(pl.col("carried").diff()).fill_null(0.0))
    )
    told_wrong = refuted(pl.col("told"), max_unconfirmed_step)
    total_wrong = refuted(pl.col("total"), max_unconfirmed_step)
    large = pl.col("total").abs() > max_unconfirmed_step
    # A dividend may drown in the day's move; a split leaves little of the move unexplained.
    seen = (pl.col("move") + pl.col("total")).abs() < 0.5 * pl.col("move").abs()
    implied = pl.when(large & seen).then("total").otherwise(0.0)
    told = pl.when(told_wrong).then(implied).otherwise("told") if known else implied
    steps = steps.select(
        "code",
        split=told,
        total=pl.when(total_wrong | (pl.col("total") == 0.0)).then(None).otherwise("total"),
        split_refuted=told_wrong,
        step_ignored=total_wrong,
        adj_missing=pl.col("factor").is_null(),
    ).with_columns(
        dividend=(pl.col("total") - pl.col("split")).fill_null(0.0),
        split_applied=pl.col("split").abs() > 1e-9,
    )
    return apply(bars, steps)


FLAGS: Final = ("split_applied", "split_refuted", "step_ignored", "adj_missing")


def refuted(step: pl.Expr, limit: float) -> pl.Expr:
    """Whether a large step would make the day's move larger instead of explaining it."""
    left = (pl.col("move") + step).abs()
    return (step.abs() > limit) & (left > pl.max_horizontal(pl.col("move").abs(), pl.lit(limit)))


def apply(bars: pl.DataFrame, steps: pl.DataFrame) -> pl.DataFrame:
    """Multiply prices, and divide volume, by the steps up to and including each row."""
    # A running product within the code: no row can feel a later row or another code.
    growth = steps.select(
        shares=pl.col("split").exp().cum_prod().over("code"),
        wealth=pl.col("dividend").exp().cum_prod().over("code"),
    )
    shares, wealth = growth["shares"], growth["wealth"]
    return bars.with_columns(
        *(pl.col(name) * shares for name in MONEY),
        volume=pl.col("volume") / shares,
        adj_close=pl.col("close") * shares * wealth,
        **{name: steps[name] for name in FLAGS},
    )
