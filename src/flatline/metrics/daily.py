"""One number per day and horizon: IC, RankIC, hit rate and the spread between tiles.

Each comes with which days it is undefined on and why. A correlation with a
constant is undefined; so is the rank of stocks that all got the same score.
"""

from __future__ import annotations

from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from flatline.errors import SettingsError
from flatline.metrics.blocks import Block, Bools, DayBlocks, Floats, Ints, as_columns
from flatline.metrics.daily_values import Daily, DailyMetric
from flatline.metrics.pairs import Pair, Why, cosine
from flatline.metrics.ranks import Ranked, rank_rows, tile_weight

__all__ = [
    "Daily",
    "DailyMetric",
    "Why",
    "daily_hit_rate",
    "daily_ic",
    "daily_metrics",
    "daily_rank_ic",
    "daily_tile_spread",
]

METRICS = ("ic", "rank_ic", "hit_rate", "tile_spread")


def daily_metrics(
    score: ArrayLike,
    target: ArrayLike,
    day: ArrayLike,
    *,
    min_names: int = 5,
    tiles: int = 10,
    metrics: Collection[str] = METRICS,
    threads: int = 2,
) -> Daily:
    """All daily metrics in one pass.

    Args:
        score: Model output, in any unit. A value that is not finite on a labelled row
            makes its day undefined. Shape (rows,) or (rows, horizons).
        target: What happened, as a fraction; NaN where there is no label. Shape
            (rows,) or (rows, horizons).
        day: Day of every row, integers or dates, in any order. Shape (rows,).
        min_names: Days with fewer labelled stocks are undefined.
        tiles: Tiles of the spread: 10 compares the top tenth with the bottom tenth. A
            stock on the border counts in part, and tied stocks share their tiles.
        metrics: Those to compute, of `ic`, `rank_ic`, `hit_rate`, `tile_spread`; the
            others come back undefined everywhere as NaN.
        threads: Threads that work on blocks of days.

    Raises:
        ShapeError: Score, target and day disagree on the rows or horizons.
        SettingsError: An option is out of range.

    References:
        Grinold and Kahn, Active Portfolio Management, 2000, chapter 6 (IC).

    Example:
        >>> score, target = [1.0, 2.0, 3.0, 1.0, 1.0, 1.0], [0.1, 0.2, 0.3, 0.1, 0.2, 0.3]
        >>> result = daily_metrics(score, target, [1, 1, 1, 2, 2, 2], min_names=3, tiles=3)
        >>> result.rank_ic.value.ravel(), result.rank_ic.reasons()
        (array([ 1., nan]), {'constant_score': [1]})
    """
    _check_options(min_names, tiles, metrics)
    blocks = DayBlocks.of(day)
    scores, targets = as_columns(blocks.rows, score=score, target=target)
    horizons = max(scores.shape[0], targets.shape[0])
    shape = (blocks.count, horizons)
    out = _Out(
        np.full((len(METRICS), *shape), np.nan),
        np.zeros((2, *shape), np.int8),
        np.zeros(shape, np.int64),
        np.full(shape, np.nan),
    )

    def work(block: Block) -> None:
        _fill(
            out,
            block,
            scores,
            targets,
            min_names=min_names,
            tiles=tiles,
            metrics=frozenset(metrics),
        )

    if threads > 1 and len(blocks.blocks) > 1:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(work, blocks.blocks))
    else:
        for block in blocks.blocks:
            work(block)

    def metric(name: str) -> DailyMetric:
        why = out.why[int(name == "tile_spread")]
        value = out.value[METRICS.index(name)]
        return DailyMetric(name, value, why, blocks.ids, out.names, out.score_std)

    return Daily(*(metric(name) for name in METRICS))


