"""Metrics in float64, written without a line shared with the losses."""

from flatline.metrics.bootstrap import Interval, block_length, bootstrap_mean, paired_difference
from flatline.metrics.class_intervals import auc_interval
from flatline.metrics.classification import ClassFigures, auc, class_figures
from flatline.metrics.daily import (
    Daily,
    DailyMetric,
    Why,
    daily_hit_rate,
    daily_ic,
    daily_metrics,
    daily_rank_ic,
    daily_tile_spread,
)
from flatline.metrics.dispersion import (
    SCALE_FLOOR,
    Flat,
    FlatFinding,
    VarianceSplit,
    find_flat,
    rounding_floor,
    split_variance,
)
from flatline.metrics.forecast import (
    Coverage,
    ForecastFigures,
    forecast_figures,
    quantile_coverage,
)
from flatline.metrics.null import RankIcNull, effective_days, rank_ic_null
from flatline.metrics.portfolio import Backtest, backtest
from flatline.metrics.portfolio_calendar import decision_days
from flatline.metrics.portfolio_exposure import GroupExposure, group_exposure
from flatline.metrics.portfolio_sharpe import (
    SharpeInterval,
    sharpe,
    sharpe_difference,
    sharpe_interval,
)
from flatline.metrics.portfolio_weights import portfolio_weights
from flatline.metrics.residual import Residual, residualise
from flatline.metrics.table import render, summarise
from flatline.metrics.wide import to_wide

__all__ = [
    "SCALE_FLOOR",
    "Backtest",
    "ClassFigures",
    "Coverage",
    "Daily",
    "DailyMetric",
    "Flat",
    "FlatFinding",
    "ForecastFigures",
    "GroupExposure",
    "Interval",
    "RankIcNull",
    "Residual",
    "SharpeInterval",
    "VarianceSplit",
    "Why",
    "auc",
    "auc_interval",
    "backtest",
    "block_length",
    "bootstrap_mean",
    "class_figures",
    "daily_hit_rate",
    "daily_ic",
    "daily_metrics",
    "daily_rank_ic",
    "daily_tile_spread",
    "decision_days",
    "effective_days",
    "find_flat",
    "forecast_figures",
    "group_exposure",
    "paired_difference",
    "portfolio_weights",
    "quantile_coverage",
    "rank_ic_null",
    "render",
    "residualise",
    "rounding_floor",
    "sharpe",
    "sharpe_difference",
    "sharpe_interval",
    "split_variance",
    "summarise",
    "to_wide",
]
