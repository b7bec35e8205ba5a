"""The file around the tensors: safetensors, read as if somebody had tampered with it.

The safetensors library reads these files well, but trusts what it finds where
it does no harm to memory. Here the header is checked first, in full: its length,
every name, type, shape and place; only then is a tensor read, and only once the
checksum agrees is one handed out.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from flatline.artifacts.manifest import parse_json
from flatline.errors import ArtifactError
from flatline.files import replacing

__all__ = ["Container", "Entry", "check_file", "check_finite", "open_container", "write_container"]

KIND = "flatline-checkpoint"
LONGEST_HEADER = 8 * 2**20
DTYPES: Mapping[str, torch.dtype] = {
    "BOOL": torch.bool, "U8": torch.uint8, "I8": torch.int8, "I16": torch.int16,
    "I32": torch.int32, "I64": torch.int64, "F16": torch.float16, "BF16": torch.bfloat16,
    "F32": torch.float32, "F64": torch.float64,
}  # fmt: skip
NAMES = {dtype: name for name, dtype in DTYPES.items()}
COPY = "The file is damaged: take another copy."


@dataclass(frozen=True, slots=True)
class Entry:
    """One tensor of a file, before it is read."""

    dtype: torch.dtype
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Container:
    """A file whose header was found in order.

    Args:
        path: The file.
        entries: Its tensors, by name.
        manifest: Text of the manifest.
        checksum: Of manifest and tensors, in hexadecimal.
    """

    path: Path
    entries: Mapping[str, Entry]
    manifest: str
    checksum: str

    def tensors(self) -> dict[str, Tensor]:
        """The tensors, once the checksum agrees.

        Raises:
            ArtifactError: A bit of them, of a name or of the manifest is not as written, or
                a number is not finite.
        """
        try:
            found: dict[str, Tensor] = load_file(self.path)
        except (SafetensorError, OSError, RuntimeError) as error:
            raise ArtifactError(
                f"checkpoint {self.path} cannot be read ({error!s:.100}), expected tensors as its "
                f"header says. {COPY}"
            ) from error
        now = _checksum(self.manifest, found)
        if now != self.checksum:
            raise ArtifactError(
                f"checkpoint {self.path} has checksum {now[:16]}, expected {self.checksum[:16]!r} "
                f"as when it was written. {COPY}"
            )
        check_finite(found, f"checkpoint {self.path}")
        return found


def write_container(path: Path, tensors: Mapping[str, Tensor], manifest: str) -> None:
    """Write tensors and manifest, whole or not at all.

    Raises:
        ArtifactError: A tensor is of a type that the format does not have, or not finite.
    """
    for name, tensor in tensors.items():
        if tensor.dtype not in NAMES:
            raise ArtifactError(
                f"{name} has type {tensor.dtype}, expected one of {sorted(NAMES.values())}. "
                "Convert it."
            )
    check_finite(tensors, "model")
    # Names that share a tensor are written one by one, as the format wants it.
    own = {name: t.detach().cpu().contiguous().clone() for name, t in tensors.items()}
    about = {"format": KIND, "manifest": manifest, "sha256": _checksum(manifest, own)}
    with replacing(path) as partial:
        partial.write_bytes(_packed(own, about))


def check_finite(tensors: Mapping[str, Tensor], source: str) -> None:
    """Refuse NaN and infinity.

    Raises:
        ArtifactError: A tensor holds one.
    """
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            count = int((~torch.isfinite(tensor)).sum())
            raise ArtifactError(
                f"{name} of {source} has {count} numbers that are not finite, expected none. "
                "Take the weights of an earlier epoch."
            )


def check_file(path: Path) -> None:
    """Refuse what is no ordinary file.

    Raises:
        ArtifactError: It is missing, a folder or a device.
    """
    if not path.is_file():
        state = "is no ordinary file" if path.exists() else "does not exist"
        state = "is a folder" if path.is_dir() else state
        raise ArtifactError(f"checkpoint {path} {state}, expected a file. Correct the path.")


def open_container(path: Path) -> Container:
    """Read and check the header of a checkpoint; no tensor is read.

    Raises:
        ArtifactError: There is no such file, or its header is damaged or of another kind.
    """
    check_file(path)
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            header, text = _header(file, size, path)
    except OSError as error:
        raise ArtifactError(
            f"checkpoint {path} cannot be opened ({error.strerror}), expected a file to read. "
            "Correct its permissions."
        ) from error
    about = header.pop("__metadata__", None)
    if not isinstance(about, dict) or about.get("format") != KIND:
        raise ArtifactError(
            f"file {path} has no metadata of format {KIND!r}, expected a checkpoint that flatline "
            "wrote. Load bare weights with safetensors."
        )
    if set(about) != {"format", "manifest", "sha256"} or not all(
        isinstance(value, str) for value in about.values()
    ):
        raise ArtifactError(
            f"checkpoint {path} has metadata {sorted(about)!s:.100}, expected texts for format, "
            f"manifest and sha256. {COPY}"
        )
    return Container(
        path, _entries(header, size - 8 - text, path), about["manifest"], about["sha256"]
    )


def _header(file: BinaryIO, size: int, path: Path) -> tuple[dict[str, Any], int]:
    """The header and its length in bytes."""
    start, opening = file.read(8), file.read(1)
    file.seek(8)
    length = int.from_bytes(start, "little")
    # A length may happen to look like the start of a pickle; no pickle goes on like this.
    if opening != b"{" and (start[:2] == b"PK" or start[:1] == b"\x80"):
        raise ArtifactError(
            f"file {path} is pickled, expected safetensors. Convert it with "
            "`flatline checkpoint FILE --run FOLDER`."
        )
    if size < 10 or not 2 <= length <= min(size - 8, LONGEST_HEADER):
        raise ArtifactError(
            f"checkpoint {path} has {size} bytes and a header of {length}, expected a header that "
            f"fits into the file and into {LONGEST_HEADER} bytes. {COPY}"
        )
    source = f"checkpoint {path}"
    return parse_json(file.read(length), source=source), length


def _entries(header: Mapping[str, Any], size: int, path: Path) -> dict[str, Entry]:
    """The tensors a header tells of; they fill the rest of the file without gap or overlap."""
    found: dict[str, Entry] = {}
    places: list[tuple[int, int, str]] = []
    for name, told in header.items():
        entry, place = _entry(told)
        if entry is None or place is None:
            raise ArtifactError(
                f"tensor {name!r:.100} of checkpoint {path} is described as {told!r:.100}, "
                f"expected a type, a shape and a place of that size. {COPY}"
            )
        found[name] = entry
        places.append((*place, name))
    position = 0
    for start, stop, name in sorted(places):
        if start != position:
            raise ArtifactError(
                f"tensor {name!r:.100} of checkpoint {path} starts at byte {start}, expected "
                f"{position}, where the one before it ends. {COPY}"
            )
        position = stop
    if position != size:
        raise ArtifactError(
            f"checkpoint {path} holds {size} bytes of tensors, expected {position}. {COPY}"
        )
    return found


def _entry(told: object) -> tuple[Entry | None, tuple[int, int] | None]:
    if not isinstance(told, dict) or set(told) != {"dtype", "shape", "data_offsets"}:
        return None, None
    name, shape, place = told["dtype"], told["shape"], told["data_offsets"]
    dtype = DTYPES.get(name) if isinstance(name, str) else None
    if dtype is None or not _counts(shape) or not _counts(place) or len(place) != 2:
        return None, None
    if math.prod(shape) * dtype.itemsize != place[1] - place[0]:
        return None, None
    return Entry(dtype, tuple(shape)), (place[0], place[1])


def _counts(values: object) -> bool:
    """Whether this is a short list of integers, none negative nor beyond any file."""
    return (
        isinstance(values, list)
        and len(values) <= 16
        and all(type(value) is int and 0 <= value < 2**60 for value in values)
    )


def _packed(tensors: Mapping[str, Tensor], about: Mapping[str, str]) -> bytes:
    """The whole file. Unlike the library's, the same for the same content."""
    header: dict[str, Any] = {"__metadata__": about}
    parts, position = [], 0
    # The wide types first, so that every tensor starts at a multiple of its own width.
    for name, tensor in sorted(tensors.items(), key=lambda item: (-item[1].itemsize, item[0])):
        part = _bytes(tensor)
        header[name] = {
            "dtype": NAMES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [position, position + len(part)],
        }
        parts.append(part)
        position += len(part)
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return b"".join([len(text).to_bytes(8, "little"), text, *parts])


def _bytes(tensor: Tensor) -> bytes:
    return tensor.reshape(-1).view(torch.uint8).numpy().tobytes()


def _checksum(manifest: str, tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256(manifest.encode())
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        about = json.dumps([name, NAMES.get(tensor.dtype, "?"), list(tensor.shape)])
        digest.update(about.encode())
        digest.update(_bytes(tensor))
    return digest.hexdigest()
