"""What a batch of an experiment holds, and what of it the model does not read."""

from __future__ import annotations

from collections.abc import Mapping

from flatline.data.batches import static_names
from flatline.data.edges import EDGE_ATTRIBUTES
from flatline.evaluation.experiment import Experiment

__all__ = ["columns_of", "unread_by"]


def columns_of(experiment: Experiment) -> Mapping[str, tuple[str, ...]]:
    """The names of the features of every input that may have some."""
    return {
        "features": experiment.panel.feature_names,
        "static_features": static_names(experiment.panel),
        "edge_attr": EDGE_ATTRIBUTES,
    }


def unread_by(experiment: Experiment) -> tuple[str, ...]:
    """What may not matter to the model, as a subject declares it.

    Stocks are told apart by what is known of them, not by their number.
    """
    unread = ["stock_id"]
    skipped = getattr(type(experiment.model()), "UNREAD", ())
    if "static_features" in skipped and static_names(experiment.panel):
        unread.append("static_features")
    if not experiment.settings.model.reads_graph:
        unread.append("edges")
    return tuple(unread)
