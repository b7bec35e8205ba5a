"""Small panels of random numbers, built without any frame."""

from dataclasses import replace

import numpy as np

from flatline.data.panel import Attribute, Panel


def random_panel(
    days=30,
    stocks=12,
    features=5,
    *,
    horizons=(1, 5),
    sectors=3,
    missing=0.1,
    seed=0,
):
    """A panel of noise: absent rows, unknown features, unknown labels, three sectors."""
    rng = np.random.default_rng(seed)
    present = rng.random((days, stocks)) >= missing
    values = rng.standard_normal((days, stocks, features)).astype(np.float32)
    values[rng.random(values.shape) < missing / 2] = np.nan
    values[~present] = np.nan
    label_end = np.arange(days)[:, None] + 1 + np.array(horizons)
    target = 0.02 * rng.standard_normal((days, stocks, len(horizons))).astype(np.float32)
    target = np.where((label_end < days)[:, None, :] & present[:, :, None], target, np.nan)
    daily = np.where(present, 0.02 * rng.standard_normal((days, stocks)), np.nan)

    def attribute(count):
        code = np.broadcast_to(rng.integers(-1, count, stocks), (days, stocks))
        return Attribute(tuple(f"level {i}" for i in range(count)), code.astype(np.int16))

    return Panel(
        dates=np.datetime64("2020-01-01") + np.arange(days),
        codes=np.array([f"{1000 + i}" for i in range(stocks)]),
        feature_names=tuple(f"f{i}" for i in range(features)),
        horizons=tuple(horizons),
        present=present,
        features=values,
        target=target.astype(np.float32),
        label_end=label_end,
        daily_return=daily.astype(np.float32),
        attributes={"sector": attribute(sectors), "segment": attribute(2)},
    )


def with_arrays(panel, **arrays):
    """The panel with some of its arrays swapped."""
    return replace(panel, **arrays)


def noise_from(panel, day, *, seed=99):
    """The same panel up to *day*, other numbers from there on."""
    other = random_panel(
        len(panel.dates),
        len(panel.codes),
        len(panel.feature_names),
        horizons=panel.horizons,
        seed=seed,
    )

    def spliced(name):
        return np.concatenate([getattr(panel, name)[:day], getattr(other, name)[day:]])

    names = ("present", "features", "target", "daily_return")
    return replace(panel, **{name: spliced(name) for name in names})
