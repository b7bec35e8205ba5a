"""The multi-horizon loss: weighted terms over weighted horizons, and a report of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from flatline.batch import Forecast, Labels
from flatline.days import Days
from flatline.errors import NoValidDayError, SettingsError, ShapeError
from flatline.losses.classification import bce_with_logits_loss
from flatline.losses.correlation import ic_loss, rank_ic_loss
from flatline.losses.dispersion import reciprocal_spread_loss, variance_floor_loss
from flatline.losses.laws import LAWS
from flatline.losses.per_day import PerDay
from flatline.losses.portfolio import exposure_loss, portfolio_loss, turnover_loss
from flatline.losses.quantile import coverage_loss, pinball_loss
from flatline.losses.ranking import lambdarank_loss, listnet_loss, margin_loss, ranknet_loss
from flatline.losses.regression import huber_loss, mse_loss
from flatline.losses.running import LEAST_DAYS, RunningRatio
from flatline.losses.settings import BlendSettings
from flatline.losses.top_k import top_k_loss

__all__ = ["TERMS", "BlendSettings", "LossReport", "MultiHorizonLoss"]

TERMS: Mapping[str, Callable[..., PerDay]] = MappingProxyType(
    {
        "mse": mse_loss,
        "huber": huber_loss,
        "pinball": pinball_loss,
        "coverage": coverage_loss,
        "bce": bce_with_logits_loss,
        "ic": ic_loss,
        "rank_ic": rank_ic_loss,
        "listnet": listnet_loss,
        "ranknet": ranknet_loss,
        "lambdarank": lambdarank_loss,
        "margin": margin_loss,
        "top_k": top_k_loss,
        "sharpe": portfolio_loss,
        "turnover": turnover_loss,
        "exposure": exposure_loss,
        "variance_floor": variance_floor_loss,
        "reciprocal_spread": reciprocal_spread_loss,
    }
)


@dataclass(frozen=True, slots=True, eq=False)
class LossReport:
    """What a blend found on one batch.

    Args:
        total: What to minimise, with gradient. Shape ().
        terms: Value of each weighted term, unweighted and without gradient, averaged
            over its valid days; NaN where it is undefined. Shape (horizons,) each.
        valid_days: Days that each of these averages is over. Shape (horizons,) each.
        undefined: Terms that have no part in the total for some horizon, and why.
        gradient_share: Share of each term in the sum of the terms' gradient norms (L2)
            at the model's outputs; empty unless it was asked for.
    """

    total: Tensor
    terms: dict[str, Tensor]
    valid_days: dict[str, Tensor]
    undefined: dict[str, str] = field(default_factory=dict)
    gradient_share: dict[str, float] = field(default_factory=dict)


class _Inputs(NamedTuple):
    forecast: Forecast
    labels: Labels
    days: Days
    stock_id: Tensor | None
    exposures: Tensor | None


class _Term(NamedTuple):
    """One term over the days of a batch: each (horizons,), the value NaN where undefined."""

    value: Tensor
    defined: Tensor
    days: Tensor
    why: str


class MultiHorizonLoss(nn.Module):
    """The weighted sum of per-day losses over terms and horizons.

    Each term is averaged over its valid days for each horizon; horizons are averaged by
    their weights; terms are added by theirs. `sharpe` alone looks across days: it is the
    mean over the spread of the daily portfolio return, with a memory of earlier batches
    (see `losses.running`), and is reported as undefined until 20 days have been seen.

    Args:
        settings: Weights and options.
        horizons: Horizons of the model's outputs, in trading days, in their order.
        levels: Levels of the model's quantiles, in their order; empty without any.

    Raises:
        SettingsError: A horizon weight names a horizon that is not there, a horizon has
            no weight, or a term on quantiles is weighted without levels.

    Example:
        >>> loss = MultiHorizonLoss(BlendSettings(weights={"mse": 2.0}), horizons=(1, 5))
        >>> labels = Labels(torch.ones(3, 2), torch.ones(3, 2, dtype=torch.bool))
        >>> loss(Forecast(torch.zeros(3, 2)), labels, Days.from_lengths([3])).total
        tensor(2.)
    """

    horizon_weight: Tensor

    def __init__(
        self, settings: BlendSettings, *, horizons: Sequence[int], levels: Sequence[float] = ()
    ) -> None:
        super().__init__()
        self.settings = settings
        self.horizons = tuple(horizons)
        self.levels = tuple(levels)
        weight = torch.tensor(_horizon_weights(settings, self.horizons))
        self.register_buffer("horizon_weight", weight / weight.sum(), persistent=False)
        self.options: dict[str, dict[str, Any]] = {}
        for name in settings.weights:
            self.options[name] = settings.options_of(name)
            if LAWS[name].reads == "quantiles":
                if not self.levels:
                    raise SettingsError(
                        f"weights names {name} but levels is empty, expected the levels of the "
                        f"model's quantiles. Give the levels, or leave {name} out."
                    )
                self.options[name]["levels"] = self.levels
        if "sharpe" in settings.weights:
            self.sharpe = RunningRatio(len(self.horizons), memory=settings.sharpe_days)

    def forward(
        self,
        forecast: Forecast,
        labels: Labels,
        days: Days,
        *,
        stock_id: Tensor | None = None,
        exposures: Tensor | None = None,
        measure_share: bool = False,
    ) -> LossReport:
        """The loss of a batch of whole days.

        Args:
            forecast: What the model returned.
            labels: What happened.
            days: The day of every row.
            stock_id: Stock of every row, for `turnover`. Shape (rows,).
            exposures: What `exposure` shall hold down. Shape (rows, factors).
            measure_share: Also report `gradient_share`: one more pass, forward and
                backward, through every term (not the model), so ask now and then.

        Raises:
            NoValidDayError: A weighted term has no valid day for some horizon.
            ShapeError: Outputs, labels and days disagree, or an input is missing that a
                weighted term needs.
        """
        inputs = _Inputs(forecast, labels, days, stock_id, exposures)
        self._check(inputs)
        # First, because the terms below remember this batch.
        share = self._shares(inputs) if measure_share else {}
        found = {name: self._term(name, inputs, write=True) for name in self.options}
        total = torch.stack([self._part(name, term) for name, term in found.items()]).sum()
        return LossReport(
            total=total,
            terms={name: term.value.detach() for name, term in found.items()},
            valid_days={name: term.days for name, term in found.items()},
            undefined={name: term.why for name, term in found.items() if term.why},
            gradient_share=share,
        )

    def _part(self, name: str, term: _Term) -> Tensor:
        """What a term adds to the total."""
        value = torch.where(term.defined, term.value, 0.0)
        weight = self.horizon_weight.to(device=value.device, dtype=value.dtype)
        return self.settings.weights[name] * (weight * value).sum()

    def _term(self, name: str, inputs: _Inputs, *, write: bool) -> _Term:
        daily = self._daily(name, inputs)
        days = daily.valid.sum(0)
        defined = days > 0
        why = "" if bool(defined.all()) else self._why_undefined(name, inputs, days)
        if name == "sharpe":
            value, ready, seen = self.sharpe(daily, write=write)
            if not why and not bool(ready.all()):
                why = f"{int(seen.min())} days seen, {LEAST_DAYS} that differ are needed"
            defined = defined & ready
        else:
            value = torch.where(daily.valid, daily.value, 0.0).sum(0) / days.clamp(min=1)
        return _Term(torch.where(defined, value, torch.nan), defined, days, why)

    def _daily(self, name: str, inputs: _Inputs) -> PerDay:
        law = LAWS[name]
        score = inputs.forecast.quantiles if law.reads == "quantiles" else inputs.forecast.point
        more = {need: getattr(inputs, need) for need in law.needs}
        labels = inputs.labels
        return TERMS[name](
            score, labels.value, labels.known, inputs.days, **self.options[name], **more
        )

    def _why_undefined(self, name: str, inputs: _Inputs, days: Tensor) -> str:
        """Why a term has no valid day: an error, unless flat scores are to be skipped."""
        empty = [h for h, count in zip(self.horizons, days.tolist(), strict=True) if count == 0]
        where = f"{name} has no valid day among {inputs.days.count} for horizons {empty}"
        if LAWS[name].at_constant == "undefined":
            # With the labels for scores: if that is defined, the scores are at fault.
            other = torch.where(inputs.labels.known, inputs.labels.value, 0.0)
            ideal = self._daily(name, inputs._replace(forecast=Forecast(other)))
            if bool(ideal.valid.any(0).all()):
                why = f"{where}: the scores are constant on every day"
                if self.settings.flat_scores == "skip":
                    return why
                raise NoValidDayError(
                    f"{why}, expected scores that differ between stocks. Start the heads with a "
                    "spread above 0, or set flat_scores to 'skip'."
                )
        need = "stocks with different labels"
        if LAWS[name].follows:
            need = "stocks with different labels on days that follow each other"
        raise NoValidDayError(
            f"{where}: the labels do not allow one, expected at least 1 each. Give days with "
            f"enough {need}, or leave {name} or the horizon out."
        )

    def _shares(self, inputs: _Inputs) -> dict[str, float]:
        """Share of each term in the gradient norms at copies of the outputs."""
        with torch.enable_grad():
            point, quantiles = inputs.forecast
            leaf = Forecast(
                point.detach().requires_grad_(),
                None if quantiles is None else quantiles.detach().requires_grad_(),
            )
            norms = {}
            for name in self.options:
                part = self._part(
                    name, self._term(name, inputs._replace(forecast=leaf), write=False)
                )
                read = getattr(leaf, LAWS[name].reads)
                norms[name] = torch.autograd.grad(part, read)[0].float().norm()
        total = torch.stack(list(norms.values())).sum()
        return {name: float(norm / total) for name, norm in norms.items()}

    def _check(self, inputs: _Inputs) -> None:
        point, quantiles = inputs.forecast
        wide = len(self.horizons)
        if point.ndim != 2 or point.shape[1] != wide or inputs.labels.value.shape != point.shape:
            raise ShapeError(
                f"point has shape {tuple(point.shape)} beside labels of "
                f"{tuple(inputs.labels.value.shape)}, expected (rows, {wide}) for both: one column "
                f"per horizon of {self.horizons}. Give the loss the horizons of the model."
            )
        for name in self.options:
            if LAWS[name].reads == "quantiles" and quantiles is None:
                raise ShapeError(
                    f"quantiles is None but {name} is weighted, expected one column per level of "
                    f"{self.levels}. Use a model with quantile heads, or leave {name} out."
                )
            for need in LAWS[name].needs:
                if getattr(inputs, need) is None:
                    raise ShapeError(
                        f"{need} is None but {name} is weighted, expected one entry per row. "
                        f"Give {need} to the loss, or leave {name} out."
                    )


def _horizon_weights(settings: BlendSettings, horizons: tuple[int, ...]) -> list[float]:
    if not horizons or len(set(horizons)) != len(horizons) or min(horizons) < 1:
        raise SettingsError(
            f"horizons is {horizons}, expected different numbers of trading days, each at least 1. "
            "Give the horizons of the model."
        )
    weights = settings.horizon_weights
    if weights is None:
        return [1.0] * len(horizons)
    if set(weights) != set(horizons):
        raise SettingsError(
            f"horizon_weights names the horizons {sorted(weights)}, expected exactly "
            f"{sorted(horizons)}. Give one weight to each horizon of the model, and to no other."
        )
    return [weights[horizon] for horizon in horizons]
