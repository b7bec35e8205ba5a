"""What each loss promises, in one table that the tests read and the blend obeys.

This module imports no torch, so that settings can be checked before torch starts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

__all__ = ["LAWS", "OPTIONS", "Law", "Option"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Law:
    """The promises of one term.

    Args:
        at_constant: What it does at exactly constant scores. `alive`: its gradient
            pushes stocks with higher labels up against the others. `undefined`: the day
            is not valid. `dead`: it has a value but no gradient that tells stocks apart.
        shift: Adding a number to a day's scores changes nothing.
        scale: Multiplying a day's scores by a positive number changes nothing.
        degree: Multiplying scores and targets by a multiplies the value by a**degree;
            None where there is no such rule.
        best: What has the least loss: a `forecast` equal to the targets, the `order` of
            the targets among all orders of the same scores, or just the right `direction`:
            the targets as scores lose less than the same upside down. None for a penalty.
        reads: Output of the model that it reads.
        needs: Further arguments that it takes by keyword.
        follows: Its value on a day depends on the day before.
    """

    at_constant: Literal["alive", "undefined", "dead"]
    shift: bool
    scale: bool
    degree: float | None
    best: Literal["forecast", "order", "direction"] | None
    reads: Literal["point", "quantiles"] = "point"
    needs: tuple[str, ...] = ()
    follows: bool = False


LAWS: Mapping[str, Law] = MappingProxyType(
    {
        "mse": Law(at_constant="alive", shift=False, scale=False, degree=2, best="forecast"),
        "huber": Law(at_constant="alive", shift=False, scale=False, degree=2, best="forecast"),
        "pinball": Law(
            at_constant="alive",
            shift=False,
            scale=False,
            degree=1,
            best="forecast",
            reads="quantiles",
        ),
        "coverage": Law(
            at_constant="dead", shift=False, scale=False, degree=0, best=None, reads="quantiles"
        ),
        "bce": Law(at_constant="alive", shift=False, scale=False, degree=None, best="order"),
        "ic": Law(at_constant="undefined", shift=True, scale=True, degree=0, best="forecast"),
        "rank_ic": Law(at_constant="undefined", shift=True, scale=True, degree=0, best="order"),
        "listnet": Law(at_constant="alive", shift=True, scale=False, degree=0, best="forecast"),
        "ranknet": Law(at_constant="alive", shift=True, scale=False, degree=0, best="order"),
        "lambdarank": Law(at_constant="alive", shift=True, scale=False, degree=0, best="direction"),
        "margin": Law(at_constant="alive", shift=True, scale=False, degree=0, best="order"),
        "top_k": Law(at_constant="alive", shift=True, scale=False, degree=0, best="order"),
        "sharpe": Law(at_constant="undefined", shift=True, scale=True, degree=1, best="order"),
        "turnover": Law(
            at_constant="undefined",
            shift=True,
            scale=True,
            degree=0,
            best=None,
            needs=("stock_id",),
            follows=True,
        ),
        "exposure": Law(
            at_constant="undefined",
            shift=True,
            scale=True,
            degree=0,
            best=None,
            needs=("exposures",),
        ),
        "variance_floor": Law(at_constant="dead", shift=True, scale=False, degree=0, best=None),
        "reciprocal_spread": Law(at_constant="dead", shift=True, scale=False, degree=0, best=None),
    }
)


@dataclass(frozen=True, slots=True)
class Option:
    """Which terms an option of the blend is for, and its name as their keyword."""

    keyword: str
    terms: tuple[str, ...]


OPTIONS: Mapping[str, Option] = MappingProxyType(
    {
        "huber_delta": Option("delta", ("huber",)),
        "coverage_softness": Option("softness", ("coverage",)),
        "bce_threshold": Option("threshold", ("bce",)),
        "bce_pos_weight": Option("pos_weight", ("bce",)),
        "bce_focal_gamma": Option("focal_gamma", ("bce",)),
        "rank_ic_softness": Option("softness", ("rank_ic",)),
        "listnet_tau": Option("tau", ("listnet",)),
        "listnet_top_k": Option("top_k", ("listnet",)),
        "ranknet_tau": Option("tau", ("ranknet",)),
        "lambdarank_tau": Option("tau", ("lambdarank",)),
        "margin": Option("margin", ("margin",)),
        "top_k_share": Option("share", ("top_k",)),
        "top_k_tau": Option("tau", ("top_k",)),
        "pair_ratio": Option("ratio", ("ranknet", "lambdarank", "margin")),
        "turnover_max_gap": Option("max_gap", ("turnover",)),
        "variance_floor": Option("floor", ("variance_floor",)),
        "reciprocal_softening": Option("softening", ("reciprocal_spread",)),
        "min_names": Option(
            "min_names", ("ic", "rank_ic", "sharpe", "turnover", "exposure", "coverage")
        ),
    }
)
