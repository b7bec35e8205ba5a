"""Daily IC and RankIC beside alphalens-reloaded, on the same data.

500 days of 2,000 stocks, four horizons. The peer knows RankIC only and holds one score
against all horizons; ours gives IC and RankIC of a score for each horizon.
"""

import warnings

import numpy as np
import pandas as pd
from side_by_side import Figure, rates, take_turns

from flatline.metrics import daily_metrics

DAYS, STOCKS, HORIZONS = 500, 2000, (1, 5, 10, 20)


def figures() -> list[Figure]:
    """Days per second; the RankIC of both must agree."""
    from alphalens.performance import factor_information_coefficient  # noqa: PLC0415

    rng = np.random.default_rng(0)
    score, target = rng.standard_normal((2, DAYS * STOCKS, len(HORIZONS)))
    target += 0.05 * score
    day = np.repeat(np.arange(DAYS), STOCKS)
    frame = alphalens_frame(score[:, 0], target)

    def ours(score):
        return daily_metrics(score, target, day, metrics=("ic", "rank_ic"))

    def theirs():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return factor_information_coefficient(frame)

    agreed = ours(score[:, 0]).rank_ic.value
    np.testing.assert_allclose(theirs().to_numpy(), agreed, atol=1e-12)
    works = {"ours": lambda: ours(score), "peer": theirs}
    found = take_turns(works, turns=3, warm_up=1)
    return [
        rates(
            "IC and RankIC, 500 days, 2,000 stocks, 4 horizons",
            found["ours"],
            found["peer"],
            peer_name="alphalens-reloaded, RankIC only",
            each=DAYS,
            unit="days/s",
            target=5.0,
        )
    ]


def alphalens_frame(score: np.ndarray, target: np.ndarray) -> pd.DataFrame:
    """The frame alphalens wants: one factor, a forward return per horizon."""
    dates = pd.bdate_range("2020-01-01", periods=DAYS)
    index = pd.MultiIndex.from_product([dates, np.arange(STOCKS)], names=["date", "asset"])
    columns = {f"{h}D": target[:, k] for k, h in enumerate(HORIZONS)}
    return pd.DataFrame({**columns, "factor": score}, index=index)
