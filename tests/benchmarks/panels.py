"""Panels of noise, for the benchmarks that need no market."""

import numpy as np

from flatline.data import Panel
from flatline.data.panel import Attribute

HORIZONS = (1, 5, 10, 20)


def draw_panel(days: int, stocks: int, features: int) -> Panel:
    """A panel without gaps: every stock on every day, in one of 33 sectors, 3 segments."""
    rng = np.random.default_rng(0)
    shape = (days, stocks)

    def attribute(name: str, levels: int) -> Attribute:
        code = np.tile(rng.integers(levels, size=stocks, dtype=np.int16), (days, 1))
        return Attribute(tuple(f"{name} {k}" for k in range(levels)), code)

    return Panel(
        dates=np.datetime64("2020-01-01") + np.arange(days),
        codes=np.array([f"{k:05d}" for k in range(stocks)]),
        feature_names=tuple(f"feature_{k}" for k in range(features)),
        horizons=HORIZONS,
        present=np.ones(shape, bool),
        features=rng.standard_normal((*shape, features), dtype=np.float32),
        target=rng.standard_normal((*shape, len(HORIZONS)), dtype=np.float32),
        label_end=np.arange(days)[:, None] + 1 + np.array(HORIZONS),
        daily_return=rng.standard_normal(shape, dtype=np.float32),
        attributes={"sector": attribute("sector", 33), "segment": attribute("segment", 3)},
    )
