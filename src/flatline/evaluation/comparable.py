"""The settings that results depend on: what must stay when work that was ended goes on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from flatline.errors import SettingsError
from flatline.settings import Settings

__all__ = ["comparable", "refuse_change"]

# Settings that may differ when work goes on: where files lie, and what is shown. A name
# that ends with a dot stands for all below it.
FREE = (
    "run.",
    "data.source.prices",
    "data.source.sectors",
    "data.source.index",
    "data.source.memory_map",
    "training.progress",
    "training.tensorboard",
    "training.checkpoint_every_n_steps",
    "training.log_every_n_steps",
)


def comparable(settings: Settings, *, free: tuple[str, ...] = ()) -> dict[str, Any]:
    """The settings that results depend on, by their place in the tree.

    Args:
        settings: The tree.
        free: Places that do not count, beside the usual ones; one that ends with a dot
            stands for all below it.

    Example:
        >>> found = comparable(Settings(), free=("data.",))
        >>> "data.lookback" in found, "loss.bce_threshold" in found
        (False, True)
    """
    flat = dict(_flat(settings.model_dump(mode="json"), ""))
    all_free = (*FREE, *free)
    below = tuple(name for name in all_free if name.endswith("."))
    return {
        name: value
        for name, value in flat.items()
        if name not in all_free and not name.startswith(below)
    }


def _flat(tree: Mapping[str, Any], above: str) -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value


def refuse_change(before: Mapping[str, Any], now: Mapping[str, Any], *, where: str) -> None:
    """Refuse to go on with other settings; names the first that differs.

    Args:
        before: As `comparable` gives them, of what is there.
        now: Of what is asked for.
        where: What is there, for the message.

    Raises:
        SettingsError: One differs.
    """
    for name in sorted(before.keys() | now.keys()):
        if before.get(name) != now.get(name):
            raise SettingsError(
                f"{name} is {now.get(name)!r}, expected {before.get(name)!r} as in {where}. "
                "Go on with its settings, or give another folder."
            )
