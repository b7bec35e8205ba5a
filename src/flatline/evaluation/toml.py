"""Settings as a TOML file: what differs from the defaults, and nothing else."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from flatline.settings import Settings

__all__ = ["settings_as_toml"]

BARE = re.compile(r"[A-Za-z0-9_-]+")


def settings_as_toml(settings: Settings, *, heading: str = "") -> str:
    """A file that `load_settings` reads the same settings from.

    Args:
        settings: What to write; the section `run` belongs to one run and is left out.
        heading: A comment above.

    Example:
        >>> print(settings_as_toml(Settings(training={"learning_rate": 1e-4})), end="")
        [model]
        name = "atft_gat_fan"
        <BLANKLINE>
        [training]
        learning_rate = 0.0001
    """
    tree = settings.model_dump(mode="json", exclude_defaults=True)
    tree.pop("run", None)
    # Without its name the other settings of the model would be those of another one.
    tree["model"] = {"name": settings.model.name} | tree.get("model", {})
    ordered = {name: tree[name] for name in Settings.model_fields if name in tree}
    blocks = ["\n".join(lines) for lines in _tables(ordered, ())]
    top = [f"# {heading}"] if heading else []
    return "\n\n".join([*top, *blocks]) + "\n"


def _tables(tree: Mapping[str, Any], above: tuple[str, ...]) -> Iterator[list[str]]:
    """The lines of each table, those of a section before those of the sections in it."""
    plain = {k: v for k, v in tree.items() if not isinstance(v, Mapping) and v is not None}
    lines = [f"{_key(name)} = {_value(value)}" for name, value in plain.items()]
    if lines:
        yield [f"[{'.'.join(map(_key, above))}]", *lines] if above else lines
    for name, inner in tree.items():
        if isinstance(inner, Mapping):
            yield from _tables(inner, (*above, name))


def _key(name: str) -> str:
    return name if BARE.fullmatch(name) else json.dumps(name)


def _value(value: object) -> str:
    if isinstance(value, Mapping):
        pairs = (f"{_key(k)} = {_value(v)}" for k, v in value.items() if v is not None)
        return f"{{ {', '.join(pairs)} }}"
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    # Texts, numbers, true and false are written in TOML as in JSON.
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
