"""The blend beside a loop over days and horizons, and as a share of a training step.

Run as `python tests/benchmarks/bench_losses.py [repeats]`; one line of JSON per figure. Blend
of Huber, IC, ListNet and RankNet, four horizons, float32, two threads, forward and
backward to the scores. The peer is what one writes by hand: plain torch per day and
horizon, RankNet once on as many pairs as ours and once on all. They take turns, so that
what else the machine does falls on both.
"""

import json
import sys
import time

import torch
from torch.nn import functional

from flatline.batch import Forecast, Labels
from flatline.days import Days
from flatline.losses import BlendSettings, MultiHorizonLoss
from flatline.losses.pairs import strides

HORIZONS = (1, 5, 10, 20)
STOCKS = 500
WEIGHTS = {"huber": 1.0, "ic": 1.0, "listnet": 1.0, "ranknet": 1.0}
# A training step of ATFT-GAT-FAN on 2,000 rows takes about this long on two threads.
STEP_SECONDS = 0.5


def one_day(score, target, pairs):
    """The four terms on one day and horizon, in plain torch."""
    size, spread = target.square().mean().sqrt().item(), target.std(correction=0).item()
    huber = functional.huber_loss(score, target, delta=size)
    ic = torch.corrcoef(torch.stack([score, target]))[0, 1]
    wanted = torch.softmax(target / spread, 0)
    listnet = functional.kl_div(torch.log_softmax(score / spread, 0), wanted, reduction="sum")
    if pairs is None:
        better = target[:, None] > target
        lead = (score[:, None] - score)[better]
    else:
        a, b = torch.randint(len(score), (2, pairs))
        lead = (score[a] - score[b]) * torch.sign(target[a] - target[b])
    ranknet = -functional.logsigmoid(lead / spread).mean()
    return huber + (1 - ic) + listnet + ranknet


def by_loop(score, target, days, pairs):
    """The blend as a loop over days and horizons."""
    total = 0.0
    for first in range(0, days * STOCKS, STOCKS):
        here = slice(first, first + STOCKS)
        for column in range(len(HORIZONS)):
            total = total + one_day(score[here, column], target[here, column], pairs)
    return total / (days * len(HORIZONS))


def take_turns(works, repeats):
    """Seconds of the fastest run of each, the runs interleaved."""
    best = [float("inf")] * len(works)
    for _ in range(repeats + 1):
        for k, work in enumerate(works):
            start = time.perf_counter()
            work()
            best[k] = min(best[k], time.perf_counter() - start)
    return best


def blend_against_loops(days, repeats):
    """Seconds of ours, of the loop on as many pairs, and of the loop on all pairs."""
    torch.manual_seed(0)
    rows = days * STOCKS
    target = 0.02 * torch.randn(rows, len(HORIZONS))
    score = (0.1 * target + 0.01 * torch.randn(rows, len(HORIZONS))).requires_grad_()
    labels = Labels(target, torch.ones_like(target, dtype=torch.bool))
    group_day = torch.arange(days).repeat_interleave(STOCKS)
    loss = MultiHorizonLoss(BlendSettings(weights=WEIGHTS), horizons=HORIZONS)
    pairs = sum(STOCKS - stride.distance for stride in strides(STOCKS, 1.6))

    def ours():
        loss(Forecast(score), labels, Days.from_ids(group_day)).total.backward()

    def loop():
        by_loop(score, target, days, pairs).backward()

    def loop_over_all_pairs():
        by_loop(score, target, days, None).backward()

    return take_turns([ours, loop, loop_over_all_pairs], repeats)


def main(repeats=5):
    """Print each figure: seconds, and the ratio to its peer."""
    torch.set_num_threads(2)
    ours, loop, every = blend_against_loops(64, repeats)
    figures = [
        ("blend, 64 days of 500 stocks, 4 horizons", ours, 1.0),
        ("loop over days, as many pairs (times ours)", loop, loop / ours),
        ("loop over days, all pairs (times ours)", every, every / ours),
    ]
    ours, _, _ = blend_against_loops(4, repeats)
    figures.append(("blend, 4 days of 500 stocks (share of a step)", ours, ours / STEP_SECONDS))
    for name, seconds, ratio in figures:
        line = {"what": name, "seconds": round(seconds, 5), "ratio": round(ratio, 3)}
        print(json.dumps(line))  # noqa: T201 - a benchmark prints its figures


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
