"""Pickled checkpoints, looked through before they are read.

`torch.load(weights_only=True)` runs no code that it does not know. It still allocates
what a file asks for and follows what refers to itself, so every instruction is
looked at first: which names it asks for, how many there are, how large tuples
would grow. What is left for torch are tensors, texts, numbers and what holds them.
"""

from __future__ import annotations

import io
import pickletools
import tarfile
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor
from torch.torch_version import TorchVersion

from flatline.artifacts.container import COPY, check_file
from flatline.errors import ArtifactError

__all__ = ["ALLOWED", "read_pickled"]

# All that a checkpoint of weights needs; TorchVersion is how newer versions of torch
# write `torch.__version__`.
ALLOWED = frozenset(
    {
        "collections OrderedDict", "torch Size", "torch device",
        "torch._utils _rebuild_parameter", "torch._utils _rebuild_tensor",
        "torch._utils _rebuild_tensor_v2", "torch.torch_version TorchVersion",
        *(f"torch {kind}Storage" for kind in (
            "BFloat16", "Bool", "Byte", "Char", "Double", "Float", "Half", "Int", "Long", "Short",
        )),
    }
)  # fmt: skip
# Ways to name something that torch never writes.
FORBIDDEN = frozenset({"STACK_GLOBAL", "INST", "OBJ", "EXT1", "EXT2", "EXT4", "NEWOBJ_EX"})
LONGEST = 8 * 2**20
MOST_STEPS = 10**6
# Parts of one tuple, those inside it included: hashing one takes that many steps.
LARGEST_TUPLE = 10**4


def read_pickled(path: Path) -> object:
    """What a file of `torch.save` holds: tensors on the CPU, plain values and their holders.

    Args:
        path: As the zip archive of torch 1.6 and later, or the plain format before it.

    Raises:
        ArtifactError: The file is missing or damaged, of another format, or asks for
            more than tensors and plain values.
    """
    check_file(path)
    try:
        with path.open("rb") as file:
            start = file.read(4)
            file.seek(0)
            zipped = start == b"PK\x03\x04"
            held = _look_through_zip(file, path) if zipped else _look_through_plain(file, path)
        loaded = _load(path, zipped=zipped)
    except OSError as error:
        raise ArtifactError(
            f"checkpoint {path} cannot be opened ({error.strerror}), expected a file to read. "
            "Correct its permissions."
        ) from error
    found = sum({s.data_ptr(): s.nbytes() for s in _storages(loaded)}.values())
    if found != held:
        # A tensor may ask for more numbers than were saved of it, and would get what
        # happens to lie behind them.
        raise ArtifactError(
            f"checkpoint {path} holds {held} bytes of tensors, expected {found}. {COPY}"
        )
    return loaded


def _load(path: Path, *, zipped: bool) -> object:
    known = torch.serialization.get_safe_globals()
    ours: list[Any] = [] if TorchVersion in known else [TorchVersion]
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals(ours):
            warnings.simplefilter("ignore")
            # A mapped storage cannot be made longer than the file holds.
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except Exception as error:
        # A damaged pickle fails in any way there is.
        reason = (str(error).splitlines() or [""])[0]
        raise ArtifactError(
            f"checkpoint {path} cannot be read ({type(error).__name__}: {reason:.100}), expected "
            f"tensors and plain values in a whole file. {COPY}"
        ) from error


def _look_through_zip(file: BinaryIO, path: Path) -> int:
    """Refuse an archive that torch would not have written; the bytes of its tensors."""
    size = path.stat().st_size
    try:
        archive = zipfile.ZipFile(file)
        parts = archive.infolist()
        names = [part.filename for part in parts]
        pickles = [name for name in names if name.endswith("/data.pkl")]
        whole = sum(part.file_size for part in parts) <= size and all(
            part.compress_type == zipfile.ZIP_STORED for part in parts
        )
        if len(set(names)) < len(names) or len(pickles) != 1 or not whole:
            raise ArtifactError(
                f"archive {path} holds {len(names)} parts and {len(pickles)} pickles, expected one "
                "pickle beside uncompressed tensors, none twice. Take a file of torch.save."
            )
        bad = archive.testzip()
        if bad is not None:
            raise ArtifactError(
                f"part {bad!r:.100} of archive {path} has another checksum, expected that of when "
                f"it was written. {COPY}"
            )
        if archive.getinfo(pickles[0]).file_size <= LONGEST:
            _look_through(io.BytesIO(archive.read(pickles[0])), path)
            return sum(part.file_size for part in parts if "/data/" in part.filename)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        if isinstance(error, ArtifactError):
            raise
        raise ArtifactError(
            f"archive {path} cannot be read ({error!s:.100}), expected one of torch.save. {COPY}"
        ) from error
    raise ArtifactError(
        f"pickle of archive {path} is longer than {LONGEST} bytes, expected the names of some "
        "tensors. Save the state_dict alone."
    )


