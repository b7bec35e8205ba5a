"""Prices that are changed: later ones, those of one day, those of stocks that go."""

from __future__ import annotations

import numpy as np
import polars as pl

from flatline.harness.pipeline import AMOUNTS, Pipeline

__all__ = ["bumped", "delisted", "later_changed", "shuffled"]

# Daily steps of what later prices are multiplied by, and of one day's, as fractions.
STEP, BUMP = 0.03, 0.1
# One of so many stocks goes.
ONE_OF = 3


def later_changed(pipeline: Pipeline, since: int, *, seed: int = 0) -> pl.DataFrame:
    """Prices that go another way from the *since*-th date on, each stock its own."""
    frame, place = _placed(pipeline)
    draw = np.random.default_rng(seed)
    noise = frame.select(
        code=pipeline.code,
        place=place,
        money=pl.Series(draw.normal(0, STEP, frame.height)),
        amount=pl.Series(draw.normal(0, 0.5, frame.height)),
    )
    walk = pl.when(pl.col("place") >= since).then(pl.col("money")).otherwise(0.0)
    factors = (
        noise.with_row_index("row")
        .sort("code", "place")
        .select(
            "row",
            money=walk.cum_sum().over("code").exp(),
            amount=pl.when(pl.col("place") >= since).then(pl.col("amount").exp()).otherwise(1.0),
        )
        .sort("row")
    )
    return _scaled(pipeline, factors["money"], factors["amount"])


def bumped(pipeline: Pipeline, at: int, *, up: bool, seed: int = 0) -> pl.DataFrame:
    """Prices of the *at*-th date alone moved up or down, each stock's by another factor."""
    frame, place = _placed(pipeline)
    draw = np.random.default_rng(seed)
    step = draw.uniform(BUMP / 2, BUMP, frame.height) * (1 if up else -1)
    factor = pl.select(
        pl.when(place == at).then(pl.Series(np.exp(step))).otherwise(1.0)
    ).to_series()
    return _scaled(pipeline, factor, pl.Series(np.ones(frame.height)))


def delisted(pipeline: Pipeline, since: int) -> pl.DataFrame | None:
    """Prices in which every third stock ends before the *since*-th date; None if there is one."""
    frame, place = _placed(pipeline)
    codes = frame[pipeline.code].unique().sort()
    if len(codes) < ONE_OF:
        return None
    gone = frame[pipeline.code].is_in(codes.gather_every(ONE_OF).implode())
    return frame.filter(~(gone & (place >= since)))


def shuffled(pipeline: Pipeline, *, seed: int = 0) -> pl.DataFrame:
    """The same rows in another order."""
    return pipeline.prices.sample(fraction=1.0, shuffle=True, seed=seed)


def _placed(pipeline: Pipeline) -> tuple[pl.DataFrame, pl.Series]:
    """The prices, and which date each row is of."""
    frame = pipeline.prices
    place = (frame[pipeline.date].rank("dense") - 1).cast(pl.Int64)
    return frame, place.rename("place")


def _scaled(pipeline: Pipeline, money: pl.Series, amount: pl.Series) -> pl.DataFrame:
    frame = pipeline.prices
    changed = []
    for name in pipeline.columns:
        scaled = frame[name].cast(pl.Float64) * (amount if name.lower() in AMOUNTS else money)
        whole = frame[name].dtype.is_integer()
        changed.append((scaled.round() if whole else scaled).cast(frame[name].dtype).alias(name))
    return frame.with_columns(changed)
