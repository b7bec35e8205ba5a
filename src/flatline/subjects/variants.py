"""The settings of our references: another value for each, and the subject made with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from typing import Any, cast

from flatline.evaluation.experiment import Experiment, assemble
from flatline.harness import Subject, Variants
from flatline.harness.variants import Beside
from flatline.section import Section
from flatline.settings import Settings

__all__ = ["INERT", "OTHERS", "variants_of"]

# Read by the training loop, the walk-forward or the command line, and not by what the gate sees.
INERT = (
    # Shows on days with few stocks only, which the embedded market does not have.
    "loss.min_names",
    # A remembered book shows after many batches, and another model is another subject.
    "loss.sharpe_days", "loss.turnover_max_gap", "loss.flat_scores", "model.name",
    "data.windows.", "guard.", "diagnostics.", "run.", "data.source.memory_map",
    *(f"training.{name}" for name in (
        "max_epochs", "max_steps", "max_seconds", "schedule", "schedule_interval",
        "warmup_epochs", "warmup_steps", "final_fraction", "plateau_factor", "plateau_patience",
        "clip_norm", "ema_decay", "precision", "patience", "restore_best", "min_defined_share",
        "checkpoint_every_n_steps", "log_every_n_steps", "accelerator", "deterministic",
        "progress", "tensorboard", "seed", "phases",
    )),
)  # fmt: skip

EVERYWHERE: Mapping[str, Any] = {
    "data.source.market_seed": 1,
    "data.split.valid": 0.2,
    "data.split.test": 0.2,
    "data.split.embargo": 3,
    "data.horizons": (1, 2),
    "data.lookback": 15,
    "data.batch_rows": 700,
    "data.shuffle": False,
    "data.seed": 1,
    "model.hidden": 24,
    "model.dropout": 0.2,
    "model.attention_heads": 1,
    "training.learning_rate": 1e-4,
    "training.weight_decay": 0.1,
    "training.betas": (0.8, 0.999),
}
OF_STOCKS: Mapping[str, Any] = {
    "data.split.train_from": "2015-03-02",
    "data.split.valid_from": "2015-10-01",
    "data.split.test_from": "2015-12-01",
    "data.split.test_until": "2015-12-31",
    "data.source.universe": 20,
    "data.source.signals": ("newest",),
    "data.normaliser": "day_rank",
    "data.target": "rank",
    "data.max_stocks": 10,
    "data.min_present": 1.0,
    "loss.horizon_weights": {1: 1.0, 5: 2.0, 10: 3.0, 20: 4.0},
}
# What a term is told matters where the term has a weight.
OF_TERMS: Mapping[str, Any] = {
    f"loss.{name}": Beside(value, {"loss.weights": {"mse": 1.0, term: 1.0}})
    for name, (term, value) in {
        "huber_delta": ("huber", 0.1),
        "bce_threshold": ("bce", 0.5),
        "bce_pos_weight": ("bce", 3.0),
        "bce_focal_gamma": ("bce", 2.0),
        "rank_ic_softness": ("rank_ic", 1.0),
        "listnet_tau": ("listnet", 0.5),
        "listnet_top_k": ("listnet", 3),
        "ranknet_tau": ("ranknet", 0.5),
        "lambdarank_tau": ("lambdarank", 0.5),
        "margin": ("margin", 2.0),
        "top_k_share": ("top_k", 0.3),
        "top_k_tau": ("top_k", 2.0),
        "pair_ratio": ("ranknet", 3.0),
        "variance_floor": ("variance_floor", 1.5),
        "reciprocal_softening": ("reciprocal_spread", 1.0),
    }.items()
}
PATCHES: Mapping[str, Any] = {"model.patch_length": 9, "model.stride": 3}

OTHERS: Mapping[str, Mapping[str, Any]] = {
    "apex": {
        **EVERYWHERE,
        **OF_STOCKS,
        **OF_TERMS,
        **PATCHES,
        "data.graph.enabled": True,
        "loss.weights": {"mse": 1.0, "ic": 1.0},
    },
    "atft_gat_fan": {
        **EVERYWHERE,
        **OF_STOCKS,
        "data.levels": (0.1, 0.5, 0.9),
        "data.graph.neighbours": 3,
        "data.graph.same_sector": 2,
        "data.graph.window": 20,
        "data.graph.rebuild_every": 60,
        "model.variable_width": 4,
        "model.bypass_adaptive_norm": True,
        "model.adaptive_norm": "revin",
        "model.fan_top_k": 2,
        "model.san_slices": 2,
        "model.bypass_gat": True,
        "model.gat_heads": 2,
        "model.gat_init_scale": 1.0,
        "model.gat_residual_gate": 0.9,
        "model.head_variant": "apex",
        "model.head_init_std": 0.2,
        "model.head_layer_scale": 0.5,
        "model.head_use_layernorm": True,
        "loss.coverage_softness": Beside(
            1.0, {"loss.weights": {"mse": 1.0, "coverage": 1.0}}
        ),
    },
    "patchtst": {
        **EVERYWHERE,
        **PATCHES,
        "data.source.market": "small",
        "data.split.train_from": "1991-01-02",
        "data.split.valid_from": "1997-01-02",
        "data.split.test_from": "1999-01-04",
        "data.split.test_until": "1999-06-30",
        "data.series.features": "level",
        "data.normaliser": "rolling",
        "model.task": "ranking",
        "model.depth": 3,
        "model.feed_forward": 16,
        "model.norm": "batch",
        "model.pre_norm": False,
        "model.pooling": "max",
        "loss.bce_threshold": 0.02,
        "loss.bce_pos_weight": 3.0,
        "loss.bce_focal_gamma": 2.0,
    },
}  # fmt: skip
# A change of these needs the prices read anew; all else is made of the same panel.
OF_THE_PANEL = ("data.source.", "data.split.", "data.series.", "data.normaliser", "data.horizons")


def variants_of(settings: Settings, make: Callable[[Experiment], Subject]) -> Variants | None:
    """How to remake a reference subject; None for prices from files, which take long to read.

    Settings are tried on the smallest market.

    Args:
        settings: Of the subject.
        make: From an experiment to the subject.
    """
    if settings.data.source.prices:
        return None
    small = cast("Settings", _changed(settings, {"data.source.market": "tiny"}))

    @cache
    def base() -> Experiment:
        return assemble(small)

    def remake(changed: Mapping[str, Any]) -> Subject:
        tree = cast("Settings", _changed(small, changed))
        if any(name.startswith(OF_THE_PANEL) for name in changed):
            return make(assemble(tree))
        return make(replace(base(), settings=tree))

    return Variants(make=remake, others=_other_values(small))


def _other_values(settings: Settings) -> dict[str, Any]:
    """Those of the table that are not the values in use already."""
    dumped, others = settings.model_dump(), OTHERS[settings.model.name]
    return {
        name: value
        for name, value in others.items()
        if isinstance(value, Beside) or _value(dumped, name) != value
    }


def _changed(section: Section, changed: Mapping[str, Any]) -> Section:
    """The same settings with others of them; what these leave without effect is let go."""
    own: dict[str, Any] = {}
    below: dict[str, dict[str, Any]] = {}
    for name, value in changed.items():
        first, _, rest = name.partition(".")
        if rest:
            below.setdefault(first, {})[rest] = value
        else:
            own[first] = value
    for name, values in below.items():
        inner = getattr(section, name, None)
        # What is no section is given as it is, and refused by its name.
        own[name] = _changed(inner, values) if isinstance(inner, Section) else values
    return section.changed(**own)


def _value(tree: Mapping[str, Any], name: str) -> Any:  # noqa: ANN401 (settings differ in type)
    found: Any = tree
    for part in name.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found