def _look_through_plain(file: BinaryIO, path: Path) -> int:
    """Refuse a plain file with forbidden instructions; the bytes of its tensors."""
    if tarfile.is_tarfile(path):
        raise ArtifactError(
            f"checkpoint {path} is a tar archive, expected the format of torch 0.4 or later. "
            "Save it again with such a version."
        )
    stream = io.BytesIO(file.read(LONGEST))
    # Magic number, version, system, what was saved, and the names of its storages.
    *_, keys = (_look_through(stream, path) for _ in range(5))
    # Each storage comes with its length, of 8 bytes.
    return path.stat().st_size - stream.tell() - 8 * keys


def _look_through(stream: BinaryIO, path: Path) -> int:
    """Refuse a pickle that asks for more than weights; how many texts it holds."""
    texts = 0
    try:
        for step, (op, argument) in enumerate(_steps(stream)):
            texts += op in {"BINUNICODE", "SHORT_BINSTRING"}
            _check_step(op, argument, step, path)
    except ArtifactError:
        raise
    except Exception as error:
        # The scanner meets any bytes there are.
        raise ArtifactError(
            f"checkpoint {path} cannot be read ({error!s:.100}), expected what torch.save "
            f"writes. {COPY}"
        ) from error
    return texts


def _check_step(op: str, argument: str, step: int, path: Path) -> None:
    if op in FORBIDDEN or (op == "GLOBAL" and argument not in ALLOWED):
        raise ArtifactError(
            f"checkpoint {path} asks for {argument or op!r:.100}, expected tensors and plain "
            "values only. Save its state_dict alone where it was written, if it is to be trusted."
        )
    if step > MOST_STEPS:
        raise ArtifactError(
            f"checkpoint {path} takes more than {MOST_STEPS} steps to read, expected the names of "
            "some tensors. Save the state_dict alone."
        )


def _steps(stream: BinaryIO) -> Iterator[tuple[str, str]]:
    """Name and argument of each instruction, following how large tuples become.

    Raises:
        ValueError: The stack does not hold what an instruction takes, or a tuple
            contains too much: it may hold itself in each half, many times over.
    """
    sizes: list[int] = []
    marks: list[int] = []
    memo: dict[object, int] = {}
    for op, argument, _ in pickletools.genops(stream):
        yield op.name, str(argument) if isinstance(argument, str) else ""
        taken: list[int] = []
        if pickletools.markobject in op.stack_before:
            start = marks.pop()
            taken = sizes[start:]
            del sizes[start:]
            before = op.stack_before.index(pickletools.markobject)
        else:
            before = len(op.stack_before)
        if before > len(sizes):
            raise ValueError("an instruction takes more than there is")
        if before:
            taken += sizes[-before:]
            del sizes[-before:]
        size = 1 + sum(taken) if op.name.startswith("TUPLE") else 1
        if size > LARGEST_TUPLE:
            raise ValueError(f"a tuple has more than {LARGEST_TUPLE} parts")
        if op.name == "MARK":
            marks.append(len(sizes))
        elif op.name in {"BINGET", "LONG_BINGET", "GET"}:
            sizes.append(memo[argument])
        elif op.name in {"BINPUT", "LONG_BINPUT", "PUT"}:
            memo[argument] = sizes[-1]
        else:
            sizes.extend([size] * len(op.stack_after))


def _storages(loaded: object) -> Iterator[torch.UntypedStorage]:
    """The storages of all tensors in nested dictionaries, lists and tuples."""
    waiting, seen = [loaded], set()
    while waiting:
        each = waiting.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        if isinstance(each, Tensor):
            yield each.untyped_storage()
        elif isinstance(each, Mapping):
            waiting.extend(dict.values(each))  # type: ignore[arg-type]
        elif isinstance(each, list | tuple):
            waiting.extend(each)
