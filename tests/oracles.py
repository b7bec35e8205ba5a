"""Slow second writings: loops over days, float64, numpy and scipy; never the code under test."""

import itertools
import math

import numpy as np
from scipy import optimize, special, stats

# -- Losses: one day, one horizon; score and target hold the labelled stocks only. ----------
# None means that the day is not valid.


def mse(score, target):
    """Mean squared error."""
    return np.mean((score - target) ** 2) if len(score) else None


def huber(score, target, delta=1.0):
    """Huber's loss, its knee in root mean squares of the targets."""
    size = math.sqrt(np.mean(target**2)) if len(target) else 0.0
    return np.mean(special.huber(delta * size, score - target)) if size else None


def pinball(score, target, levels):
    """Pinball loss, averaged over levels."""
    if not len(target):
        return None
    cost = [
        level * max(y - q, 0) + (1 - level) * max(q - y, 0)
        for forecast, y in zip(score, target, strict=True)
        for level, q in zip(levels, forecast, strict=True)
    ]
    return np.mean(cost)


def coverage(score, target, levels, softness=0.1, min_names=5):
    """Squared gap of the smooth share below each quantile, averaged over levels."""
    if len(target) < min_names or np.ptp(target) == 0:
        return None
    gaps = []
    for level, forecast in zip(levels, score.T, strict=True):
        below = special.expit((forecast - target) / (softness * np.std(target)))
        gaps.append((np.mean(below) - level) ** 2)
    return np.mean(gaps)


def bce(score, target, threshold=0.0, pos_weight=1.0, focal_gamma=0.0):
    """Binary cross-entropy of logits, weighted and focal."""
    if not len(score):
        return None
    event = target > threshold
    chance = np.where(event, special.expit(score), special.expit(-score))
    cost = -np.log(chance) * (1 - chance) ** focal_gamma
    return np.mean(np.where(event, pos_weight, 1.0) * cost)


def ic(score, target, min_names=5):
    """One minus Pearson."""
    if len(score) < min_names or np.ptp(score) == 0 or np.ptp(target) == 0:
        return None
    return 1 - stats.pearsonr(score, target).statistic


def rank_ic(score, target, softness=5.0, min_names=5):
    """One minus Pearson of soft ranks and average ranks."""
    if len(score) < min_names or np.ptp(score) == 0 or np.ptp(target) == 0:
        return None
    half = softness * np.std(score) / len(score)
    ramp = np.clip((score[:, None] - score) / (2 * half) + 0.5, 0, 1)
    return 1 - stats.pearsonr(ramp.sum(1), stats.rankdata(target)).statistic


def listnet(score, target, tau=1.0, top_k=None):
    """Kullback-Leibler divergence of the top-one probabilities."""
    if len(score) < 2 or np.ptp(target) == 0:
        return None
    scale = tau * np.std(target)
    kept = np.ones(len(target), bool)
    if top_k is not None:
        kept = target >= np.sort(target)[::-1][min(top_k, len(target)) - 1]
    wanted = special.softmax(target[kept] / scale)
    given = special.softmax(score / scale)[kept]
    return np.sum(special.rel_entr(wanted, given))


