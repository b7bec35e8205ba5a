"""How to remake a subject with one setting changed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flatline.errors import SettingsError

if TYPE_CHECKING:
    from flatline.harness.subject import Subject

__all__ = ["Beside", "Variants"]


@dataclass(frozen=True, slots=True)
class Beside:
    """Another value of a setting, and the settings that it needs to count.

    Args:
        value: Of the setting.
        needs: Other settings, changed before and with it.
    """

    value: Any
    needs: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Variants:
    """A subject's settings: another value for each, and how to make the subject with it.

    Args:
        make: From settings by name to the subject with these changed; an empty mapping
            gives the subject itself. It has to refuse a name that it does not know.
        others: For each setting a value that is unlike the one in use; a `Beside` where
            it counts only with other settings beside it.
        inert: Settings that change neither parameters, batches, scores, loss nor
            optimizer, and may: a folder, a number of epochs.
        strict: Whether an unknown name must be refused.

    Raises:
        SettingsError: A setting is declared inert and given another value, or there is none.

    Example:
        >>> import torch, flatline as fl
        >>> def make(hidden=8, dropout=0.1):
        ...     return fl.Subject(
        ...         name="net", batches={}, loss=torch.nn.functional.mse_loss,
        ...         model=lambda: torch.nn.Linear(hidden, 1), scores=lambda outputs: outputs,
        ...         settings=Variants(
        ...             make=lambda changed: make(**changed),
        ...             others={"hidden": 16, "dropout": 0.5},
        ...         ),
        ...     )
        >>> make().settings.make({"hidden": 4}).model().in_features
        4
    """

    make: Callable[[Mapping[str, Any]], Subject]
    others: Mapping[str, Any]
    inert: Collection[str] = ()
    strict: bool = True

    def __post_init__(self) -> None:
        """Refuse a table that says nothing, or two things at once."""
        both = sorted(set(self.others) & set(self.inert))
        if both:
            raise SettingsError(
                f"settings {both} are inert and have another value to try, expected one of both. "
                "Drop them from `inert` if they matter, from `others` if not."
            )
        if not self.others:
            raise SettingsError(
                "others is empty, expected another value for each setting. "
                "Give such as {'hidden': 32}."
            )

    def around(self, name: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        """What to change before *name* and with it: the two differ in that setting alone."""
        value = self.others[name]
        if not isinstance(value, Beside):
            return {}, {name: value}
        return value.needs, {**value.needs, name: value.value}
