"""A model through the subject's own save and load, and what loading ran on the way."""

from __future__ import annotations

import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from flatline.errors import SettingsError
from flatline.harness.case import Case
from flatline.harness.probes.passes import eval_score, first_steps

__all__ = ["Saved", "saved", "unpickling"]


@dataclass(frozen=True, slots=True, eq=False)
class Saved:
    """A model of a few steps, and what came back from the file it was saved to.

    Args:
        model: The one that was saved.
        score: Shape (rows, horizons).
        again: Of the one that was loaded; None where nothing could be. Shape (rows, horizons).
        problem: Why nothing could be saved or loaded.
        beside: What came with the weights.
        ran: What a pickle in the file asked for by name, so that it could have run anything.
        files: How many were written.
    """

    model: nn.Module
    score: Tensor
    again: Tensor | None
    problem: str
    beside: Mapping[str, Any]
    ran: tuple[str, ...]
    files: int


def saved(case: Case) -> Saved:
    """Save a model of a few steps in a folder of its own, and load it.

    Raises:
        SettingsError: *load* of the subject gives something that is no model.
    """
    subject = case.subject
    if subject.save is None or subject.load is None:
        raise ValueError("saving needs `save` and `load`")
    # A model of its own: what `save` does to it, others must not see.
    model = first_steps(case).model
    score, ran = eval_score(case, model), list[str]()
    with tempfile.TemporaryDirectory(prefix="flatline-") as folder:
        path = Path(folder) / "model"
        subject.save(model, path)
        files = sum(1 for found in Path(folder).rglob("*") if found.is_file())
        try:
            with unpickling() as ran:
                loaded = subject.load(path)
        except Exception as error:  # noqa: BLE001 (a reader may raise anything)
            problem = f"{type(error).__name__}: {str(error).splitlines()[0]:.200}"
            return Saved(model, score, None, problem, {}, tuple(ran), files)
        # A reader may look at the file later than it opens it.
        twin, beside = _parts(subject.name, loaded)
        again = eval_score(case, twin.to(case.place.device))
    return Saved(model, score, again, "", beside, tuple(dict.fromkeys(ran)), files)


def _parts(name: str, loaded: object) -> tuple[nn.Module, Mapping[str, Any]]:
    if isinstance(loaded, nn.Module):
        return loaded, {}
    if isinstance(loaded, tuple) and len(loaded) == 2:
        model, beside = loaded
        if isinstance(model, nn.Module) and isinstance(beside, Mapping):
            return model, beside
    raise SettingsError(
        f"load of subject {name!r} gives a {type(loaded).__name__}, expected a model, or a model "
        "and a mapping. Return `model` or `(model, {'columns': ..., 'normaliser': ...})`."
    )


class _Watch(threading.local):
    names: list[str] | None = None
    hooked = False


_WATCH = _Watch()
_HOOKED = threading.Event()


@contextmanager
def unpickling() -> Iterator[list[str]]:
    """The names that pickles ask for while it is open, in this thread.

    What a pickle asks for is imported and may be called: that is how a file runs code.
    `torch.load(weights_only=True)` reads pickles without it, and asks for nothing here.

    Example:
        >>> import collections, pickle
        >>> with unpickling() as names:
        ...     _ = pickle.loads(pickle.dumps(collections.OrderedDict()))
        >>> names
        ['collections.OrderedDict']
    """
    if not _HOOKED.is_set():
        # Python forgets no such hook: it is set once, and idle but for these moments.
        sys.addaudithook(_heard)
        _HOOKED.set()
    before, _WATCH.names = _WATCH.names, []
    try:
        yield _WATCH.names
    finally:
        _WATCH.names = before


def _heard(event: str, args: tuple[Any, ...]) -> None:
    if event == "pickle.find_class" and _WATCH.names is not None:
        _WATCH.names.append(f"{args[0]}.{args[1]}")
