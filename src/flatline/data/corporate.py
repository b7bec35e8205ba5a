"""Splits and dividends, applied forward so that the past never changes.

The usual back-adjustment divides the past by every split and dividend that
comes after it: the price level of a day then depends on its future. Here the
first row of a code keeps its price, and rows *after* a split or dividend are
multiplied instead. Returns are the same; a row depends on data up to its own
day only.

A step is the log of what one share before becomes in shares after: log 2 for
a 2:1 split. A step of more than `max_unconfirmed_step` must be seen in the
price, which should fall by about as much; one that is not (a false split, a
nonsense adjustment) is ignored and counted. If the price follows within a few
rows, the step was only dated early, and is taken there.
"""

from __future__ import annotations

from typing import Final

import polars as pl

__all__ = ["MONEY", "adjust_forward"]

MONEY: Final = ("open", "high", "low", "close")
FLAGS: Final = ("split_applied", "split_refuted", "step_ignored", "adj_missing")
# For so many rows a step that the price refuted may still be seen in it.
EARLY: Final = 5
# Steps come as differences of running sums: below this they are rounding.
NOISE: Final = 1e-9


def adjust_forward(bars: pl.DataFrame, *, max_unconfirmed_step: float = 0.2) -> pl.DataFrame:
    """Adjust bars for splits, and derive a total-return close, from past data only.

    With `split_coefficient` splits come from it; where it contradicts the price, the
    step of adj_close / close is taken if the price agrees with that one. Without it, a
    large step of adj_close / close that explains the price's move is a split. What adj_close
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
    steps = steps_of(bars, max_unconfirmed_step)
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


def steps_of(bars: pl.DataFrame, limit: float) -> pl.DataFrame:
    """The split and the dividend step of every row, as logs, and the flags."""
    has_adj, has_told = "adj_close" in bars.columns, "split_log" in bars.columns
    adj = pl.col("adj_close") if has_adj else pl.lit(None, dtype=pl.Float64)
    same = pl.col("code") == pl.col("code").shift(1)
    move = (pl.col("close") / pl.col("close").shift(1)).log()
    implied = pl.when(explains("total", "move", limit)).then("total").otherwise(0.0)
    believed = pl.when("split_refuted").then(implied).otherwise("told")
    return (
        bars.select(
            "code",
            told=pl.col("split_log") if has_told else pl.lit(0.0),
            move=pl.when(same).then(move).fill_null(0.0),
            factor=pl.when(adj.is_finite() & (adj > 0)).then((adj / pl.col("close")).log()),
        )
        # The last factor that was usable, carried over rows without one.
        .with_columns(total=pl.col("factor").forward_fill().over("code"))
        .with_columns(
            total=pl.when(same).then(pl.col("total").diff()).fill_null(0.0),
            adj_missing=pl.col("factor").is_null() & has_adj,
            split_refuted=refuted("told", "move", limit),
        )
        .with_columns(split=believed if has_told else implied)
        .with_columns(
            left=pl.col("move") + pl.col("split"),
            dividend=(pl.col("total") - pl.col("split")) if has_adj else pl.lit(0.0),
        )
        .with_columns(step_ignored=refuted("dividend", "left", limit))
        .with_columns(
            early=pl.when("step_ignored")
            .then("dividend")
            .when("split_refuted")
            .then("told")
            .shift(1)
            .over("code")
        )
        # A step dated a few rows before the price shows it is taken when it does.
        .with_columns(pl.col("early").forward_fill(limit=EARLY - 1).over("code"))
        .with_columns(
            dividend=pl.when("step_ignored").then(0.0).otherwise("dividend"),
            split=pl.when((pl.col("split") == 0.0) & explains("early", "left", limit))
            .then("early")
            .otherwise("split"),
        )
        .with_columns(split_applied=pl.col("split").abs() > NOISE)
    )


def refuted(step: str, move: str, limit: float) -> pl.Expr:
    """Whether a large step would make the day's move larger instead of explaining it."""
    left = (pl.col(move) + pl.col(step)).abs()
    return (pl.col(step).abs() > limit) & (left > pl.max_horizontal(pl.col(move).abs(), limit))


def explains(step: str, move: str, limit: float) -> pl.Expr:
    """Whether a large step explains most of the day's move, as a split does.

    A dividend may drown in the day's move; a split leaves little of it unexplained.
    """
    left = (pl.col(move) + pl.col(step)).abs()
    return (pl.col(step).abs() > limit) & (left < 0.5 * pl.col(move).abs())
