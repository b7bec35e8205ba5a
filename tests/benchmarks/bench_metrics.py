"""Daily IC and RankIC beside alphalens-reloaded, in the same run and on the same data.

Run as `python tests/benchmarks/bench_metrics.py`; one line of JSON per figure.
"""

import json
import time
import warnings

import numpy as np
import pandas as pd
from alphalens.performance import factor_information_coefficient

from flatline.metrics import daily_metrics, find_flat

DAYS, NAMES, HORIZONS = 500, 2000, (1, 5, 10, 20)


def best_of(work, times):
    """Seconds of the fastest of a few runs, and what the last one returned."""
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        result = work()
        seconds.append(time.perf_counter() - start)
    return min(seconds), result


def alphalens_frame(score, target):
    """The frame alphalens wants: one factor, a forward return per horizon."""
    dates = pd.bdate_range("2020-01-01", periods=DAYS)
    index = pd.MultiIndex.from_product([dates, np.arange(NAMES)], names=["date", "asset"])
    columns = {f"{h}D": target[:, k] for k, h in enumerate(HORIZONS)}
    return pd.DataFrame({**columns, "factor": score}, index=index)


def daily_against_alphalens():
    """RankIC of one factor against four horizons, as alphalens has it; then IC and all ours."""
    rng = np.random.default_rng(0)
    score, target = rng.standard_normal((2, DAYS * NAMES, len(HORIZONS)))
    target += 0.05 * score
    day = np.repeat(np.arange(DAYS), NAMES)
    frame = alphalens_frame(score[:, 0], target)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs, table = best_of(lambda: factor_information_coefficient(frame), 2)
    both = ("ic", "rank_ic")
    one, found = best_of(lambda: daily_metrics(score[:, 0], target, day, metrics=both), 5)
    four, _ = best_of(lambda: daily_metrics(score, target, day, metrics=both), 5)
    np.testing.assert_allclose(table.to_numpy(), found.rank_ic.value, atol=1e-12)
    yield "alphalens RankIC, one score, 4 horizons", theirs, 1.0
    yield "IC and RankIC, one score, 4 horizons", one, theirs / one
    yield "IC and RankIC, a score for each of 4 horizons", four, theirs / four
    ours, _ = best_of(lambda: daily_metrics(score, target, day), 5)
    yield "IC, RankIC, hit rate, spread, a score for each", ours, theirs / ours


def guard():
    """What a look of the training guard costs: 3,000 rows of 4 horizons and 5 quantiles."""
    rng = np.random.default_rng(0)
    score = np.float32(rng.standard_normal((3000, 4)))
    day, stock = np.repeat(np.arange(3), 1000), np.tile(np.arange(1000), 3)
    quantiles = score[:, :, None] + np.arange(5)
    seconds, found = best_of(
        lambda: find_flat(score, day, stock=stock, target=score + 0.1, quantiles=quantiles), 50
    )
    assert found == []
    yield "find_flat, 3,000 rows, 4 horizons, 5 quantiles", seconds, None


if __name__ == "__main__":
    for name, seconds, ratio in (*daily_against_alphalens(), *guard()):
        line = {"benchmark": name, "milliseconds": round(seconds * 1e3, 2)}
        if ratio is not None:
            line["times_alphalens"] = round(ratio, 2)
        print(json.dumps(line))  # noqa: T201 - a benchmark prints its figures