def _check_options(min_names: int, tiles: int, metrics: Collection[str]) -> None:
    unknown = sorted(set(metrics) - set(METRICS))
    if unknown:
        raise SettingsError(f"metrics has {unknown}, expected names of {list(METRICS)}.")
    if min_names < 2 or tiles < 2:
        raise SettingsError(
            f"min_names is {min_names} and tiles is {tiles}, expected at least 2 each. "
            "A correlation needs two stocks, a spread two tiles."
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Out:
    value: Floats
    why: NDArray[np.int8]
    names: Ints
    score_std: Floats


def _fill(
    out: _Out,
    block: Block,
    scores: Floats,
    targets: Floats,
    *,
    min_names: int,
    tiles: int,
    metrics: frozenset[str],
) -> None:
    ranked: tuple[Bools | None, Ranked] | None = None
    for horizon in range(out.names.shape[1]):
        pair = Pair.of(block, scores[horizon % len(scores)], targets[horizon % len(targets)])
        score, target = pair.centred()
        why = pair.why(score, target, min_names)
        for_tiles = np.where((why == Why.DEFINED) & (pair.names < tiles), Why.TOO_FEW_NAMES, why)
        found: dict[str, Floats] = {}
        if "ic" in metrics:
            found["ic"] = cosine(score.value, target.value)
        if metrics - {"ic"}:
            # One score for all horizons is ranked once for all with the same labels.
            if ranked is None or len(scores) > 1 or not _same(ranked[0], pair.labelled):
                ranked = pair.labelled, rank_rows(pair.score, pair.labelled)
            found |= _rank_metrics(pair, ranked[1], tiles, metrics)
        at = block.days, horizon
        out.names[at] = pair.names
        out.score_std[at] = np.where(pair.finite, score.std(pair.names), np.nan)
        out.why[0][at], out.why[1][at] = why, for_tiles
        for name, value in found.items():
            undefined = for_tiles if name == "tile_spread" else why
            out.value[METRICS.index(name)][at] = np.where(undefined == 0, value, np.nan)


def _same(a: Bools | None, b: Bools | None) -> bool:
    return a is b or (a is not None and b is not None and bool((a == b).all()))


def _rank_metrics(
    pair: Pair, score: Ranked, tiles: int, metrics: frozenset[str]
) -> dict[str, Floats]:
    found: dict[str, Floats] = {}
    names = np.maximum(pair.names, 1)
    if metrics & {"rank_ic", "hit_rate"}:
        target = rank_rows(pair.target, pair.labelled)
        if "rank_ic" in metrics:
            found["rank_ic"] = cosine(score.centred, target.centred)
        if "hit_rate" in metrics:
            agree = np.einsum("dw,dw->d", np.sign(score.centred), np.sign(target.centred))
            found["hit_rate"] = 0.5 + 0.5 * agree / names
    if "tile_spread" in metrics:
        top, bottom = tile_weight(score, pair.names, tiles)
        # Targets are 0 where there is no label, and so are the weights.
        found["tile_spread"] = np.einsum("dw,dw->d", top - bottom, pair.target) / (names / tiles)
    return found


def daily_ic(
    score: ArrayLike, target: ArrayLike, day: ArrayLike, *, min_names: int = 5
) -> DailyMetric:
    """Pearson correlation of score and target across the stocks of each day; see `daily_metrics`.

    Example:
        >>> daily_ic([1.0, 2.0, 4.0], [0.01, 0.02, 0.03], [1, 1, 1], min_names=3).value.round(4)
        array([[0.982]])
    """
    return daily_metrics(score, target, day, min_names=min_names, metrics=("ic",)).ic


def daily_rank_ic(
    score: ArrayLike, target: ArrayLike, day: ArrayLike, *, min_names: int = 5
) -> DailyMetric:
    """Spearman correlation across the stocks of each day, ties averaged; see `daily_metrics`.

    Example:
        >>> daily_rank_ic([1.0, 2.0, 4.0], [0.01, 0.03, 0.02], [1, 1, 1], min_names=3).value
        array([[0.5]])
    """
    return daily_metrics(score, target, day, min_names=min_names, metrics=("rank_ic",)).rank_ic


def daily_hit_rate(
    score: ArrayLike, target: ArrayLike, day: ArrayLike, *, min_names: int = 5
) -> DailyMetric:
    """Share of stocks put in the right half of their day; 0.5 is chance; see `daily_metrics`.

    Example:
        >>> daily_hit_rate([1.0, 2.0, 3.0, 4.0], [4.0, 1.0, 2.0, 3.0], [1] * 4, min_names=3).value
        array([[0.5]])
    """
    return daily_metrics(score, target, day, min_names=min_names, metrics=("hit_rate",)).hit_rate


def daily_tile_spread(
    score: ArrayLike, target: ArrayLike, day: ArrayLike, *, tiles: int = 10, min_names: int = 5
) -> DailyMetric:
    """Mean target of the top tile less the bottom tile's, day by day; see `daily_metrics`.

    Example:
        >>> target = [0.01, 0.02, 0.03, 0.05]
        >>> daily_tile_spread([1.0, 2.0, 3.0, 4.0], target, [1] * 4, tiles=2, min_names=3).value
        array([[0.025]])
    """
    metrics = ("tile_spread",)
    return daily_metrics(
        score, target, day, min_names=min_names, tiles=tiles, metrics=metrics
    ).tile_spread
