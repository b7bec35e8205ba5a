"""What the cells of a comparison of normalisers came to, by period: figures and tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import polars as pl
from rich.box import SIMPLE_HEAD
from rich.table import Table

from flatline.evaluation.series.scores import Finished
from flatline.evaluation.shown import with_ends
from flatline.metrics import find_flat
from flatline.metrics.blocks import Floats
from flatline.metrics.bootstrap import Interval
from flatline.metrics.class_intervals import auc_interval
from flatline.metrics.classification import class_figures

__all__ = ["PeriodFigures", "drift_table", "period_figures", "skill_table"]


@dataclass(frozen=True, slots=True)
class PeriodFigures:
    """How the seeds of one model did in one period, on one horizon.

    Figures are means over the seeds; None where they are undefined for one of them.

    Args:
        features: `level` or `ratio`.
        normaliser: How they were normalised.
        model: Name of the architecture or learner.
        period: `train`, `valid`, `test` or `later`.
        first: Its first date.
        last: Its last date.
        horizon: In trading days.
        seeds: Trained.
        days: With a label.
        base_rate: Share of the class.
        auc: With its interval, over blocks of days.
        auc_spread: Standard deviation of the AUC between seeds; None for one seed.
        brier: Mean squared error of the probability.
        brier_naive: That of the period's base rate.
        intercept: a of the line label = a + b probability.
        slope: b of that line; 1 is calibrated.
        calibration_error: Mean distance of probability and share, over ten bins.
        mean: Mean probability.
        spread: Standard deviation of the probability over the days.
        entropy: Entropy ratio of the attention: 1 where it is uniform; None without.
        flat: Kinds of flat found, each with the seeds that it was found on.
    """

    features: str
    normaliser: str
    model: str
    period: str
    first: str
    last: str
    horizon: int
    seeds: int
    days: int
    base_rate: float | None
    auc: Interval
    auc_spread: float | None
    brier: float | None
    brier_naive: float | None
    intercept: float | None
    slope: float | None
    calibration_error: float | None
    mean: float | None
    spread: float | None
    entropy: float | None
    flat: Mapping[str, int]

    def as_data(self) -> dict[str, Any]:
        """The figures as plain data, ready for JSON."""
        return asdict(self) | {"flat": dict(self.flat)}


def period_figures(
    finished: Iterable[Finished], *, later: str | None = None
) -> list[PeriodFigures]:
    """Figures of every feature set, normaliser, model, period and horizon.

    Args:
        finished: The cells, in any order.
        later: First date of a part of the test days that is also looked at apart.
    """
    groups: dict[tuple[str, str, str], list[Finished]] = {}
    for one in finished:
        cell = one.cell
        groups.setdefault((cell.features, cell.normaliser, cell.model), []).append(one)
    found = []
    for seeds in groups.values():
        for period in ("train", "valid", "test", *(("later",) if later else ())):
            found += _of_period(seeds, period, later)
    return found


def _of_period(seeds: Sequence[Finished], period: str, later: str | None) -> list[PeriodFigures]:
    rows = pl.col("split") == ("test" if period == "later" else period)
    if period == "later":
        rows &= pl.col("date") >= pl.lit(later).str.to_date()
    # Attention is looked at by split.
    entropy = [one.entropy.get(period) for one in seeds]
    kept = [one.frame.filter(rows & pl.col("label").is_not_null()) for one in seeds]
    found = []
    for horizon in kept[0]["horizon"].unique().sort().to_list():
        each = [frame.filter(pl.col("horizon") == horizon).sort("date") for frame in kept]
        found.append(_of_horizon(seeds, period, horizon, each, entropy))
    return found


def _of_horizon(
    seeds: Sequence[Finished],
    period: str,
    horizon: int,
    frames: Sequence[pl.DataFrame],
    entropy: Sequence[float | None],
) -> PeriodFigures:
    label = frames[0]["label"].to_numpy().astype(np.float64)
    date = frames[0]["date"]
    chance = np.stack([frame["probability"].to_numpy() for frame in frames], axis=1)
    day = np.arange(len(label))
    each = [class_figures(column, label, day)[0] for column in chance.T]
    areas = [one.auc for one in each if one.auc is not None]
    cell = seeds[0].cell
    return PeriodFigures(
        features=cell.features,
        normaliser=cell.normaliser,
        model=cell.model,
        period=period,
        first=str(date.min()),
        last=str(date.max()),
        horizon=horizon,
        seeds=len(seeds),
        days=len(label),
        base_rate=each[0].base_rate,
        auc=auc_interval(chance, label, horizon=horizon),
        auc_spread=float(np.std(areas, ddof=1)) if len(areas) > 1 else None,
        brier=_mean([one.brier for one in each]),
        brier_naive=each[0].brier_naive,
        intercept=_mean([one.intercept for one in each]),
        slope=_mean([one.slope for one in each]),
        calibration_error=_mean([one.calibration_error for one in each]),
        mean=_mean(chance.mean(0).tolist()),
        spread=_mean([one.yhat_std for one in each]),
        entropy=_mean(entropy),
        flat=_flat(chance, label),
    )


def _flat(chance: Floats, label: Floats) -> dict[str, int]:
    """Kinds of flat, and on how many of the seeds."""
    day = np.arange(len(label))
    kinds = Counter(
        str(kind)
        for column in chance.T
        for kind in {f.kind for f in find_flat(column, day, target=label, probability=True)}
    )
    return dict(sorted(kinds.items()))


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None and np.isfinite(value)]
    return float(np.mean(known)) if known and len(known) == len(values) else None


def skill_table(figures: Sequence[PeriodFigures], features: str) -> Table:
    """How well the test days were told apart: one line per horizon, normaliser and model."""
    tests, mine = _test_days(figures, features)
    later = next((one for one in mine.values() if one.period == "later"), None)
    table = _table(
        f"{features} features: test days {tests[0].first} to {tests[0].last}",
        ["AUC", *([f"AUC {later.first[:7]} on"] if later else []), "±", "Brier", "naive",
         "slope", "ECE"],
    )  # fmt: skip
    for k, one in enumerate(tests):
        after = mine.get((one.horizon, one.normaliser, one.model, "later"))
        table.add_row(
            *_name(one),
            _interval(one.auc),
            *([_interval(after.auc) if after else "-"] if later else []),
            _text(one.auc_spread),
            _text(one.brier),
            _text(one.brier_naive),
            _text(one.slope, ".2f"),
            _text(one.calibration_error),
            end_section=k + 1 < len(tests) and tests[k + 1].horizon != one.horizon,
        )
    return table


def drift_table(figures: Sequence[PeriodFigures], features: str) -> Table:
    """What became of the probabilities from the train days to the test days."""
    tests, mine = _test_days(figures, features)
    headings = ["base rate", "mean p", "std p", "entropy", "flat on the test days"]
    table = _table(f"{features} features: on the train days > on the test days", headings)
    for k, one in enumerate(tests):
        train = mine[one.horizon, one.normaliser, one.model, "train"]
        both = ("base_rate", "mean", "spread", "entropy")
        table.add_row(
            *_name(one),
            *(_drift(getattr(train, name), getattr(one, name)) for name in both),
            ", ".join(f"{kind} ({n} of {one.seeds})" for kind, n in one.flat.items()) or "-",
            end_section=k + 1 < len(tests) and tests[k + 1].horizon != one.horizon,
        )
    return table


def _test_days(
    figures: Sequence[PeriodFigures], features: str
) -> tuple[list[PeriodFigures], dict[tuple[int, str, str, str], PeriodFigures]]:
    """The test days' figures of one feature set by horizon, and all of its figures by name."""
    mine = {
        (one.horizon, one.normaliser, one.model, one.period): one
        for one in figures
        if one.features == features
    }
    tests = [one for one in mine.values() if one.period == "test"]
    return sorted(tests, key=lambda one: one.horizon), mine


def _table(title: str, headings: Sequence[str]) -> Table:
    # Ten columns of figures fit into 120 signs only without room between the borders.
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=0, pad_edge=False)
    table.add_column("h", justify="right", no_wrap=True)
    for name in ("normaliser", "model"):
        table.add_column(name, no_wrap=True)
    for name in headings:
        words = name.startswith("flat")
        table.add_column(name, justify="left" if words else "right", no_wrap=not words)
    return table


def _name(one: PeriodFigures) -> tuple[str, str, str]:
    return str(one.horizon), one.normaliser, one.model


def _drift(before: float | None, after: float | None) -> str:
    return "-" if after is None else f"{_text(before, '.2f')} > {_text(after, '.2f')}"


def _text(value: float | None, style: str = ".3f") -> str:
    return "-" if value is None else format(value, style)


def _interval(interval: Interval) -> str:
    if interval.mean is None or not np.isfinite(interval.mean):
        return "-"
    return with_ends(interval.mean, interval.low, interval.high, ".2f")
