"""One way to call every loss term on a batch of scored days."""

import torch

from flatline.batch import Forecast, Labels
from flatline.harness.laws import ScoredDays, make_scored_days
from flatline.losses.blend import TERMS, MultiHorizonLoss
from flatline.losses.laws import LAWS, OPTIONS
from flatline.losses.per_day import PerDay
from flatline.losses.settings import BlendSettings

LEVELS = (0.1, 0.5, 0.8)
HORIZONS = (1, 5)
NAMES = sorted(LAWS)


def named(**facts):
    """Terms whose laws state these facts."""
    return [n for n in NAMES if all(getattr(LAWS[n], key) == fact for key, fact in facts.items())]


def quantiles_around(score):
    """Forecasts of the three levels, beside each score."""
    return score[..., None] + torch.tensor([-0.5, 0.0, 0.3], dtype=score.dtype)


def score_of(name: str, batch: ScoredDays) -> torch.Tensor:
    """What the term reads: the scores, or quantiles around them."""
    if LAWS[name].reads == "point":
        return batch.score
    return quantiles_around(batch.score)


def options_of(name: str) -> dict[str, object]:
    """Options that let a day of two stocks count, so that small batches say something."""
    options = {"min_names": 2} if name in OPTIONS["min_names"].terms else {}
    return options | ({"levels": LEVELS} if LAWS[name].reads == "quantiles" else {})


def per_day(
    name: str, batch: ScoredDays, score: torch.Tensor | None = None, **options: object
) -> PerDay:
    """The term on the batch, with other scores if given."""
    more = {need: getattr(batch, need) for need in LAWS[name].needs}
    score = score_of(name, batch) if score is None else score
    options = options_of(name) | options
    return TERMS[name](score, batch.target, batch.mask, batch.days, **options, **more)


def gradient(name: str, batch: ScoredDays, score: torch.Tensor | None = None) -> torch.Tensor:
    """Gradient of the sum of all values at the scores; 0 where there is none."""
    leaf = (score_of(name, batch) if score is None else score).detach().clone().requires_grad_()
    total = per_day(name, batch, leaf).value.sum()
    return torch.autograd.grad(total, leaf)[0]


def blend(weights=None, *, levels=LEVELS, horizons=HORIZONS, **options):
    """A blend of two horizons."""
    settings = BlendSettings(weights=weights or {"mse": 1.0}, **options)
    return MultiHorizonLoss(settings, horizons=horizons, levels=levels)


def inputs(lengths=(9, 9, 9), **options):
    """Forecast, labels, days and the rest of a batch, in single precision."""
    batch = make_scored_days(list(lengths), **options)
    score = batch.score.float()
    quantiles = score[..., None] + torch.tensor([-0.5, 0.0, 0.3])
    forecast = Forecast(score, quantiles)
    more = {"stock_id": batch.stock_id, "exposures": batch.exposures.float()}
    return (forecast, Labels(batch.target.float(), batch.mask), batch.days), more
