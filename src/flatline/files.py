"""Writes that appear whole or not at all."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["replacing", "write_text"]


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A file to write instead of *path*, moved onto it once the block has succeeded.

    An interrupted or failed write leaves what stood at *path* before.
    Missing folders are made.

    Example:
        >>> from tempfile import mkdtemp
        >>> folder = Path(mkdtemp())
        >>> with replacing(folder / "a.txt") as partial:
        ...     _ = partial.write_text("whole")
        >>> (folder / "a.txt").read_text()
        'whole'
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Made as any file is, so that those who may read the folder may read it too.
    partial = path.parent / f".{path.name}.{secrets.token_hex(4)}"
    partial.touch(exist_ok=False)
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write *text* to *path* as UTF-8, whole or not at all."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")
