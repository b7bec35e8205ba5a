"""Whether tensors fit a model, to the last name, and putting them in once they do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from flatline.errors import ArtifactError

__all__ = ["Described", "chosen", "put_in", "refuse_misfit", "unwrapped"]

SHOWN = 3


class Described(Protocol):
    """A tensor, or what a header says of one."""

    @property
    def dtype(self) -> torch.dtype:
        """Type of its numbers."""

    @property
    def shape(self) -> Sequence[int]:
        """Its shape."""


def unwrapped(model: nn.Module) -> nn.Module:
    """The model inside what `torch.compile` and the parallel wrappers put around it."""
    while True:
        inner = getattr(model, "_orig_mod", None)
        if inner is None and type(model).__name__ in {"DataParallel", "DistributedDataParallel"}:
            inner = model.module
        if not isinstance(inner, nn.Module):
            return model
        model = inner


def chosen(names: Sequence[str], partial: Sequence[str], source: str) -> list[str]:
    """The names that lie in the modules listed; all of them where none is.

    Raises:
        ArtifactError: A module has no name here.
    """
    for prefix in partial:
        if not any(_within(name, prefix) for name in names):
            raise ArtifactError(
                f"partial names {prefix!r}, expected a module of {source}. It has "
                f"{_some(sorted({name.split('.')[0] for name in names}))}."
            )
    if not partial:
        return list(names)
    return [name for name in names if any(_within(name, prefix) for prefix in partial)]


def refuse_misfit(
    found: Mapping[str, Described], wanted: Mapping[str, Tensor], *, kind: str, source: str
) -> None:
    """Refuse tensors that are not those of the model: other names, shapes or types.

    Args:
        found: What the file holds.
        wanted: State of the model, which may lie on the meta device.
        kind: Name of the model's class, for messages.
        source: The file, for messages.

    Raises:
        ArtifactError: A name is missing or left over, a shape differs, or a type is of
            another kind.
    """
    differences = []
    if missing := [name for name in wanted if name not in found]:
        differences.append(f"lacks {_some(missing)}")
    if extra := [name for name in found if name not in wanted]:
        differences.append(f"has {_some(extra)} left over")
    both = [name for name in wanted if name in found]
    shapes = [
        f"{name} as {tuple(found[name].shape)} for {tuple(wanted[name].shape)}"
        for name in both
        if tuple(found[name].shape) != tuple(wanted[name].shape)
    ]
    kinds = [
        f"{name} as {found[name].dtype} for {wanted[name].dtype}"
        for name in both
        if not _same_kind(found[name].dtype, wanted[name].dtype)
    ]
    differences += [f"has {_some(each)}" for each in (shapes, kinds) if each]
    if differences:
        raise ArtifactError(
            f"{source} {'; '.join(differences)}, expected the tensors of {kind}. "
            "Build the model from the settings it was saved with."
        )


def put_in(model: nn.Module, tensors: Mapping[str, Tensor], source: str) -> None:
    """Put tensors that were found to fit into the model, in the precision they were saved in.

    Raises:
        ArtifactError: Names that share one tensor in the model differ in the file.
    """
    state: Mapping[str, Tensor] = model.state_dict()
    first: dict[tuple[int, tuple[int, ...], tuple[int, ...]], str] = {}
    for name, tensor in tensors.items():
        at = state[name]
        key = (at.data_ptr(), tuple(at.shape), at.stride())
        same = first.setdefault(key, name) if at.numel() else name
        if not torch.equal(tensors[same], tensor):
            raise ArtifactError(
                f"{source} has different {same} and {name}, expected one tensor for both as in "
                f"{type(model).__name__}. Save the checkpoint again."
            )
    with torch.no_grad():
        for name, tensor in _own(model).items():
            if name in tensors and tensor.dtype != tensors[name].dtype:
                tensor.data = tensor.data.to(tensors[name].dtype)
        model.load_state_dict(dict(tensors), strict=False)


def _own(model: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers themselves, by every name they have."""
    return {
        **dict(model.named_parameters(remove_duplicate=False)),
        **dict(model.named_buffers(remove_duplicate=False)),
    }


def _same_kind(one: torch.dtype, other: torch.dtype) -> bool:
    # Floating numbers keep the precision they were saved in; nothing else may change.
    return one == other or (one.is_floating_point and other.is_floating_point)


def _within(name: str, prefix: str) -> bool:
    return name == prefix or name.startswith(f"{prefix.rstrip('.')}.")


def _some(names: Sequence[str]) -> str:
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")
