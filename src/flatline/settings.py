"""The settings of a run: one tree of the sections that lie beside what they set.

Defaults give way to a file, the file to the environment, the environment to the
command line. In the environment a setting has its long name, such as
`FLATLINE_TRAINING__LEARNING_RATE`, and some have a short one, such as
`LEARNING_RATE` (see `aliases`). A setting that nobody knows is an error that
names the nearest one.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from pydantic import ValidationError, model_validator

from flatline.data.settings import DataSettings
from flatline.errors import SettingsError
from flatline.losses.laws import LAWS
from flatline.losses.settings import BlendSettings
from flatline.models.settings import AtftGatFanSettings, ModelSettings
from flatline.section import IdleSettingError, Section
from flatline.settings_sources import (
    Layer,
    Place,
    from_environment,
    from_file,
    from_overrides,
    is_zero,
    places,
    put,
)
from flatline.training.settings import (
    DiagnosticsSettings,
    GuardSettings,
    RunSettings,
    TrainingSettings,
)

__all__ = ["Settings", "load_settings", "settings_paths"]


class Settings(Section):
    """All settings of a run.

    Args:
        data: From prices to batches.
        model: The architecture, by its name, and its sizes.
        loss: Weights and options of the blend.
        training: Optimisation, budget, log.
        guard: What to do about flat scores.
        diagnostics: What to log about the model's inside.
        run: Folder and processes.

    Example:
        >>> Settings(training={"learning_rate": 1e-4}).training.learning_rate
        0.0001
    """

    data: DataSettings = DataSettings()
    model: ModelSettings = AtftGatFanSettings()
    loss: BlendSettings = BlendSettings()
    training: TrainingSettings = TrainingSettings()
    guard: GuardSettings = GuardSettings()
    diagnostics: DiagnosticsSettings = DiagnosticsSettings()
    run: RunSettings = RunSettings()

    @model_validator(mode="after")
    def _sections_fit(self) -> Self:
        if not self.model.reads_graph and self.diagnostics.graph_gradient_floor > 0:
            why = "bypass_gat" if self.model.name == "atft_gat_fan" else f"name {self.model.name!r}"
            raise ValueError(
                f"diagnostics.graph_gradient_floor is {self.diagnostics.graph_gradient_floor} but "
                f"model.{why} leaves the graph branch out, expected a branch to watch. "
                "Drop one of them."
            )
        self._check_terms("loss.", self.loss.weights)
        return self

    @model_validator(mode="after")
    def _phases_fit(self) -> Self:
        own = [phase for phase in self.training.phases if phase.weights is not None]
        for phase in own:
            if phase.weights == self.loss.weights:
                raise ValueError(
                    f"weights of phase {phase.name!r} are those of the run and change nothing, "
                    "expected others. Drop them."
                )
            with phase.named():
                self.loss.changed(weights=phase.weights)
            self._check_terms(f"phase {phase.name!r}: ", phase.weights or {})
        return self

    def _check_terms(self, where: str, weights: Mapping[str, float]) -> None:
        """Refuse terms that the batches of a run cannot feed."""
        if "exposure" in weights:
            raise ValueError(
                f"{where}weights.exposure is set but batches carry no exposures, expected a term "
                "on what they hold. Use it from Python, through MultiHorizonLoss, or drop it."
            )
        if "turnover" in weights and self.data.shuffle:
            raise ValueError(
                f"{where}weights.turnover is set with data.shuffle, expected days that follow each "
                "other in a batch. Set data.shuffle to false and data.batch_rows to several days."
            )
        blind = sorted(term for term in weights if LAWS[term].reads == "quantiles")
        if blind and not self.model.gives_quantiles:
            raise ValueError(
                f"{where}weights.{blind[0]} is set but model {self.model.name!r} gives no "
                "quantiles, expected terms on its scores. Set the weight to 0."
            )


def load_settings(
    file: Path | str | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    overrides: Sequence[str] = (),
) -> Settings:
    """The effective settings.

    Args:
        file: TOML, or the settings.json of an earlier run.
        environ: Environment variables; None for those of this process. Empty
            ones count as not set.
        overrides: From the command line, such as `training.learning_rate=1e-4`.

    Raises:
        SettingsError: The file cannot be read; a setting is unknown, has a wrong
            value or changes nothing; or two names give one setting different values. A
            setting of the file that only a later layer leaves without effect is dropped.

    Example:
        >>> load_settings(environ={"LEARNING_RATE": "0.01"}).training.learning_rate
        0.01
        >>> load_settings(environ={}, overrides=["training.sed=3"])
        Traceback (most recent call last):
        flatline.errors.SettingsError: training.sed is no setting, expected a known one.
        Did you mean 'training.seed'?
    """
    layers = [
        {} if file is None else from_file(Settings, Path(file)),
        from_environment(Settings, os.environ if environ is None else environ),
        from_overrides(Settings, overrides),
    ]
    alone = _idle_in(layers[:1])
    while True:
        try:
            return Settings(**_tree(layers))
        except SettingsError as error:
            idle = _idle(error)
            # What a file tells a branch that is switched off by hand is not meant any more.
            later = any(idle in layer for layer in layers[1:])
            if idle not in layers[0] or idle == alone or later:
                origins = {
                    place: given.origin for layer in layers for place, given in layer.items()
                }
                raise SettingsError(_sentence(error, origins)) from error
            layers[0] = {place: given for place, given in layers[0].items() if place != idle}


def _tree(layers: Sequence[Layer]) -> dict[str, Any]:
    """The values of all layers in one tree, later ones over earlier ones."""
    # Weights in a file are all there are; names in the environment change single ones.
    weighted = any(place[:2] == ("loss", "weights") for place in layers[0])
    tree: dict[str, Any] = {"loss": {"weights": {} if weighted else dict(BlendSettings().weights)}}
    for layer in layers:
        for place, given in layer.items():
            put(tree, place, given.value)
    weights = tree["loss"]["weights"]
    # A weight of 0 says that the term is off.
    tree["loss"]["weights"] = {term: w for term, w in weights.items() if not is_zero(w)}
    return tree


def _idle_in(layers: Sequence[Layer]) -> Place | None:
    """The setting that would change nothing if these layers were all; None without one."""
    try:
        Settings(**_tree(layers))
    except SettingsError as error:
        return _idle(error)
    return None


def settings_paths() -> tuple[str, ...]:
    """All settings, by their place in the tree; those under a mapping end with `*`.

    Example:
        >>> "training.learning_rate" in settings_paths()
        True
    """
    return tuple(".".join(path) for path in places(Settings))


def _sentence(error: SettingsError, origins: Mapping[Place, str]) -> str:
    """The error with the whole place of the setting, and who set it."""
    place, cause, _ = _origin(error)
    given = [origin for at, origin in origins.items() if place and at[: len(place)] == place]
    text, where = str(cause), ".".join(place)
    # The section names the setting from where it stands: the last parts of the place.
    ends = (".".join(place[k:]) for k in range(len(place)))
    end = next((end for end in ends if text.startswith(f"{end} ")), None)
    if end is not None:
        text = where + text.removeprefix(end)
    elif where:
        text = f"in {where}, {text}"
    return f"{text} Set by {given[0]}." if len(given) == 1 else text


def _idle(error: SettingsError) -> Place | None:
    """The place of the setting that would change nothing; None where the fault is another."""
    place, _, inner = _origin(error)
    return (*place, inner.name) if isinstance(inner, IdleSettingError) else None


def _origin(error: SettingsError) -> tuple[Place, SettingsError, object]:
    """The section at fault, its error, and what it was raised for."""
    place: Place = ()
    cause, inner = error, None
    # A section inside a section wraps the error of the inner one.
    while isinstance(cause.__cause__, ValidationError):
        fault = cause.__cause__.errors(include_url=False)[0]
        place = (*place, *(str(part) for part in fault["loc"]))
        inner = fault.get("ctx", {}).get("error")
        if not isinstance(inner, SettingsError):
            break
        cause = inner
    return place, cause, inner
