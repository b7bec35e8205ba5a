"""Typed bars to good bars: the verdicts in their order, and the account of them."""

from __future__ import annotations

from typing import Final, NamedTuple

import polars as pl

from flatline.data.corporate import MONEY, adjust_forward
from flatline.data.jumps import hold_jumps
from flatline.data.quarantine import (
    REASONS,
    PriceRules,
    judge_bars,
    judge_days,
    judge_keys,
    left_out,
    reason_number,
)

__all__ = ["Finding", "Judged", "account", "count", "judge_rows"]

# What was changed in a row that is good: flag, what is said about it.
REPAIRS: Final = {
    "widened": "high or low left out open or close: widened",
    "adj_missing": "adjusted close missing or not positive: continued from close",
    "step_ignored": "step of the adjusted close refuted by the price: ignored",
    "split_refuted": "split coefficient refuted by the price: not applied",
    "split_applied": "split: applied from this row on",
    "restarted": "code back after a gap at another level: joined",
}


class Finding(NamedTuple):
    """One line of the account."""

    reason: str
    verdict: str
    rows: int
    codes: int
    days: int
    example: str


class Judged(NamedTuple):
    """Good rows, rows put aside, and what was found."""

    good: pl.DataFrame
    held: pl.DataFrame
    findings: list[Finding]


def judge_rows(rows: pl.DataFrame, rules: PriceRules) -> Judged:
    """Judge and adjust typed bars.

    Args:
        rows: date, code, open, high, low, close, volume and, where known, adj_close and
            split_coefficient, in any order of rows.
        rules: The limits.
    """
    # Codes as numbers in the order of their names: sorting and comparing them is cheap.
    names = pl.Enum(rows["code"].drop_nulls().unique().sort())
    rows = judge_keys(rows.with_columns(pl.col("code").cast(names)).sort("code", "date"))
    days = judge_days(rows.filter(pl.col("reason").is_null()), rules)
    rows = (
        rows.join(days, on="date", how="left", maintain_order="left")
        .with_columns(reason=pl.coalesce("reason", "day_reason", judge_bars(rules)))
        .drop("day_reason")
    )
    held = rows.filter(pl.col("reason").is_not_null()).select("date", "code", "reason")
    rows = told_splits(rows).filter(pl.col("reason").is_null()).drop("reason")
    rows = adjust_forward(widened(rows), max_unconfirmed_step=rules.max_unconfirmed_step)
    good, jumped = settle(rows, rules)
    held = pl.concat([held, jumped]).with_columns(
        pl.col("reason").replace_strict(dict(enumerate(REASONS)), return_dtype=pl.Enum(REASONS))
    )
    findings = [
        count(held.filter(pl.col("reason") == name), name, "quarantined") for name in REASONS
    ]
    findings += [
        count(good.filter(flag), words, "repaired")
        for flag, words in REPAIRS.items()
        if good[flag].any()
    ]
    code = pl.col("code").cast(pl.String)
    good = good.select("date", code, *MONEY, "volume", "adj_close")
    held = held.with_columns(code, pl.col("reason").cast(pl.String)).sort("code", "date", "reason")
    return Judged(good, held, [finding for finding in findings if finding.rows])


def told_splits(rows: pl.DataFrame) -> pl.DataFrame:
    """Replace split_coefficient by split_log, the log split since the code's last good row.

    Rows put aside pass their coefficient on to the next good one; a coefficient that is
    missing or not positive (some sources write 0) means no split.
    """
    if "split_coefficient" not in rows.columns:
        return rows
    told = pl.col("split_coefficient")
    single = (pl.col("reason") > reason_number("contradicting duplicate")).fill_null(value=True)
    step = pl.when(single & told.is_finite() & (told > 0)).then(told.log()).otherwise(0.0)
    total = pl.col("split_log")
    known = pl.when(pl.col("reason").is_null()).then(total)
    last = known.shift(1).forward_fill().over("code")
    return (
        rows.with_columns(split_log=step.fill_null(0.0).fill_nan(0.0).cum_sum().over("code"))
        .with_columns(split_log=(total - last).fill_null(0.0))
        .drop("split_coefficient")
    )


def widened(rows: pl.DataFrame) -> pl.DataFrame:
    """Let high and low of every bar hold its open and close."""
    return rows.with_columns(
        widened=left_out() > 1.0,
        high=pl.max_horizontal("high", "open", "close"),
        low=pl.min_horizontal("low", "open", "close"),
    )


def settle(rows: pl.DataFrame, rules: PriceRules) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Hold back unconfirmed jumps, and join the lives of a code; good rows and held ones."""
    waits, restart = hold_jumps(
        rows["adj_close"].log().to_numpy(),
        rows.select((pl.col("code") != pl.col("code").shift(1)).fill_null(value=True))[
            "code"
        ].to_numpy(),
        rows["date"].to_physical().cast(pl.Int64).to_numpy(),
        limit=rules.max_jump,
        confirm=rules.confirm_days,
        gap=rules.restart_gap,
    )
    rows = rows.with_columns(restarted=pl.Series(restart != 0))
    if restart.any():
        steps = rows.select("code", step=pl.Series(restart))
        scale = steps.select(pl.col("step").cum_sum().over("code").exp())["step"]
        rows = rows.with_columns(
            *(pl.col(name) * scale for name in (*MONEY, "adj_close")),
            # Turnover in money stays what it was.
            volume=pl.col("volume") / scale,
        )
    mask = pl.Series(waits)
    number = pl.lit(reason_number("unconfirmed jump"), dtype=pl.UInt8)
    if not waits.any():
        return rows, rows.clear().select("date", "code", reason=number)
    return rows.filter(~mask), rows.filter(mask).select("date", "code", reason=number)


def count(rows: pl.DataFrame, reason: str, verdict: str) -> Finding:
    """One line of the account: how many rows, codes and days, and the first of them."""
    if rows.height == 0:
        return Finding(reason, verdict, 0, 0, 0, "")
    first = rows.select("code", "date").sort("code", "date").row(0)
    codes, days = rows["code"].drop_nulls().n_unique(), rows["date"].drop_nulls().n_unique()
    return Finding(reason, verdict, rows.height, codes, days, f"{first[0]} {first[1]}")


def account(findings: list[Finding]) -> pl.DataFrame:
    """The account as a frame: reason, verdict, rows, codes, days, example."""
    text, number = pl.String, pl.Int64
    kinds = (text, text, number, number, number, text)
    schema = dict(zip(Finding._fields, kinds, strict=True))
    return pl.DataFrame(findings, schema=schema, orient="row")