def _compared(target, ratio):
    """Pairs by place in the order of targets, with weights, by the rule of the ladder."""
    n, ladder, first = len(target), [], 1
    while first < n:
        after = 2 if first == 1 else max(first + 1, math.ceil(first * ratio))
        if after - 1 < n:
            ladder.append([first, (first + after - 1) // 2, after - 1])
        first = after
    ladder[-1][2] = n - 1
    for low, distance, high in ladder:
        weight = sum(n - d for d in range(low, high + 1)) / (n - distance)
        for place in range(n - distance):
            yield place, place + distance, weight


def _pair_mean(score, target, cost, ratio, weigh=None):
    if len(score) < 2 or np.ptp(target) == 0:
        return None
    order = np.lexsort((score, target))
    lead = score[order] / np.std(target)
    total = mass = 0.0
    for low, high, weight in _compared(target, ratio):
        i, j = order[low], order[high]
        if target[i] == target[j]:
            continue
        share = weight if weigh is None else weight * weigh(i, j)
        total += share * cost(lead[high] - lead[low])
        mass += share
    return total / mass


def ranknet(score, target, tau=1.0, ratio=1.6):
    """Logistic loss over the compared pairs."""
    return _pair_mean(score, target, lambda d: np.logaddexp(0, -d / tau), ratio)


def margin(score, target, margin=1.0, ratio=1.6):
    """Hinge loss over the compared pairs."""
    return _pair_mean(score, target, lambda d: max(0.0, margin - d), ratio)


def lambdarank(score, target, tau=1.0, ratio=1.6):
    """Logistic loss over the compared pairs, weighted by the change in NDCG."""
    gain = (stats.rankdata(target) - 1) / max(len(target) - 1, 1)
    place = np.empty(len(score))
    place[np.lexsort((target, -score))] = np.arange(1, len(score) + 1)

    def swap(i, j):
        return abs(gain[i] - gain[j]) * abs(1 / np.log2(1 + place[i]) - 1 / np.log2(1 + place[j]))

    return _pair_mean(score, target, lambda d: np.logaddexp(0, -d / tau), ratio, swap)


def top_k(score, target, share=0.1, tau=0.5):
    """Minus the mean gain of what is held in part, in spreads of the targets."""
    if len(score) < 2 or np.ptp(target) == 0:
        return None
    score = score / (tau * np.std(target))

    def over(border):
        return special.expit(score - border).sum() - share * len(score)

    # At the ends nobody and everybody is held whole.
    border = optimize.brentq(over, score.min() - 50, score.max() + 50, xtol=1e-13)
    held = special.expit(score - border)
    return -held @ stats.zscore(target) / (share * len(score))


def positions(score, min_names=5):
    """Dollar-neutral positions, sizes summing to one."""
    if len(score) < min_names or np.ptp(score) == 0:
        return None
    apart = score - np.mean(score)
    return apart / np.abs(apart).sum()


def sharpe(score, target, min_names=5):
    """Minus the return of the portfolio."""
    held = positions(score, min_names)
    return None if held is None else -held @ target


def exposure(score, target, exposures, min_names=5):
    """Squared exposure to standardised factors, averaged over factors."""
    held = positions(score, min_names)
    if held is None:
        return None
    return np.mean([(held @ stats.zscore(column)) ** 2 for column in exposures.T])


def turnover(held, held_before):
    """From the positions of two days, each a dict from stock to position."""
    stocks = held.keys() | held_before.keys()
    return sum(abs(held.get(s, 0.0) - held_before.get(s, 0.0)) for s in stocks) / 2


def variance_floor(score, target, floor=0.1):
    """Squared shortfall of the spread."""
    if len(score) < 2 or np.ptp(target) == 0:
        return None
    return max(0.0, floor - np.std(score) / np.std(target)) ** 2


def reciprocal_spread(score, target, softening=0.01):
    """Softened reciprocal of the spread."""
    if len(score) < 2 or np.ptp(target) == 0:
        return None
    return 1 / math.hypot(np.std(score) / np.std(target), softening)


LOSSES = {
    "mse": mse,
    "huber": huber,
    "pinball": pinball,
    "coverage": coverage,
    "bce": bce,
    "ic": ic,
    "rank_ic": rank_ic,
    "listnet": listnet,
    "ranknet": ranknet,
    "lambdarank": lambdarank,
    "margin": margin,
    "top_k": top_k,
    "sharpe": sharpe,
    "exposure": exposure,
    "variance_floor": variance_floor,
    "reciprocal_spread": reciprocal_spread,
}


def loss_by_day(name, batch, score, **options):
    """Values and validity of a loss, (days, horizons) each, day by day and horizon by horizon."""
    day = batch.group_day.numpy()
    ids, wide = np.unique(day), batch.target.shape[1]
    value, valid = np.zeros((len(ids), wide)), np.zeros((len(ids), wide), bool)
    for (row, which), column in itertools.product(enumerate(ids), range(wide)):
        here = (day == which) & batch.mask[:, column].numpy()
        more = {"exposures": batch.exposures[here].numpy()} if name == "exposure" else {}
        found = LOSSES[name](
            score[here, column].numpy(), batch.target[here, column].numpy(), **more, **options
        )
        if found is not None:
            value[row, column], valid[row, column] = found, True
    return value, valid


def turnover_by_day(batch, min_names=5):
    """Values and validity of the turnover, (days, horizons) each; days follow at a gap of 1."""
    day = batch.group_day.numpy()
    ids, wide = np.unique(day), batch.target.shape[1]
    value, valid = np.zeros((len(ids), wide)), np.zeros((len(ids), wide), bool)
    for column in range(wide):
        books = {}
        for row, which in enumerate(ids):
            here = (day == which) & batch.mask[:, column].numpy()
            held = positions(batch.score[here, column].numpy(), min_names)
            if held is None:
                continue
            books[which] = dict(zip(batch.stock_id[here].tolist(), held, strict=True))
            if which - 1 in books:
                value[row, column] = turnover(books[which], books[which - 1])
                valid[row, column] = True
    return value, valid
