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
from flatline.losses.settings import BlendSettings
from flatline.models.settings import AtftGatFanSettings
from flatline.section import Section
from flatline.settings_sources import (
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
        model: The architecture.
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
    model: AtftGatFanSettings = AtftGatFanSettings()
    loss: BlendSettings = BlendSettings()
    training: TrainingSettings = TrainingSettings()
    guard: GuardSettings = GuardSettings()
    diagnostics: DiagnosticsSettings = DiagnosticsSettings()
    run: RunSettings = RunSettings()

    @model_validator(mode="after")
    def _sections_fit(self) -> Self:
        if self.model.bypass_gat and self.diagnostics.graph_gradient_floor > 0:
            raise ValueError(
                f"diagnostics.graph_gradient_floor is {self.diagnostics.graph_gradient_floor} but "
                "model.bypass_gat leaves the graph branch out, expected a branch to watch. "
                "Drop one of them."
            )
        return self


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
            value or changes nothing; or two names give one setting different values.

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
    # Weights in a file are all there are; names in the environment change single ones.
    weighted = any(place[:2] == ("loss", "weights") for place in layers[0])
    tree: dict[str, Any] = {"loss": {"weights": {} if weighted else dict(BlendSettings().weights)}}
    origins: dict[Place, str] = {}
    for layer in layers:
        for place, given in layer.items():
            put(tree, place, given.value)
            origins[place] = given.origin
    weights = tree["loss"]["weights"]
    # A weight of 0 says that the term is off.
    tree["loss"]["weights"] = {term: w for term, w in weights.items() if not is_zero(w)}
    try:
        return Settings(**tree)
    except SettingsError as error:
        raise SettingsError(_sentence(error, origins)) from error


def settings_paths() -> tuple[str, ...]:
    """All settings, by their place in the tree; those under a mapping end with `*`.

    Example:
        >>> "training.learning_rate" in settings_paths()
        True
    """
    return tuple(".".join(path) for path in places(Settings))


def _sentence(error: SettingsError, origins: Mapping[Place, str]) -> str:
    """The error with the whole place of the setting, and who set it."""
    place: Place = ()
    cause: BaseException | None = error
    # A section inside a section wraps the error of the inner one.
    while isinstance(cause, SettingsError) and isinstance(cause.__cause__, ValidationError):
        fault = cause.__cause__.errors(include_url=False)[0]
        place = (*place, *(str(part) for part in fault["loc"]))
        inner = fault.get("ctx", {}).get("error")
        if not isinstance(inner, SettingsError):
            break
        cause = inner
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
