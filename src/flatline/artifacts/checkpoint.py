"""Checkpoints: weights and all that is needed to use them, in one file that runs no code."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from flatline.artifacts.container import Container, open_container, write_container
from flatline.artifacts.fitting import chosen, put_in, refuse_misfit, unwrapped
from flatline.artifacts.manifest import Manifest, parse_versioned, signature_of
from flatline.errors import ArtifactError

__all__ = ["Loaded", "load_checkpoint", "read_manifest", "save_checkpoint"]


class Loaded(NamedTuple):
    """What a checkpoint gives back.

    Args:
        model: In evaluation mode, on the CPU, in the precision it was saved in.
        manifest: What the file says about it.
    """

    model: nn.Module
    manifest: Manifest


def save_checkpoint(path: Path, model: nn.Module, manifest: Manifest) -> None:
    """Write a model and its manifest as one safetensors file, whole or not at all.

    Args:
        path: File to write.
        model: Parameters and persistent buffers are written, whatever they lie on; names
            that share a tensor get a copy each. `torch.compile` and the parallel wrappers
            are looked through.
        manifest: Must tell of this very model.

    Raises:
        ArtifactError: A weight is not finite, or the manifest's signature is another one.

    Example:
        A model that reads nothing of the manifest, for brevity:

        >>> from tempfile import mkdtemp
        >>> model = nn.Linear(2, 1)
        >>> manifest = Manifest(
        ...     model={"name": "line"}, features=1, static=0, edge_attributes=0, lookback=1,
        ...     horizons=(1,), levels=(), feature_names=("gap",),
        ...     normaliser={"feature_names": ["gap"]}, target_scale="raw",
        ...     signature=signature_of(model), versions={}, run_id="r1", data_fingerprint="",
        ... )
        >>> path = Path(mkdtemp()) / "checkpoint.safetensors"
        >>> save_checkpoint(path, model, manifest)
        >>> again, read = load_checkpoint(path, build=lambda settings, **inputs: nn.Linear(2, 1))
        >>> torch.equal(again.weight, model.weight), read == manifest
        (True, True)
    """
    bare = unwrapped(model)
    _check_signature(bare, manifest, f"manifest for {path}")
    write_container(Path(path), bare.state_dict(), manifest.as_json())


def read_manifest(path: Path) -> Manifest:
    """The manifest of a checkpoint, without its tensors, whose checksum is not taken.

    Raises:
        ArtifactError: The file is missing, damaged, or no checkpoint.
    """
    return _manifest(open_container(Path(path)))


def load_checkpoint(
    path: Path,
    *,
    build: Callable[..., nn.Module],
    expected: Mapping[str, object] | None = None,
    partial: Sequence[str] = (),
) -> Loaded:
    """Build the model of a checkpoint and put its weights in, once all of it is in order.

    Nothing in the file is run. The model is first built without memory, so that a
    file that lies about its sizes costs none.

    Args:
        path: The file.
        build: Such as `models.registry.build_model`: called with the settings of the
            architecture, and by name with the sizes in the manifest.
        expected: Facts of the manifest that must hold, such as `{"run_id": ...}`.
        partial: Modules to take from the file, by name, such as `("encoder",)`; the others
            stay as *build* made them, and may be another model's. Empty takes all of them.

    Raises:
        ArtifactError: The file is missing, damaged or of a newer version; something
            expected does not hold; or the tensors are not those of the model.
    """
    source = f"checkpoint {path}"
    container = open_container(Path(path))
    # A newer version may sum up otherwise; beyond that, damage is to be called damage.
    parse_versioned(container.manifest, source=source)
    tensors = container.tensors()
    manifest = _manifest(container)
    for name, value in (expected or {}).items():
        _check_fact(manifest, name, value, source)
    with torch.random.fork_rng(devices=[]):
        with torch.device("meta"):
            outline = _built(build, manifest, source)
        if not partial:
            _check_signature(outline, manifest, source)
        kind, state = type(outline).__name__, outline.state_dict()
        names = chosen(list(container.entries), partial, source)
        refuse_misfit(
            {name: container.entries[name] for name in names},
            {name: state[name] for name in chosen(list(state), partial, kind)},
            kind=kind,
            source=source,
        )
        model = _built(build, manifest, source)
    put_in(model, {name: tensors[name] for name in names}, source)
    return Loaded(model.eval(), manifest)


def _manifest(container: Container) -> Manifest:
    return Manifest.from_json(container.manifest, source=f"checkpoint {container.path}")


def _built(build: Callable[..., nn.Module], manifest: Manifest, source: str) -> nn.Module:
    try:
        return build(dict(manifest.model), **manifest.inputs)
    except ValueError as error:
        raise ArtifactError(f"the model of {source} cannot be built: {error}") from error
    except (ArithmeticError, LookupError, MemoryError, RuntimeError, TypeError) as error:
        raise ArtifactError(
            f"the model of {source} cannot be built ({type(error).__name__}: {error!s:.100}), "
            "expected settings of this model. Load it with the version that wrote it."
        ) from error


def _check_fact(manifest: Manifest, name: str, value: object, source: str) -> None:
    if name not in Manifest.model_fields:
        raise ArtifactError(
            f"expected names {name!r}, expected facts of a manifest. Choose from "
            f"{sorted(Manifest.model_fields)}."
        )
    found = getattr(manifest, name)
    if found != value:
        raise ArtifactError(
            f"{name} of {source} is {found!r:.100}, expected {value!r:.100}. "
            "Give the checkpoint that belongs to it."
        )


def _check_signature(model: nn.Module, manifest: Manifest, source: str) -> None:
    now, then = signature_of(model), manifest.signature
    if now.fingerprint == then.fingerprint:
        return
    name = next(n for n in type(now).model_fields if getattr(now, n) != getattr(then, n))
    raise ArtifactError(
        f"signature of {source} is {then.fingerprint} with {name} {getattr(then, name)!r:.200}, "
        f"expected {now.fingerprint} with {getattr(now, name)!r:.200} as the model has now. "
        "Use the version of the model that was saved."
    )
