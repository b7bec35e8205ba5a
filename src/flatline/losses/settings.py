"""What a blend can be told: weights of terms and horizons, and the options of the terms.

This module imports no torch, so that a command line can print its help and choose its
threads before torch starts its pool.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from flatline.errors import SettingsError
from flatline.losses.laws import LAWS, OPTIONS
from flatline.section import Section, nearest

__all__ = ["BlendSettings"]

Positive = Annotated[float, Field(gt=0)]


class BlendSettings(Section):
    """Weights and options of the multi-horizon loss.

    An option may be set only where a term that reads it is weighted.

    Args:
        weights: Weight of each term, above 0; a term that is not named is off.
        horizon_weights: Weight of each horizon, by its length in trading days, above 0;
            their size among each other counts. None weights all horizons alike.
        huber_delta: Knee of `huber`, in root mean squares of the day's targets.
        coverage_softness: Width of the smooth count in `coverage`, in spreads of the
            day's targets.
        bce_threshold: Targets above this are the event of `bce`.
        bce_pos_weight: What a row of the event counts in `bce`, in rows that are none.
        bce_focal_gamma: How fast a row that is already forecast well loses its weight in
            `bce` (focal loss); 0 not at all.
        rank_ic_softness: Half-width of the soft count in `rank_ic`, in spreads of the
            day's scores over its number of stocks.
        listnet_tau: Temperature of `listnet`, in spreads of the day's targets.
        listnet_top_k: Stocks that share the target probability of `listnet`; None: all.
        ranknet_tau: Temperature of `ranknet`, in spreads of the day's targets.
        lambdarank_tau: Temperature of `lambdarank`, in spreads of the day's targets.
        margin: Lead that `margin` wants, in spreads of the day's targets.
        top_k_share: Share of the day's stocks that `top_k` holds, under 1.
        top_k_tau: Width of the border of what `top_k` holds, in spreads of the day's targets.
        pair_ratio: Growth of the rank distances at which `ranknet`, `lambdarank` and
            `margin` compare stocks; 1 compares all pairs.
        turnover_max_gap: Days that lie further apart do not follow each other for `turnover`.
        variance_floor: Least spread of the scores, in spreads of the day's targets.
        reciprocal_softening: Spread at which `reciprocal_spread` stops growing, in
            spreads of the day's targets.
        min_names: Least labelled stocks of a day for `ic`, `rank_ic`, `sharpe`,
            `turnover`, `exposure` and `coverage`.
        sharpe_days: Days over which `sharpe` remembers its mean and spread, at least 20.
        flat_scores: What to do when a weighted term is undefined on every day because
            the scores are constant: `raise`, or `skip` the term and report it.

    Raises:
        SettingsError: A key or term is unknown, a value is out of range, a setting
            would change nothing, or no weighted term is alive at constant scores.

    Example:
        >>> BlendSettings(weights={"huber": 1.0, "ic": 0.5}, huber_delta=2.0).huber_delta
        2.0
    """

    weights: Mapping[str, float] = {"huber": 1.0, "pinball": 1.0, "ic": 0.5}
    horizon_weights: Mapping[int, float] | None = None
    huber_delta: Positive = 1.0
    coverage_softness: Positive = 0.1
    bce_threshold: float = 0.0
    bce_pos_weight: Positive = 1.0
    bce_focal_gamma: Annotated[float, Field(ge=0)] = 0.0
    rank_ic_softness: Positive = 5.0
    listnet_tau: Positive = 1.0
    listnet_top_k: Annotated[int, Field(ge=1)] | None = None
    ranknet_tau: Positive = 1.0
    lambdarank_tau: Positive = 1.0
    margin: Positive = 1.0
    top_k_share: Annotated[float, Field(gt=0, lt=1)] = 0.1
    top_k_tau: Positive = 0.5
    pair_ratio: Annotated[float, Field(ge=1)] = 1.6
    turnover_max_gap: Annotated[int, Field(ge=1)] = 1
    variance_floor: Positive = 0.1
    reciprocal_softening: Positive = 0.01
    min_names: Annotated[int, Field(ge=2)] = 5
    sharpe_days: Annotated[int, Field(ge=20)] = 60
    flat_scores: Literal["raise", "skip"] = "raise"

    @model_validator(mode="after")
    def _each_weight_counts(self) -> Self:
        for term, weight in self.weights.items():
            if term not in LAWS:
                raise SettingsError(
                    f"weights names the term {term!r}, expected one of {sorted(LAWS)}. "
                    f"{nearest(term, LAWS)}"
                )
            _check_weight(f"weight of {term}", weight)
        for horizon, weight in (self.horizon_weights or {}).items():
            _check_weight(f"weight of horizon {horizon}", weight)
        if not any(LAWS[term].at_constant == "alive" for term in self.weights):
            alive = [name for name, law in LAWS.items() if law.at_constant == "alive"]
            raise SettingsError(
                f"weights names {sorted(self.weights)}, none of which is alive at exactly "
                "constant scores, expected at least one: without it scores that have become "
                f"constant stay constant. Give a weight to one of {alive}."
            )
        return self

    @model_validator(mode="after")
    def _each_option_is_read(self) -> Self:
        readers = {name: option.terms for name, option in OPTIONS.items()}
        readers["sharpe_days"] = ("sharpe",)
        readers["flat_scores"] = tuple(
            name for name, law in LAWS.items() if law.at_constant == "undefined"
        )
        for name, terms in readers.items():
            self.refuse_idle(
                name,
                unless=bool(set(terms) & set(self.weights)),
                because=f"no term that reads it has a weight. Give one to {' or '.join(terms)}, "
                "or drop it",
            )
        return self

    def options_of(self, term: str) -> dict[str, Any]:
        """The options that *term* reads, by their keyword."""
        return {
            option.keyword: getattr(self, name)
            for name, option in OPTIONS.items()
            if term in option.terms
        }


def _check_weight(what: str, weight: float) -> None:
    if not weight > 0:
        raise SettingsError(f"{what} is {weight}, expected above 0. Leave it out to switch it off.")
