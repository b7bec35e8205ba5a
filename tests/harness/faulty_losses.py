"""Losses with one fault each, beside healthy ones, as somebody else would have written them."""

import torch
from torch.nn import functional


def by_day(score, day):
    """Scores of each day as rows of a list."""
    return [day == one for one in day.unique()]


def mean_squared(score, target, mask):
    """Mean squared error over what is labelled; refuses a batch without labels."""
    if not mask.any():
        raise ValueError("no label")
    return (score - target)[mask].square().mean()


def plain_squared(score, target):
    """Mean squared error of complete labels."""
    return (score - target).square().mean()


def correlation(x, y):
    """Pearson along the first axis."""
    x, y = x - x.mean(0), y - y.mean(0)
    return (x * y).mean(0) / (x.square().mean(0) * y.square().mean(0)).sqrt()


def daily_ic(score, target, day):
    """One minus the mean correlation of each day; refuses constants."""
    found = []
    for here in by_day(score, day):
        if len(score[here]) < 2 or (score[here].std(0) <= 1e-6 * score[here].abs().amax(0)).any():
            raise ValueError("no spread")
        found.append(1 - correlation(score[here], target[here]).mean())
    return torch.stack(found).mean()


def listnet(score, target, day, *, tau=1.0):
    """Cross-entropy of top-one probabilities, in spreads of the day's targets."""
    found = []
    for here in by_day(score, day):
        if here.sum() < 2:
            raise ValueError("one stock has no order")
        s, t = score[here], target[here]
        scale = tau * t.std(0)
        found.append(-((t / scale).softmax(0) * (s / scale).log_softmax(0)).sum(0).mean())
    return torch.stack(found).mean()


def ranknet(score, target, day):
    """Logistic loss over pairs of different targets."""
    found = []
    for here in by_day(score, day):
        lead = score[here][:, None] - score[here]
        better = target[here][:, None] > target[here]
        if not better.any():
            raise ValueError("no pair")
        found.append(functional.softplus(-lead)[better].mean())
    return torch.stack(found).mean()


def pooled_ic(score, target, day):
    """L01: one correlation over the rows of all days."""
    return 1 - correlation(score, target).mean()


def softmax_over_days(score, target, day):
    """L02: top-one probabilities over all rows of the batch."""
    return -(target.softmax(0) * score.log_softmax(0)).sum(0).mean()


def hard_rank(score, target, day):
    """L03: correlation of ranks that argsort made."""
    return daily_ic(score.argsort(0).argsort(0).to(score.dtype) + 0 * score, target, day)


def flipped(score, target, day):
    """L04: the correlation is minimised."""
    return 2 - daily_ic(score, target, day)


def summed(score, target, mask):
    """L05: the sum over stocks."""
    return mean_squared(score, target, mask) * mask.sum()


def broadcast(score, target):
    """L07: every score against every target of the batch."""
    return (score[:, None] - target[None]).square().mean()


def inverted_mask(score, target, mask):
    """L08: only the missing labels train."""
    return torch.where(mask, 0.0, score - torch.nan_to_num(target)).square().mean()


def empty_day_is_zero(score, target, mask, day):
    """L08: a day without labels counts as a day of loss 0."""
    error = torch.where(mask, score - target, 0.0).square()
    days = [error[here].sum() / mask[here].sum().clamp(min=1) for here in by_day(score, day)]
    return torch.stack(days).mean()


def detached_penalty(score, target):
    """L09: a reward for spread that has a value and no gradient."""
    return plain_squared(score, target) - 0.1 * score.std().item()


def clamped_spread(score, target, day):
    """L09: below its floor the spread has no gradient."""
    spread = [score[here].std(0).clamp(min=1e-3).mean() for here in by_day(score, day)]
    return 0.1 / torch.stack(spread).mean()


def raw_listnet(score, target, day):
    """L11: softmax of raw daily returns."""
    found = [
        -(target[here].softmax(0) * score[here].log_softmax(0)).sum(0).mean()
        for here in by_day(score, day)
    ]
    return torch.stack(found).mean()


def skips_singletons(score, target, day):
    """L12: days with one row are left out, and the loss is 0 without a word."""
    found = [
        1 - correlation(score[here], target[here]).mean()
        for here in by_day(score, day)
        if here.sum() > 1
    ]
    return torch.stack(found).mean() if found else (0 * score).sum()


def missing_is_zero(score, target, mask):
    """L14: a missing label is a return of 0."""
    return (score - torch.nan_to_num(target)).square().mean() + 0 * mask.sum()


def root_at_zero(score, target, day):
    """L15: a square root without care."""
    return torch.stack(
        [1 - correlation(score[here], target[here]).mean() for here in by_day(score, day)]
    ).mean()


def ties_train(score, target, day):
    """L16: of two equal targets the earlier row is to be ahead."""
    found = []
    for here in by_day(score, day):
        s, t = score[here], target[here]
        lead, ahead = s[:, None] - s, t[:, None] >= t
        pair = torch.ones(len(s), len(s), dtype=torch.bool).triu(1)[..., None]
        sign = torch.where(ahead, 1.0, -1.0)
        found.append((functional.softplus(-sign * lead) * pair).sum() / pair.sum().clamp(min=1))
    return torch.stack(found).mean()


def hides_nan(score, target, mask):
    """L18: a score that is not a number counts as 0."""
    return mean_squared(torch.nan_to_num(score), target, mask)


def spreads_nan(score, target, mask, day):
    """L18: one day that is not a number spoils the value of every day."""
    days = torch.stack([mean_squared(score[h], target[h], mask[h]) for h in by_day(score, day)])
    return days + 0 * days.sum()


def soft_rank(score, target, day, *, softness):
    """Correlation of targets with soft ranks, their ramps *softness* score spreads wide."""
    found = []
    for here in by_day(score, day):
        s = score[here]
        lead = (s[:, None] - s) / (softness * s.std(0))
        ranks = lead.sigmoid().sum(1)
        found.append(1 - correlation(ranks, target[here]).mean())
    return torch.stack(found).mean()
