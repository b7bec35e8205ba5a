"""Which versions a run was made with."""

from __future__ import annotations

import importlib.metadata
import platform

__all__ = ["versions"]

LIBRARIES = ("flatline", "torch", "lightning", "numpy", "polars", "scipy", "torch-geometric")


def versions() -> dict[str, str]:
    """Of Python and of the libraries that a training depends on.

    Example:
        >>> versions()["numpy"] == importlib.metadata.version("numpy")
        True
    """
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            # Run from a checkout, or without an extra.
            found[name] = "not installed"
    return found
