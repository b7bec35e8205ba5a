"""Subjects and checks by their names, as they stand in ini files and on command lines."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from functools import partial
from importlib import import_module

from flatline.errors import SettingsError
from flatline.harness import CHECKS, Check, Layer, Subject
from flatline.section import nearest
from flatline.subjects import gate_settings

__all__ = ["choose_checks", "find_subject", "load_subject"]

OPEN = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def choose_checks(only: Sequence[str] = ()) -> tuple[Check, ...]:
    """The checks of some ids and layers, in the order of the catalogue; all where none is named.

    Raises:
        SettingsError: There is no such check or layer.

    Example:
        >>> [check.id for check in choose_checks(["scores_vary"])]
        ['scores_vary']
        >>> choose_checks(["score_vary"])
        Traceback (most recent call last):
        flatline.errors.SettingsError: check is 'score_vary', expected the id of a check or a layer.
        Did you mean 'scores_vary'? `flatline checks` lists them.
    """
    known = {*(check.id for check in CHECKS), *(layer.value for layer in Layer)}
    for name in only:
        if name not in known:
            raise SettingsError(
                f"check is {name!r}, expected the id of a check or a layer. "
                f"{nearest(name, sorted(known))} `flatline checks` lists them."
            )
    return tuple(c for c in CHECKS if not only or c.id in only or c.layer.value in only)


def find_subject(subject: Subject | str) -> tuple[str, Subject | str]:
    """The name of a subject, and it; a reference stays a name, as making one takes time.

    Raises:
        SettingsError: There is no such subject.
    """
    if isinstance(subject, Subject):
        return subject.name, subject
    if isinstance(subject, str) and ":" in subject:
        loaded = load_subject(subject)
        return loaded.name, loaded
    if isinstance(subject, str):
        gate_settings(subject)
        return subject, subject
    raise SettingsError(
        f"subject is a {type(subject).__name__}, expected a Subject, the name of a reference, or "
        "'package.module:subject'. Describe the model with `fl.Subject(name=..., model=...)`."
    )


def load_subject(name: str) -> Subject:
    """A subject by its name: a reference's, or `package.module:subject`.

    What stands in the module may also be a function that makes the subject.

    Raises:
        SettingsError: There is no such module, nothing of that name in it, or it is no subject.

    Example:
        >>> load_subject("flatline.subjects:referense")
        Traceback (most recent call last):
        flatline.errors.SettingsError: subject is 'flatline.subjects:referense', expected a name
        that flatline.subjects has. Did you mean 'reference'?
    """
    place, colon, attribute = name.partition(":")
    if not colon:
        from flatline.subjects.references import reference  # noqa: PLC0415 (imports the stack)

        return reference(name)
    found = _attribute(name, place, attribute)
    subject = found() if _makes(found) else found  # type: ignore[operator]
    if not isinstance(subject, Subject):
        raise SettingsError(
            f"subject {name!r} is a {type(subject).__name__}, expected a Subject or a function "
            "that makes one. Describe the model with `fl.Subject(name=..., model=...)`."
        )
    return subject


def _makes(found: object) -> bool:
    """Whether it is a function that can be called as it is."""
    if not (inspect.isfunction(found) or isinstance(found, partial)):
        return False
    parameters = inspect.signature(found).parameters.values()
    return all(p.default is not p.empty or p.kind in OPEN for p in parameters)


def _attribute(name: str, place: str, attribute: str) -> object:
    try:
        module = import_module(place)
    except ModuleNotFoundError as error:
        # Another module that the user's own imports is not for us to explain.
        if error.name is None or not f"{place}.".startswith(f"{error.name}."):
            raise
        raise SettingsError(
            f"subject is {name!r}, and there is no module {error.name!r}, expected one that can "
            'be imported. Run where it lies; in pytest\'s ini file, set `pythonpath = ["."]`.'
        ) from error
    except ValueError as error:
        raise SettingsError(
            f"subject is {name!r}, expected package.module:subject. Name the module first."
        ) from error
    if not hasattr(module, attribute):
        raise SettingsError(
            f"subject is {name!r}, expected a name that {place} has. "
            f"{nearest(attribute, [*vars(module), *getattr(module, '__all__', ())])}"
        )
    found: object = getattr(module, attribute)
    return found
