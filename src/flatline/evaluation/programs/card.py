"""What a program takes and gives, in words that go along with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import ValidationError
from torch import Tensor

from flatline.artifacts import Manifest
from flatline.artifacts.output_names import NEW, check_style, names_of
from flatline.batch import DayBatch, Forecast
from flatline.data.batches import static_names
from flatline.data.edges import EDGE_ATTRIBUTES
from flatline.errors import ArtifactError, SettingsError
from flatline.evaluation.experiment import Experiment
from flatline.section import Section

__all__ = ["CARD", "Card", "Program", "card_of", "read_card"]

CARD = "flatline.json"
FORMAT = 1


class Card(Section):
    """What the inputs and outputs of a program are.

    Args:
        format_version: Of this card.
        model: Name of the architecture.
        run_id: Of the run that trained it.
        inputs: Names of the tensors it takes; see `DayBatch`.
        outputs: Names of the tensors it gives.
        names: `new`: `point` (rows, horizons) and `quantiles` (rows, horizons, levels);
            an old style: a score (rows,) and `quantiles_...` (rows, levels) per horizon.
        features: Names of the features of a step, in order.
        static: Names of the static features, in order.
        edge_attributes: Names of the attributes of an edge, in order.
        lookback: Steps of a window.
        horizons: In trading days.
        levels: Quantile levels, ascending; empty where none are given.
        target_scale: What the scores were trained on: `raw` returns as a fraction, or the
            name of what was done to them.
        normaliser: Name of what the features must have gone through.
    """

    format_version: int = FORMAT
    model: str
    run_id: str
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    names: str = NEW
    features: tuple[str, ...]
    static: tuple[str, ...] = ()
    edge_attributes: tuple[str, ...] = ()
    lookback: int
    horizons: tuple[int, ...]
    levels: tuple[float, ...] = ()
    target_scale: str
    normaliser: str


def card_of(experiment: Experiment, manifest: Manifest, *, names: str = NEW) -> Card:
    """The card of a run's model.

    Args:
        experiment: What the run was made of.
        manifest: Of its checkpoint.
        names: See `Card`.

    Raises:
        SettingsError: There is no such style of names.
    """
    check_style(names)
    return Card(
        model=str(manifest.model["name"]),
        run_id=manifest.run_id,
        names=names,
        features=manifest.feature_names,
        static=static_names(experiment.panel),
        edge_attributes=EDGE_ATTRIBUTES[: manifest.edge_attributes],
        lookback=manifest.lookback,
        horizons=manifest.horizons,
        levels=manifest.levels,
        target_scale=manifest.target_scale,
        normaliser=experiment.settings.data.normaliser,
    )


@dataclass(frozen=True, slots=True, eq=False)
class Program:
    """A program to score batches with.

    Args:
        card: What it takes and gives.
        run: From the inputs by name to the outputs by name.
    """

    card: Card
    run: Callable[[dict[str, Tensor]], Mapping[str, Tensor]]

    def __call__(self, batch: DayBatch) -> Forecast:
        """The scores of a batch, as the model gives them."""
        # Also for the same kernels: some take another way where a gradient may be asked for.
        with torch.no_grad():
            out = self.run(inputs_of(batch, self.card))
        if self.card.names == NEW:
            return Forecast(out["point"], out.get("quantiles"))
        names = names_of(self.card.horizons, self.card.names)
        quantiles = [out[f"quantiles_{n}"] for n in names] if self.card.levels else None
        point = torch.stack([out[name] for name in names], 1)
        return Forecast(point, None if quantiles is None else torch.stack(quantiles, 1))


def inputs_of(batch: DayBatch, card: Card) -> dict[str, Tensor]:
    """What a program reads of a batch; a batch without a graph has no edges.

    Raises:
        ArtifactError: The batch lacks an input.
    """
    rows: dict[str, Tensor] = dict(batch)  # type: ignore[arg-type]
    empty = {
        "edge_index": torch.empty(2, 0, dtype=torch.int64),
        "edge_attr": torch.empty(0, len(card.edge_attributes)),
    }
    missing = [name for name in card.inputs if name not in rows and name not in empty]
    if missing:
        raise ArtifactError(
            f"batch has keys {sorted(rows)}, expected {missing[0]} among them as the program of "
            f"run {card.run_id} reads it. Build batches from the run's settings."
        )
    return {name: rows.get(name, empty.get(name, torch.empty(0))) for name in card.inputs}


def read_card(text: str | bytes, path: Path) -> Card:
    """The card of a program.

    Raises:
        ArtifactError: It is missing or damaged.
    """
    try:
        return Card.model_validate_json(text)
    except (SettingsError, ValidationError) as error:
        raise ArtifactError(
            f"program {path} has a card that cannot be read, expected one of "
            "`flatline export`. Export it again."
        ) from error
