"""A section of the settings: frozen, without unknown keys, every fault a SettingsError.

Settings are defined beside what they set, in many rooms; this is what those
models have in common. No torch is imported here.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from flatline.errors import SettingsError

__all__ = ["IdleSettingError", "Section", "nearest", "sentence_of"]


class IdleSettingError(ValueError):
    """A setting would change nothing.

    Args:
        name: Of the setting, within its section.
        sentence: What is wrong, and the remedy.
    """

    def __init__(self, name: str, sentence: str) -> None:
        super().__init__(sentence)
        self.name = name


class Section(BaseModel):
    """Base of the settings of one thing.

    Example:
        >>> class Pan(Section):
        ...     diameter: int = 24
        >>> Pan(diametre=20)
        Traceback (most recent call last):
        flatline.errors.SettingsError: diametre is no setting of Pan, expected a known one.
        Did you mean 'diameter'?
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False
    )

    def __init__(self, **values: Any) -> None:  # noqa: ANN401 - fields differ in type
        """Check the values, every fault being a SettingsError."""
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise SettingsError(sentence_of(error, type(self))) from error

    def refuse_idle(self, *names: str, unless: bool, because: str) -> None:
        """Refuse settings that would change nothing.

        A value equal to the default says nothing, as in a dump of all settings.

        Args:
            names: The settings that could be idle.
            unless: Whether they have an effect after all.
            because: What leaves them without effect, and what to set instead.

        Raises:
            IdleSettingError: One of them is set.
        """
        for name in names:
            value = getattr(self, name)
            if not unless and value != type(self).model_fields[name].get_default(
                call_default_factory=True
            ):
                raise IdleSettingError(
                    name, f"{name} is {value!r} but changes nothing, expected an effect: {because}."
                )

    def changed(self, **values: Any) -> Self:  # noqa: ANN401 - fields differ in type
        """The same section with other values.

        What the new values leave without effect goes back to its default.

        Raises:
            SettingsError: A new value is wrong, or would change nothing.
        """
        given = {**dict(self), **values}
        while True:
            try:
                return type(self)(**given)
            except SettingsError as error:
                idle = _idle_name(error)
                if idle is None or idle in values:
                    raise
                del given[idle]


def _idle_name(error: SettingsError) -> str | None:
    """The setting of a section that would change nothing; None where the fault is another."""
    if not isinstance(error.__cause__, ValidationError):
        return None
    fault = error.__cause__.errors(include_url=False)[0].get("ctx", {}).get("error")
    return fault.name if isinstance(fault, IdleSettingError) else None


def nearest(word: str, known: Iterable[str]) -> str:
    """A question after the known word that is most like *word*.

    Example:
        >>> nearest("lerning_rate", ["seed", "learning_rate"])
        "Did you mean 'learning_rate'?"
    """
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.0)
    return f"Did you mean {close[0]!r}?" if close else "There is none."


def sentence_of(error: ValidationError, section: type[BaseModel]) -> str:
    """The first fault pydantic found in the values of a section, as a sentence with its remedy."""
    fault = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        return (
            f"{where} is no setting of {section.__name__}, expected a known one. "
            f"{nearest(where, section.model_fields)}"
        )
    if fault["type"] == "missing":
        return f"{where} is missing, expected a value. Give it one."
    if fault["type"] == "value_error":
        return str(fault["ctx"]["error"])
    rule = fault["msg"][:1].lower() + fault["msg"][1:]
    return f"{where} is {fault['input']!r}, expected a valid value: {rule}. Correct it."
