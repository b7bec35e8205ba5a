"""The space of a sweep: which settings vary, and over what, read from TOML.

A key is the place of a setting in the tree, written as one (`"training.learning_rate"`)
or in tables. Its value is `{low = 1e-4, high = 1e-2, log = true}` for fractions,
`{low = 8, high = 64, step = 8}` for whole numbers, or `{choices = ["cosine", "constant"]}`.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flatline.errors import SettingsError
from flatline.section import nearest
from flatline.settings import Settings, load_settings
from flatline.settings_sources import from_overrides

if TYPE_CHECKING:
    from optuna.trial import Trial

__all__ = ["Dimension", "Space", "read_space"]

RANGE = ("low", "high", "log", "step")
# Trials are compared on the same days, targets and prices.
FIXED = (
    "data.source.",
    "data.split.",
    "data.windows.",
    "data.series",
    "data.horizons",
    "data.target",
    "run.",
)


@dataclass(frozen=True, slots=True)
class Dimension:
    """What one setting may be. Whole numbers where both ends are.

    Args:
        name: Place in the tree of settings.
        choices: The values, of a setting without a range.
        low: Least value.
        high: Largest value.
        log: Draw its logarithm evenly.
        step: Distance between values; None for any value between the ends.

    Raises:
        SettingsError: The range makes no sense.
    """

    name: str
    choices: tuple[Any, ...] = ()
    low: float | None = None
    high: float | None = None
    log: bool = False
    step: float | None = None

    def __post_init__(self) -> None:
        low, high = self.low, self.high
        if self.choices:
            return
        if low is None or high is None or not (_is_number(low) and _is_number(high)):
            raise SettingsError(
                f"{self.name} has low {low!r} and high {high!r}, expected two numbers. "
                "Give both ends, or choices."
            )
        if not low < high:
            raise SettingsError(
                f"{self.name} goes from {low} to {high}, expected a low end below the high one. "
                "Swap them, or drop it."
            )
        if self.log and (low <= 0 or self.step is not None):
            raise SettingsError(
                f"{self.name} is logarithmic from {low} with step {self.step}, expected a low end "
                "above 0 and no step. Drop log, or the step."
            )
        if self.step is not None and not (_is_number(self.step) and 0 < self.step <= high - low):
            raise SettingsError(
                f"{self.name} has step {self.step!r}, expected a positive number of at most "
                f"{high - low}. Correct it."
            )

    @property
    def ends(self) -> tuple[Any, Any]:
        """Two values far apart."""
        return (self.choices[0], self.choices[-1]) if self.choices else (self.low, self.high)

    def draw(self, trial: Trial) -> object:
        """A value for a trial."""
        if self.choices:
            # Texts, because a choice may be a list.
            texts = [json.dumps(choice) for choice in self.choices]
            return json.loads(str(trial.suggest_categorical(self.name, texts)))
        low, high = self.low or 0, self.high or 0
        if isinstance(low, int) and isinstance(high, int):
            step = 1 if self.step is None else int(self.step)
            return trial.suggest_int(self.name, low, high, log=self.log, step=step)
        return trial.suggest_float(self.name, low, high, log=self.log, step=self.step)


@dataclass(frozen=True, slots=True)
class Space:
    """All that varies in a sweep.

    Args:
        dimensions: At least one.
    """

    dimensions: tuple[Dimension, ...]

    def settings(
        self,
        file: Path | None,
        values: Mapping[str, Any],
        *,
        overrides: Sequence[str] = (),
        environ: Mapping[str, str] | None = None,
    ) -> Settings:
        """The tree with these values, over those of the file, environment and command line.

        Args:
            file: As `load_settings` reads it.
            values: By the name of the dimension.
            overrides: From the command line; those of a dimension are left out.
            environ: Environment variables; None for those of this process.

        Raises:
            SettingsError: The values do not go together.
        """
        given = [f"{name}={_text(value)}" for name, value in values.items()]
        others = [text for text in overrides if text.partition("=")[0].strip() not in values]
        return load_settings(file, environ=environ, overrides=[*others, *given])

    def check(self, file: Path | None, overrides: Sequence[str] = ()) -> None:
        """Refuse a space whose ends are no valid settings: all first ones, all last ones.

        Raises:
            SettingsError: They are not.
        """
        for end in (0, 1):
            values = {one.name: one.ends[end] for one in self.dimensions}
            self.settings(file, values, overrides=overrides)

    def as_data(self) -> dict[str, Any]:
        """The space as plain data, by name."""
        return {
            one.name: list(one.choices) if one.choices else [one.low, one.high, one.log, one.step]
            for one in self.dimensions
        }


def read_space(file: Path) -> Space:
    """The space in a TOML file.

    Raises:
        SettingsError: The file cannot be read, a setting is unknown or must not vary, or a
            range makes no sense.
    """
    try:
        tree = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"space {file} cannot be read ({error}), expected TOML. Correct it."
        ) from error
    dimensions = tuple(_dimension(name, given) for name, given in _leaves(tree, ""))
    if not dimensions:
        raise SettingsError(
            f"space {file} has 0 settings, expected at least one. "
            'Write "training.learning_rate" = {low = 1e-4, high = 1e-2, log = true}.'
        )
    return Space(dimensions)


def _leaves(tree: Mapping[str, Any], above: str) -> Iterator[tuple[str, Any]]:
    """Places and what is given for them; a table with a range or choices is a leaf."""
    for key, value in tree.items():
        name = f"{above}{key}"
        if isinstance(value, Mapping) and not value.keys() & {*RANGE, "choices"}:
            yield from _leaves(value, f"{name}.")
        else:
            yield name, value


def _dimension(name: str, given: object) -> Dimension:
    from_overrides(Settings, [f"{name}=0"])  # Unknown settings are refused, with the nearest.
    if name.startswith(FIXED):
        raise SettingsError(
            f"{name} is to vary, expected it fixed: trials are compared on the same days and "
            "targets. Drop it from the space."
        )
    if not isinstance(given, Mapping):
        raise SettingsError(
            f"{name} is {given!r}, expected a range such as {{low = 1, high = 4}} or "
            "{choices = [1, 2]}. Set fixed values with --set."
        )
    unknown = sorted(given.keys() - {*RANGE, "choices"})
    if unknown:
        known = [*RANGE, "choices"]
        raise SettingsError(
            f"{name} has {unknown[0]}, expected one of {known}. {nearest(unknown[0], known)}"
        )
    if "choices" not in given:
        return Dimension(name, **given)
    choices = given["choices"]
    if len(given) > 1 or not isinstance(choices, list) or not choices:
        raise SettingsError(
            f"{name} has choices {choices!r} and {len(given) - 1} further entries, expected a list "
            "of at least one value alone. Give choices, or low and high."
        )
    return Dimension(name, choices=tuple(choices))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
