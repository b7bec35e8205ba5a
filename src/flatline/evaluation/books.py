"""What the scores would have earned: one dollar-neutral book per horizon, net of costs."""

from __future__ import annotations

import numpy as np
import polars as pl

from flatline.data.panel import Panel
from flatline.errors import SettingsError
from flatline.evaluation.predict import positions
from flatline.metrics.portfolio import backtest

__all__ = ["book_figures"]


def book_figures(frame: pl.DataFrame, panel: Panel, *, cost: float = 0.001) -> pl.DataFrame:
    """Sharpe, turnover and drawdown of a dollar-neutral book of each horizon's scores.

    Stocks are weighed by their score less the day's mean; the scores of day t are
    traded at the close of t + 1 and held for the horizon, in overlapping tranches, so
    that returns are those of days whatever the horizon.

    Args:
        frame: Scores as `predict` gives them.
        panel: Dates, codes and daily returns.
        cost: Of each unit of value bought or sold, as a fraction: 0.001 is ten basis points.

    Returns:
        A row per horizon, ascending: horizon, sharpe and sharpe_gross (annual),
        annual_return and drawdown (fractions of capital), turnover (a day, both sides).

    Raises:
        SettingsError: The cost is negative.
    """
    if not cost >= 0:
        raise SettingsError(f"cost is {cost}, expected a fraction of the traded value from 0 on.")
    rows = []
    for (horizon,), part in frame.sort("horizon").partition_by("horizon", as_dict=True).items():
        day, stock = positions(part, panel)
        first, last = int(day.min()), int(day.max())
        score = np.full((last - first + 1, len(panel.codes)), np.nan)
        score[day - first, stock] = part["score"].cast(pl.Float64).fill_null(np.nan).to_numpy()
        found = backtest(
            score, panel.daily_return[first : last + 1], horizon=int(horizon), cost=cost
        )
        rows.append(
            {
                "horizon": int(horizon),
                "sharpe": found.sharpe,
                "sharpe_gross": found.sharpe_gross,
                "annual_return": found.annual_return,
                "turnover": found.mean_turnover,
                "drawdown": found.max_drawdown,
            }
        )
    return pl.DataFrame(rows, infer_schema_length=None)
