"""The table per horizon, from a frame to figures with intervals and to a picture."""

from io import StringIO

import numpy as np
import polars as pl
import pytest
from rich.console import Console

from flatline.errors import DataError
from flatline.metrics.forecast import forecast_figures
from flatline.metrics.null import rank_ic_null
from flatline.metrics.table import render, summarise

DAYS, NAMES = 60, 40


def frame(skill=0.5, horizons=(5, 1), seed=0):
    """One row for each stock, day and horizon, in no order."""
    rng = np.random.default_rng(seed)
    parts = []
    for horizon in horizons:
        day, code = np.divmod(np.arange(DAYS * NAMES), NAMES)
        score = 0.01 * rng.standard_normal(day.size)
        noise = 0.01 * rng.standard_normal(day.size)
        part = pl.DataFrame(
            {
                "date": pl.Series(day.astype(np.int32)).cast(pl.Date),
                "code": code.astype(str),
                "horizon": horizon,
                "score": score,
                "target": skill * score + noise,
                "q0.05": skill * score - 0.0164,
                "q0.95": skill * score + 0.0164,
            }
        )
        parts.append(part)
    return pl.concat(parts).sample(fraction=1, shuffle=True, seed=seed)


def test_figures_are_those_of_the_arrays():
    """Row order is nothing, and each horizon is judged by itself."""
    rows = frame()
    table = summarise(rows)
    assert table["horizon"].to_list() == [1, 5]
    one = rows.filter(pl.col("horizon") == 1)
    (expected,) = forecast_figures(one["score"], one["target"], one["date"].to_numpy())
    for name in ("ic", "rank_ic", "icir", "scale", "r2", "mae", "rmse", "naive_rmse", "slope"):
        assert table[name][0] == pytest.approx(getattr(expected, name), rel=1e-9), name
    floor = rank_ic_null(DAYS, NAMES, horizon=5).floor(0.001)
    assert table["rank_ic_floor"][1] == pytest.approx(floor, rel=1e-9)


def test_intervals_hold_their_means_and_find_skill():
    """Skill lies above zero and above the floor; noise does not."""
    table, noise = summarise(frame(0.5)), summarise(frame(0.0))
    for name in ("ic", "rank_ic", "hit_rate", "tile_spread"):
        inside = (table[f"{name}_low"] < table[name]) & (table[name] < table[f"{name}_high"])
        assert inside.all(), name
    assert (table["rank_ic_low"] > table["rank_ic_floor"]).all()
    assert (noise["rank_ic"].abs() < noise["rank_ic_floor"]).all()


def test_coverage_of_the_quantile_columns():
    """Columns named by level are found and met at about their rate."""
    table = summarise(frame())
    np.testing.assert_allclose(table["coverage_0.05"], 0.05, atol=4 * 0.218 / np.sqrt(2400))
    np.testing.assert_allclose(table["coverage_0.95"], 0.95, atol=4 * 0.218 / np.sqrt(2400))
    assert table["crossing"].to_list() == [0.0, 0.0]


def test_missing_scores_are_counted_and_broken_ones_undefined():
    """A null is a stock not forecast; a NaN is a fault of its day."""
    rows = frame(horizons=(1,)).with_row_index()
    null, nan = pl.col("index") < 7, pl.col("index") == 100
    rows = rows.with_columns(
        score=pl.when(null).then(None).when(nan).then(float("nan")).otherwise("score")
    )
    table = summarise(rows.drop("index"))
    assert table["unscored"][0] == 7
    assert (table["undefined_days"][0], table["undefined_not_finite"][0]) == (1, 1)
    assert table["rmse"][0] is None
    assert table["rank_ic"][0] is not None


def test_a_dead_horizon_is_undefined_beside_a_sound_one():
    """Constant scores: undefined days counted, no correlation, no calibration, a dash each."""
    rows = frame().with_columns(score=pl.when(pl.col("horizon") == 1).then(0.01).otherwise("score"))
    table = summarise(rows)
    dead = table.row(0, named=True)
    assert (dead["undefined_days"], dead["undefined_constant_score"]) == (DAYS, DAYS)
    unknown = ("ic", "rank_ic", "rank_ic_low", "hit_rate", "slope", "intercept", "rank_ic_floor")
    assert [dead[name] for name in unknown] == [None] * len(unknown)
    assert dead["yhat_std"] == 0
    assert table["rank_ic"][1] > 0.2
    console = Console(width=250, record=True, file=StringIO())
    console.print(render(table, title="test days"))
    text = console.export_text()
    assert "SCALE(yhat/y)" in text
    assert "0.000000" in text
    assert "nan" not in text


def test_a_horizon_without_any_score_keeps_its_row():
    """Nothing known, all of it counted."""
    rows = frame().with_columns(score=pl.when(pl.col("horizon") == 1).then(None).otherwise("score"))
    first = summarise(rows).row(0, named=True)
    assert (first["horizon"], first["unscored"], first["rank_ic"]) == (1, DAYS * NAMES, None)


def test_says_what_the_frame_lacks():
    """A missing column and a frame without scores are refused by name."""
    with pytest.raises(DataError, match=r"columns \['target'\] are missing from the frame"):
        summarise(frame().drop("target"))
    with pytest.raises(DataError, match="none of 4800 rows has a score"):
        summarise(frame().with_columns(score=pl.lit(None, pl.Float64)))
