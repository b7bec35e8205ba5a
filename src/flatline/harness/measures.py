"""What the numbers of an evaluation are, read off their names unless they are declared."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from enum import StrEnum

from flatline.errors import SettingsError

__all__ = ["Measure", "column_of", "measures_of", "stem_of"]


class Measure(StrEnum):
    """What a number says, and so which laws it keeps."""

    IC = "ic"
    RANK_IC = "rank_ic"
    CORRELATION = "correlation"
    RATIO = "ratio"
    HIT_RATE = "hit_rate"
    AUC = "auc"
    SHARPE = "sharpe"
    PROFIT = "profit"
    ERROR = "error"
    R2 = "r2"
    SLOPE = "slope"
    INTERCEPT = "intercept"
    SPREAD = "spread"
    COUNT = "count"
    TARGET = "target"
    OTHER = "other"


# The first line with a word of the name decides: what qualifies a number stands before
# what it is, so that the lower end of an IC's interval is no IC.
WORDS: tuple[tuple[Measure, str], ...] = (
    (Measure.COUNT, "undefined days rows names count n unscored"),
    (
        Measure.OTHER,
        "low high lower upper floor pvalue se crossing coverage turnover drawdown calibration",
    ),
    (Measure.RATIO, "icir rankicir ir"),
    (Measure.R2, "r2 rsquared"),
    (Measure.TARGET, "y target naive base baseline oracle"),
    (Measure.SPREAD, "yhat pred prediction predictions scale"),
    (Measure.OTHER, "std var"),
    (Measure.CORRELATION, "kendall tau"),
    (Measure.RANK_IC, "rankic spearman"),
    (Measure.IC, "ic pearson"),
    (Measure.CORRELATION, "corr correlation"),
    (Measure.AUC, "auc auroc"),
    (Measure.HIT_RATE, "hit hits accuracy"),
    (Measure.SHARPE, "sharpe"),
    (Measure.ERROR, "mae mse rmse error brier logloss pinball huber"),
    (Measure.PROFIT, "return pnl profit spread decile longshort"),
    (Measure.SLOPE, "slope"),
    (Measure.INTERCEPT, "intercept"),
)
JOINED = {"rank_ic": "rankic", "rank_icir": "rankicir", "r_squared": "rsquared",
          "long_short": "longshort", "log_loss": "logloss"}  # fmt: skip
# rank_ic@5, rank_ic[0], rank_ic_h5, rank_ic_5d, h5/rank_ic: the horizon, or the column.
HORIZON = re.compile(r"(?:@|[_./]h|^h|_)(\d+)d?(?=$|[/._])")
COLUMN = re.compile(r"\[(\d+)\]$")


def stem_of(name: str) -> str:
    """The name of a number without its horizon or column.

    Example:
        >>> [stem_of(name) for name in ("rank_ic@5", "ic[0]", "mae_h10", "r2", "h5/ic")]
        ['rank_ic', 'ic', 'mae', 'r2', 'ic']
    """
    return HORIZON.sub("", COLUMN.sub("", name)).strip("/._@")


def column_of(name: str, horizons: Iterable[int]) -> int | None:
    """Which score column a number is about, None where its name does not tell.

    Example:
        >>> column_of("sharpe@20", (1, 20)), column_of("sharpe[0]", (1, 20)), column_of("ic", (1,))
        (1, 0, None)
    """
    places = {horizon: k for k, horizon in enumerate(horizons)}
    by_column, by_horizon = COLUMN.search(name), HORIZON.search(name)
    if by_column:
        return int(by_column[1])
    return places.get(int(by_horizon[1])) if by_horizon else None


def measures_of(
    names: Iterable[str], declared: Mapping[str, str] | None = None
) -> dict[str, Measure]:
    """What each number is: declared under its name or stem, or told by the words of its name.

    Args:
        names: Of the numbers.
        declared: From a name, or its stem, to one of `Measure`.

    Raises:
        SettingsError: Something is declared for a number that is not there, or is no measure.

    Example:
        >>> found = measures_of(["rank_ic@5", "ic_low", "alpha"], {"alpha": "profit"})
        >>> [str(measure) for measure in found.values()]
        ['rank_ic', 'other', 'profit']
    """
    known, given = list(names), dict(declared or {})
    for name, measure in given.items():
        if name not in known and name not in map(stem_of, known):
            raise SettingsError(
                f"measures names {name!r}, expected a number of the evaluation, of "
                f"{sorted(map(stem_of, known))}. Correct the name, or drop it."
            )
        if measure not in set(Measure):
            raise SettingsError(
                f"measures says that {name} is {measure!r}, expected one of "
                f"{[str(m) for m in Measure]}. Choose what it is, or 'other'."
            )
    return {
        name: Measure(given.get(name, given.get(stem_of(name), _guess(name)))) for name in known
    }


def _guess(name: str) -> Measure:
    text = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", stem_of(name)).lower()
    for spelled, joined in JOINED.items():
        text = text.replace(spelled, joined)
    words = set(re.split(r"[^a-z0-9]+", text))
    return next((m for m, listed in WORDS if words & set(listed.split())), Measure.OTHER)
