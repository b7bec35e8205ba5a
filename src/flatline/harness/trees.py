"""Nestings of tensors: dicts, tuples, lists and dataclasses, read and rewritten leaf by leaf."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

__all__ = ["leaves", "map_tensors", "move", "read", "write"]

# The path of a tensor that is not nested in anything.
ROOT = ""


def map_tensors(change: Callable[[str, Tensor], Any], tree: Any) -> Any:  # noqa: ANN401 (any nesting)
    """The same nesting with every tensor put through *change*, which is given its path too.

    Example:
        >>> map_tensors(lambda path, x: path, {"a": torch.ones(1), "b": (torch.ones(1), 3)})
        {'a': 'a', 'b': ('b.0', 3)}
    """
    return _map(change, tree, ROOT)


def leaves(tree: Any) -> Iterator[tuple[str, Tensor]]:  # noqa: ANN401
    """Every tensor of a nesting with its path, in order.

    Example:
        >>> [path for path, _ in leaves({"x": torch.ones(1), "more": [torch.ones(1)]})]
        ['x', 'more.0']
    """
    found: list[tuple[str, Tensor]] = []
    _map(lambda path, x: found.append((path, x)), tree, ROOT)
    return iter(found)


def read(tree: Any, path: str) -> Tensor:  # noqa: ANN401
    """The tensor at *path*.

    Raises:
        KeyError: There is none.
    """
    return dict(leaves(tree))[path]


def write(tree: Any, path: str, value: Tensor) -> Any:  # noqa: ANN401
    """The same nesting with one tensor replaced; nothing is changed in place.

    Example:
        >>> write({"x": torch.zeros(1), "y": torch.zeros(1)}, "y", torch.ones(1))
        {'x': tensor([0.]), 'y': tensor([1.])}
    """
    return map_tensors(lambda at, x: value if at == path else x, tree)


def move(tree: Any, device: torch.device) -> Any:  # noqa: ANN401
    """A copy of every tensor of a nesting on *device*.

    On the same device, tensors that are views of one memory are so in the copy, unless that
    memory is far larger than they are, as where all batches are views of one array.

    Example:
        >>> x = torch.zeros(3)
        >>> first, all_of_it = move((x[:1], x), torch.device("cpu"))
        >>> _ = first.add_(1)
        >>> all_of_it, x
        (tensor([1., 0., 0.]), tensor([0., 0., 0.]))
    """
    views: dict[int, list[Tensor]] = {}
    for _, x in leaves(tree):
        if x.device == device and x.layout == torch.strided:
            views.setdefault(x.untyped_storage().data_ptr(), []).append(x)
    copies: dict[int, torch.UntypedStorage] = {}

    def copy(_: str, x: Tensor) -> Tensor:
        alike = views.get(x.untyped_storage().data_ptr(), []) if x.layout == torch.strided else []
        size = sum(one.numel() * one.element_size() for one in alike)
        if len(alike) < 2 or x.untyped_storage().nbytes() > size:
            return x.detach().to(device, copy=True)
        storage = x.untyped_storage()
        kept = copies.setdefault(storage.data_ptr(), storage.clone())  # type: ignore[no-untyped-call]
        fresh = torch.empty(0, dtype=x.dtype, device=device)
        return fresh.set_(kept, x.storage_offset(), x.size(), x.stride())

    return map_tensors(copy, tree)


def _map(change: Callable[[str, Tensor], Any], tree: Any, path: str) -> Any:  # noqa: ANN401
    if isinstance(tree, Tensor):
        return change(path, tree)
    if dataclasses.is_dataclass(tree) and not isinstance(tree, type) and not _is_node(tree):
        fields = {f.name: getattr(tree, f.name) for f in dataclasses.fields(tree) if f.init}
        moved = {name: _map(change, x, _join(path, name)) for name, x in fields.items()}
        return dataclasses.replace(tree, **moved)
    if not _is_node(tree):
        return tree
    children, spec = pytree.tree_flatten_with_path(tree, is_leaf=lambda x: x is not tree)
    moved_children = [
        _map(change, child, _join(path, _key(at[0]))) if at else child for at, child in children
    ]
    return pytree.tree_unflatten(moved_children, spec)


def _is_node(tree: Any) -> bool:  # noqa: ANN401
    return not pytree.tree_structure(tree, is_leaf=lambda x: x is not tree).is_leaf()


def _key(entry: Any) -> str:  # noqa: ANN401 (one of torch's key entries)
    for name in ("key", "idx", "name"):
        if hasattr(entry, name):
            return str(getattr(entry, name))
    return str(entry)


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
