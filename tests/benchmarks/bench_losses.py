"""The blend beside a loop over days and horizons, and as a share of a training step.

Blend of Huber, IC, ListNet and RankNet, four horizons, float32, forward and backward to the
scores. The peers are what one writes by hand, plain torch per day and horizon: RankNet on
every pair of a day, and on as many drawn pairs as ours looks at.
"""

import torch
from side_by_side import Figure, costs, rates, take_turns
from torch import Tensor
from torch.nn import functional
from training_step import HORIZONS, our_step

from flatline.batch import Forecast, Labels, days_of
from flatline.days import Days
from flatline.losses import BlendSettings, MultiHorizonLoss
from flatline.losses.pairs import strides

STOCKS = 500
SETTINGS = BlendSettings(weights={"huber": 1.0, "ic": 1.0, "listnet": 1.0, "ranknet": 1.0})


def figures() -> list[Figure]:
    """Against the loops on 64 days; of the training step on 4."""
    score, labels = draw(64)
    pairs = sum(STOCKS - stride.distance for stride in strides(STOCKS, SETTINGS.pair_ratio))
    found = take_turns(
        {
            "ours": lambda: blend(score, labels).backward(),
            "every pair": lambda: by_loop(score, labels.value).backward(),
            "as many pairs": lambda: by_loop(score, labels.value, pairs).backward(),
        },
        turns=7,
    )
    against_loops = [
        rates(
            "blend, 64 days of 500 stocks, 4 horizons",
            found["ours"],
            found[loop],
            peer_name=f"a loop over days, RankNet on {loop}",
            each=64,
            unit="days/s",
            target=10.0,
        )
        for loop in ("every pair", "as many pairs")
    ]
    return [*against_loops, share_of_step()]


def share_of_step() -> Figure:
    """The blend on 4 days of 500 beside the whole training step on the same rows."""
    score, labels = draw(4)
    loss = MultiHorizonLoss(SETTINGS, horizons=HORIZONS)
    step = our_step(4, STOCKS, lambda out, batch: loss(out, labels, days_of(batch)).total)
    found = take_turns({"ours": lambda: blend(score, labels).backward(), "step": step})
    return costs(
        "blend, 4 days of 500 stocks, 4 horizons",
        found["ours"],
        found["step"],
        peer_name="training step of ATFT-GAT-FAN on these rows",
        target=0.15,
    )


def draw(days: int) -> tuple[Tensor, Labels]:
    """Scores that know a little of the targets."""
    torch.manual_seed(0)
    target = 0.02 * torch.randn(days * STOCKS, len(HORIZONS))
    score = (0.1 * target + 0.01 * torch.randn_like(target)).requires_grad_()
    return score, Labels(target, torch.ones_like(target, dtype=torch.bool))


def blend(score: Tensor, labels: Labels) -> Tensor:
    """Ours, from the day ids on."""
    group_day = torch.arange(len(score) // STOCKS).repeat_interleave(STOCKS)
    loss = MultiHorizonLoss(SETTINGS, horizons=HORIZONS)
    return loss(Forecast(score), labels, Days.from_ids(group_day)).total


def by_loop(score: Tensor, target: Tensor, pairs: int | None = None) -> Tensor:
    """The same terms as a loop over days and horizons, on that many drawn pairs or all."""
    days, total = len(score) // STOCKS, torch.zeros(())
    for first in range(0, len(score), STOCKS):
        rows = slice(first, first + STOCKS)
        for column in range(len(HORIZONS)):
            total = total + one_day(score[rows, column], target[rows, column], pairs)
    return total / (days * len(HORIZONS))


def one_day(score: Tensor, target: Tensor, pairs: int | None) -> Tensor:
    """The four terms on one day and horizon, in plain torch."""
    size, spread = target.square().mean().sqrt().item(), target.std(correction=0).item()
    huber = functional.huber_loss(score, target, delta=size)
    ic = torch.corrcoef(torch.stack([score, target]))[0, 1]
    wanted = torch.softmax(target / spread, 0)
    listnet = functional.kl_div(torch.log_softmax(score / spread, 0), wanted, reduction="sum")
    if pairs is None:
        lead = (score[:, None] - score)[target[:, None] > target]
    else:
        one, other = torch.randint(len(score), (2, pairs))
        lead = (score[one] - score[other]) * torch.sign(target[one] - target[other])
    ranknet = -functional.logsigmoid(lead / spread).mean()
    return huber + (1 - ic) + listnet + ranknet
