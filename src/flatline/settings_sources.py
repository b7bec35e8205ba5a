"""Where settings come from: file, environment and command line, each as a layer of a tree.

A layer says for some places in the tree what was given there, and by whom. The
tree is any pydantic model of models; this module knows none of its sections.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel

from flatline.aliases import ALIASES, FALSE, ON_WEIGHT, TRUE
from flatline.errors import SettingsError
from flatline.section import nearest

__all__ = [
    "Given", "Layer", "Place", "from_environment", "from_file", "from_overrides", "is_zero",
    "places", "put",
]  # fmt: skip

PREFIX = "FLATLINE_"
# Variables with the prefix that are no settings.
OTHERS = frozenset({"FLATLINE_REAL_DATA"})
Place = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Given:
    """A value that somebody gave, and who."""

    value: object
    origin: str


@dataclass(frozen=True, slots=True)
class Switch:
    """A term that is to be on, whatever its weight, or off."""

    on: bool


Layer = dict[Place, Given]
# One section, or the alternatives of which a setting inside them picks one.
Sections = tuple[type[BaseModel], ...]


def places(section: type[BaseModel], above: Place = ()) -> Iterator[Place]:
    """All settings of a tree; one under a mapping ends with `*`."""
    for name, field in section.model_fields.items():
        inner = field.annotation
        if found := _sections(inner):
            # Alternatives share some names.
            yield from dict.fromkeys(p for one in found for p in places(one, (*above, name)))
        elif _is_mapping(inner):
            yield (*above, name, "*")
        else:
            yield (*above, name)


def _annotation(root: type[BaseModel], path: Place) -> object:
    """The type of a setting.

    Raises:
        SettingsError: There is no such setting; names the nearest.
    """
    sections: Sections = (root,)
    for depth, name in enumerate(path):
        inner = _field(sections, name)
        if inner is None:
            break
        if found := _sections(inner):
            sections = found
            continue
        rest = len(path) - depth - 1
        if rest == (1 if _is_mapping(inner) else 0):
            return inner
        break
    word = ".".join(path)
    raise SettingsError(
        f"{word} is no setting, expected a known one. {nearest(word, map('.'.join, places(root)))}"
    )


def from_file(root: type[BaseModel], file: Path) -> Layer:
    """What a TOML file, or a JSON dump of the tree, gives.

    Raises:
        SettingsError: The file cannot be read, or a setting in it is unknown.
    """
    try:
        text = file.read_text(encoding="utf-8")
        tree = json.loads(text) if file.suffix == ".json" else tomllib.loads(text)
        if file.suffix == ".json":
            # Whose settings they were, which is no setting.
            tree.pop("run_id", None)
    except (AttributeError, OSError, ValueError) as error:
        raise SettingsError(
            f"settings file {file} cannot be read ({error}), expected TOML. Correct it."
        ) from error
    return {path: Given(value, str(file)) for path, value in _flat(root, (root,), tree, ())}


def _flat(
    root: type[BaseModel], sections: Sections, tree: Mapping[str, Any], above: Place
) -> Iterator[tuple[Place, object]]:
    for name, value in tree.items():
        path = (*above, name)
        inner = _field(sections, name)
        found = _sections(inner)
        if found and isinstance(value, Mapping):
            yield from _flat(root, found, value, path)
        elif found and value is None:
            continue  # A section that is left out, as a dump of all settings says it.
        elif _is_mapping(inner) and isinstance(value, Mapping):
            yield from (((*path, key), item) for key, item in value.items())
        elif value is not None or not _is_mapping(inner):
            _annotation(root, path)
            yield path, value


def from_environment(root: type[BaseModel], environ: Mapping[str, str]) -> Layer:
    """What long names and aliases in the environment give; empty variables give nothing.

    Raises:
        SettingsError: A long name is unknown, or two names contradict each other.
    """
    layer: Layer = {}
    switches: list[tuple[Place, Given]] = []
    for name, text in sorted(environ.items()):
        if not text.strip():
            continue
        if name in ALIASES:
            alias = ALIASES[name]
            path = tuple(alias.path.split("."))
            value = alias.value_of(name, text)
            if alias.switch:
                switches.append((path, Given(Switch(bool(value)), name)))
                continue
        elif name.startswith(PREFIX) and name not in OTHERS:
            path, value = _long_name(root, name), text
        else:
            continue
        given = Given(_parsed(value, _annotation(root, path)), name)
        _agree(path, layer.get(path), given)
        layer[path] = given
    for path, given in switches:
        _agree(path, layer.get(path), given)
        layer.setdefault(path, given)
    return layer


def _long_name(root: type[BaseModel], name: str) -> Place:
    path = tuple(name.removeprefix(PREFIX).lower().split("__"))
    try:
        _annotation(root, path)
    except SettingsError as error:
        known = [PREFIX + "__".join(p).upper() for p in places(root)]
        raise SettingsError(
            f"{name} is no setting, expected a known one. {nearest(name, known)}"
        ) from error
    return path


def from_overrides(root: type[BaseModel], overrides: Sequence[str]) -> Layer:
    """What a command line gives, as `training.learning_rate=1e-4`.

    Raises:
        SettingsError: A setting is unknown, has no value, or has two.
    """
    layer: Layer = {}
    for text in overrides:
        name, equals, value = text.partition("=")
        if not equals:
            raise SettingsError(
                f"setting on the command line is {text!r}, expected NAME=VALUE. "
                "Write it as training.learning_rate=1e-4."
            )
        path = tuple(name.strip().split("."))
        given = Given(_parsed(value, _annotation(root, path)), "the command line")
        _agree(path, layer.get(path), given)
        layer[path] = given
    return layer


def _agree(path: Place, before: Given | None, now: Given) -> None:
    """Refuse two names for one setting with different values."""
    if before is None:
        return
    same = (
        now.value.on != is_zero(before.value)
        if isinstance(now.value, Switch)
        else _plain(before.value) == _plain(now.value)
    )
    if not same:
        value = now.value
        if isinstance(value, Switch):
            value = "on" if value.on else "off"
        raise SettingsError(
            f"{'.'.join(path)} is {before.value} by {before.origin} and {value} by {now.origin}, "
            "expected one value. Drop one of them."
        )


def put(tree: dict[str, Any], path: Place, value: object) -> None:
    """Set a value in a tree of dictionaries; a switch keeps the weight that is there."""
    for name in path[:-1]:
        tree = tree.setdefault(name, {})
    if isinstance(value, Switch):
        before = tree.get(path[-1], 0)
        value = 0 if not value.on else ON_WEIGHT if is_zero(before) else before
    tree[path[-1]] = value


def _parsed(value: object, annotation: object) -> object:
    """A value from a shell, for a setting of some type: lists by commas or as JSON."""
    if not isinstance(value, str):
        return value
    text = value.strip()
    kinds = {get_origin(kind) or kind for kind in _kinds(annotation)}
    if type(None) in kinds and text.lower() in {"none", "null"}:
        return None
    if kinds & {tuple, list}:
        if text.startswith("["):
            try:
                return json.loads(text)
            except ValueError:
                return text
        return [part.strip() for part in text.split(",") if part.strip()]
    return text


def _kinds(annotation: object) -> Iterator[object]:
    origin = get_origin(annotation)
    if origin in {Union, UnionType}:
        for part in get_args(annotation):
            yield from _kinds(part)
    elif origin is Annotated:
        yield from _kinds(get_args(annotation)[0])
    else:
        yield annotation


def _sections(annotation: object) -> Sections:
    """The sections that an annotation stands for; none where it is a plain setting."""
    kinds = _kinds(annotation)
    return tuple(k for k in kinds if isinstance(k, type) and issubclass(k, BaseModel))


def _field(sections: Sections, name: str) -> object:
    """The annotation of a field in the first of the sections that has it; None without one."""
    fields = (s.model_fields[name].annotation for s in sections if name in s.model_fields)
    return next(fields, None)


def _is_mapping(annotation: object) -> bool:
    return any(get_origin(kind) is Mapping for kind in _kinds(annotation))


def is_zero(value: object) -> bool:
    """True for a 0, also as text."""
    return _plain(value) == 0


def _plain(value: object) -> object:
    """Texts of the same number, or of the same answer, are the same value."""
    word = str(value).strip().lower()
    if word in TRUE | FALSE:
        return float(word in TRUE)
    try:
        return float(value) if isinstance(value, (str, int, float)) else value
    except ValueError:
        return word
