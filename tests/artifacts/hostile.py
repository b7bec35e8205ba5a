"""Damaged and hostile files, drawn from a seed. None of them may load or run anything."""

import gzip
import io
import json
import os
import pickle
import struct
import sys
import tarfile
import tempfile
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from artifacts.cases import FIXTURES, maker
from flatline.artifacts.container import KIND, LONGEST_HEADER, _checksum, _packed

CANARY = Path(tempfile.gettempdir()) / f"flatline-canary-{os.getpid()}"
NEW, OLD = "checkpoint", "legacy"
GOOD = (FIXTURES / "format_1_atft_gat_fan.safetensors").read_bytes()
ZIPPED = (FIXTURES / "torch_2_6_lightning_compiled.ckpt").read_bytes()
PLAIN = (FIXTURES / "torch_1_4_plain.pt").read_bytes()
HEADER = 8 + int.from_bytes(GOOD[:8], "little")


class Case(NamedTuple):
    """A file, and which reader it is for."""

    name: str
    content: bytes
    reader: str


def cases(seed=0):
    """All of them."""
    rng = np.random.default_rng(seed)
    makers = (damaged, headers, lies, weights, gadgets, archives, plains, contents, others)
    return [Case(*case) for make in makers for case in make(rng)]


def flipped(content, place, rng):
    """One bit of one byte the other way."""
    changed = bytearray(content)
    changed[place] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def drawn(rng, start, stop, count):
    """Different places between two."""
    return (start + rng.choice(stop - start, size=count, replace=False)).tolist()


def damaged(rng):
    """Good files with something missing, changed or added."""
    places = [0, 1, 7, 8, 9, HEADER - 1, HEADER, HEADER + 1, len(GOOD) - 1]
    for place in sorted({*places, *drawn(rng, 10, len(GOOD), 16)}):
        yield f"cut at {place}", GOOD[:place], NEW
    for place in [*range(8), *drawn(rng, 8, HEADER, 40)]:
        yield f"bit of header flipped at {place}", flipped(GOOD, place, rng), NEW
    for place in drawn(rng, HEADER, len(GOOD), 30):
        yield f"bit of weights flipped at {place}", flipped(GOOD, place, rng), NEW
    yield "one byte more", GOOD + b"\0", NEW
    yield "one byte before", b"\0" + GOOD, NEW
    yield "twice", GOOD * 2, NEW
    for place in drawn(rng, 0, len(ZIPPED), 12):
        yield f"archive cut at {place}", ZIPPED[:place], OLD
    parts = zipfile.ZipFile(io.BytesIO(ZIPPED)).infolist()
    for part in rng.choice(parts, size=15):
        start = part.header_offset + 30 + len(part.filename) + len(part.extra)
        place = start + int(rng.integers(part.file_size))
        yield f"bit of {part.filename} flipped at {place}", flipped(ZIPPED, place, rng), OLD
    for place in drawn(rng, 0, len(PLAIN), 12):
        yield f"plain file cut at {place}", PLAIN[:place], OLD
    yield "plain file with a byte more", PLAIN + b"\0", OLD
    for size in (0, 1, 8, 100, 10_000):
        for reader in (NEW, OLD):
            yield f"{size} random bytes for {reader}", rng.bytes(size), reader
            yield f"{size} zeros for {reader}", bytes(size), reader


def packed(header, data=b""):
    """A file with this header, given as text or as what JSON makes text of."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def headers(rng):
    """Headers that lie about themselves."""
    for length in (0, 1, len(GOOD) - 7, len(GOOD), 2**31, 2**53, 2**63, 2**64 - 1):
        yield f"header of {length}", length.to_bytes(8, "little") + GOOD[8:], NEW
    long = b"{" + b" " * LONGEST_HEADER + b"}"
    yield "header beyond the limit", packed(long), NEW
    good = json.loads(GOOD[8:HEADER])
    about, data = good["__metadata__"], GOOD[HEADER:]
    name = next(key for key in good if key != "__metadata__")
    for key, value in {
        "dtype": ["F8", "f32", "", 32, None, [], "F64", "I32"],
        "shape": [
            [-4], [4.0], "4", None, {}, [2**62, 2**62], [2**70], [True], [[4]], [1] * 17, [0],
        ],
        "data_offsets": [
            [0, 0], [4, 0], [-4, 0], [0], [0, 4, 8], [0, 10**12], [2**63, 2**64], "ab", None,
            [0.0, 16.0], [1, 17], [10**6, 10**6 + 16],
        ],
    }.items():  # fmt: skip
        for bad in value:
            header = good | {name: good[name] | {key: bad}}
            yield f"{key} {bad!s:.40}", packed(header, data), NEW
    yield "entry with a key more", packed(good | {name: good[name] | {"x": 1}}, data), NEW
    yield "entry without a key", packed(good | {name: {"dtype": "F32"}}, data), NEW
    second = [key for key in good if key != "__metadata__"][1]
    yield "two tensors in one place", packed(good | {second: good[name]}, data), NEW
    yield "a tensor less, a gap", packed({k: v for k, v in good.items() if k != name}, data), NEW
    for number, bad in enumerate((
        None, [], "x", {}, {"format": "pt"}, {"format": KIND}, about | {"format": "other"},
        about | {"sha256": ""}, about | {"sha256": "0" * 64}, about | {"sha256": 5},
        about | {"manifest": {}}, about | {"manifest": ""}, about | {"more": "x"},
    )):  # fmt: skip
        yield (
            f"metadata {number}: {str(bad)[:30]}",
            packed(good | {"__metadata__": bad}, data),
            NEW,
        )
    text = GOOD[8:HEADER]
    yield "a key twice", packed(text[:1] + b'"__metadata__":{},' + text[1:], data), NEW
    yield "deep JSON", packed(b"[" * 10**6 + b"]" * 10**6), NEW
    yield "deep objects", packed(b'{"a":' * 10**5 + b"1" + b"}" * 10**5), NEW
    for bad in (
        b"[]", b"null", b"12", b'"text"', b"{}", b"{", b"NaN", b'{"a":NaN}', b"\xff\xfe{}",
        b"\xef\xbb\xbf{}", b"{'a':1}", b'{"a":1e999}', b"[1," * 50, b"9" * 5000,
    ):  # fmt: skip
        yield f"header {bad[:12]}", packed(bad), NEW


def signed(change=None, tensors=None, **facts):
    """A checkpoint that lies, with a checksum that agrees with the lie."""
    model = maker.make_model(maker.ATFT)
    manifest = maker.make_manifest(model, maker.ATFT).model_dump(mode="json") | facts
    text = json.dumps(manifest)
    text = text if change is None else change(text)
    held = dict(model.state_dict()) if tensors is None else tensors
    about = {"format": KIND, "manifest": text, "sha256": _checksum(text, held)}
    return _packed(held, about)


def lies(rng):
    """Manifests that are not of the weights beside them, or not of this program."""
    for version in (0, -1, 2, 10**9, 10**400, "1", 1.0, True, None, [1]):
        yield f"format version {version!s:.20}", signed(format_version=version), NEW
    atft = maker.ATFT
    models = (
        {}, [], None, "atft_gat_fan", {"name": "unheard_of"}, {"name": ["a"]}, {"name": "apex"},
        {"name": "patchtst"}, atft | {"hidden": 8}, atft | {"hidden": -4}, atft | {"hidden": 10**9},
        atft | {"hidden": 10**30}, atft | {"hidden": "four"}, atft | {"colour": 1},
        atft | {"san_slices": 10**9}, atft | {"bypass_gat": True}, atft | {"__class__": "os"},
        atft | {"head_variant": "apex"},
    )  # fmt: skip
    for number, model in enumerate(models):
        yield f"model {number}: {str(model)[-40:]}", signed(model=model), NEW
    for name, bad in {
        "features": [0, 4, -1, 10**12, "3", 3.0, None], "static": [0, 1, 10**9, -1],
        "edge_attributes": [0, 2, 10**9], "lookback": [0, 10**12, "8"],
        "horizons": [
            [], [1], [1, 20], [1, 1], [0, 5], [-1, 5], ["1", "5"], None, list(range(5000)),
        ],
        "levels": [[], [0.5], [0.25, 0.5, 0.5], [0.9, 0.5, 0.1], [0, 1, 2], "abc", [None] * 3],
        "feature_names": [[], ["a", "b"], ["a", "b", "c"], ["a", "a", "a"], None, [1, 2, 3]],
        "normaliser": [{}, None, [], {"feature_names": []}], "signature": [{}, None, "x"],
        "versions": [None, [], {"torch": 2}], "run_id": ["", None, 5], "colour": ["red"],
    }.items():  # fmt: skip
        for value in bad:
            yield f"{name} {value!s:.30}", signed(**{name: value}), NEW
    good = maker.make_manifest(maker.make_model(atft), atft).model_dump(mode="json")["signature"]
    for part, value in {"kind": "Other", "forward": [], "inputs": ["x"], "outputs": ["y"]}.items():
        yield f"signature with {part} {value}", signed(signature=good | {part: value}), NEW
    yield "manifest with a key twice", signed(lambda t: '{"run_id": "x", ' + t[1:]), NEW
    yield "manifest with NaN", signed(lambda t: t.replace("0.001", "NaN")), NEW
    yield "manifest that is deep", signed(lambda t: "[" * 10**5 + "]" * 10**5), NEW
    deep = '{"a":' * 900 + "1" + "}" * 900
    yield "normaliser that is deep", signed(lambda t: t.replace('"format": 1', '"x": ' + deep)), NEW
    yield "manifest that is no JSON", signed(lambda t: t[:-1]), NEW
    yield "manifest that is a list", signed(lambda t: f"[{t}]"), NEW


def weights(rng):
    """Well-formed files with other tensors in them."""
    good = dict(maker.make_model(maker.ATFT).state_dict())
    name = "head.horizons.1.bias"
    value = good[name]
    for bad in (torch.nan, torch.inf, -torch.inf):
        yield f"{bad} among the weights", signed(tensors=good | {name: value * bad}), NEW
    for dtype in (torch.int64, torch.bool, torch.uint8):
        yield f"weights as {dtype}", signed(tensors=good | {name: value.to(dtype)}), NEW
    for shape in ((2, 2), (1, 4), (4, 1), (3,), (5,), (0,), ()):
        yield f"weights of {shape}", signed(tensors=good | {name: torch.zeros(shape)}), NEW
    yield "a tensor less", signed(tensors={k: v for k, v in good.items() if k != name}), NEW
    yield "a tensor more", signed(tensors=good | {"extra": value}), NEW
    yield "no tensor", signed(tensors={}), NEW
    yield "names in another case", signed(tensors={k.upper(): v for k, v in good.items()}), NEW
    yield "an empty name", signed(tensors=good | {"": value}), NEW
    for settings in (maker.APEX, maker.PATCHTST):
        state = maker.make_model(settings).state_dict()
        yield f"weights of {settings['name']}", signed(tensors=dict(state)), NEW


class Call:
    """Calls something when it is unpickled."""

    def __init__(self, called, *args):
        self.called, self.args = called, args

    def __reduce__(self):
        return self.called, self.args


def named(module, name, argument):
    """A pickle that calls a global by name, in the oldest words of the format."""
    text = pickle.dumps(argument, protocol=0)[:-1]
    return b"c" + f"{module}\n{name}\n".encode() + b"(" + text + b"tR."


def gadgets(rng):
    """Pickles that run something, bare and inside every format that torch has had."""
    touch, code = f"touch {CANARY}", f"open({str(CANARY)!r}, 'w').close()"
    pickles = {
        "os.system": pickle.dumps(Call(os.system, touch), 2),
        "eval": pickle.dumps(Call(eval, code), 2),
        "exec": pickle.dumps(Call(exec, code), 2),
        "open": pickle.dumps(Call(open, str(CANARY), "w"), 2),
        "stack global": pickle.dumps(Call(os.system, touch), 4),
        "frames": pickle.dumps({"state_dict": Call(eval, code)}, 5),
        "old name of eval": named("__builtin__", "eval", code),
        "posix": named("posix", "system", touch),
        "dotted": named("os", "path.os.system", touch),
        "popen": named("subprocess", "getoutput", touch),
        "partial": named("functools", "partial", touch),
        "bytes of torch": named("torch.storage", "_load_from_bytes", b"x"),
        "hub": named("torch.hub", "load", "x"),
        "bytearray": named("builtins", "bytearray", 10**10),
        "tensor by size": named("torch", "FloatTensor", 10**10),
        "inst": b"(" + pickle.dumps(touch, 0)[:-1] + b"ios\nsystem\n.",
        "obj": b"(cos\nsystem\n" + pickle.dumps(touch, 0)[:-1] + b"o.",
        "extension": b"\x80\x02\x82\x01.",
        "in a nest": pickle.dumps({"state_dict": {"w": Call(os.system, touch)}}, 2),
        "beside": pickle.dumps({"state_dict": {}, "epoch": Call(os.system, touch)}, 2),
        "numpy": pickle.dumps({"state_dict": {"w": np.zeros(3)}}, 2),
        "a module": b"\x80\x02ctorch.nn.modules.linear\nLinear\n)\x81.",
    }
    for name, content in pickles.items():
        yield f"{name}, bare", content, OLD
        yield f"{name}, bare, for the new reader", content, NEW
        yield (
            f"{name}, zipped",
            archive({"archive/data.pkl": content, "archive/version": b"3\n"}),
            OLD,
        )
        start = b"".join(pickle.dumps(each, 2) for each in (maker.MAGIC, 1001, {}))
        yield f"{name}, plain", start + content + pickle.dumps([], 2), OLD
        yield f"{name}, as a magic number", content + start, OLD
    yield "os.system, in a tar archive", tarred({"pickle": pickles["os.system"]}), OLD


def archive(parts, method=zipfile.ZIP_STORED):
    """A zip archive."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as file:
        for name, content in parts.items():
            file.writestr(name, content)
    return out.getvalue()


def tarred(parts):
    """A tar archive."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as file:
        for name, content in parts.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
    return out.getvalue()


def archives(rng):
    """Zip archives that torch would not write."""
    with zipfile.ZipFile(io.BytesIO(ZIPPED)) as file:
        good = {name: file.read(name) for name in file.namelist()}
    largest = max(good, key=lambda name: len(good[name]) if "/data/" in name else 0)
    yield "compressed", archive(good, zipfile.ZIP_DEFLATED), OLD
    bomb = bytes(50 * 2**20)
    yield "bomb of weights", archive(good | {largest: bomb}, zipfile.ZIP_DEFLATED), OLD
    yield "bomb of a pickle", archive({"archive/data.pkl": bomb}, zipfile.ZIP_DEFLATED), OLD
    yield "a long pickle", archive({"archive/data.pkl": b"}" * (9 * 2**20) + b"."}), OLD
    yield "many steps", archive({"archive/data.pkl": b"}0" * 10**6 + b"."}), OLD
    yield "no pickle", archive({k: v for k, v in good.items() if "pkl" not in k}), OLD
    yield "two pickles", archive(good | {"other/data.pkl": good["archive/data.pkl"]}), OLD
    yield "no weights", archive({"archive/data.pkl": good["archive/data.pkl"]}), OLD
    yield "weights cut short", archive(good | {largest: good[largest][:-4]}), OLD
    yield "weights without one", archive({k: v for k, v in good.items() if k != largest}), OLD
    yield "of TorchScript", archive(good | {"archive/data.pkl": named("__torch__", "Net", 1)}), OLD
    yield "nothing", archive({}), OLD
    content = ZIPPED.replace(b"archive/data/1", b"archive/data/0")
    yield "a part twice", content, OLD
    record = ZIPPED.rindex(b"PK\x01\x02")
    lie = ZIPPED[: record + 24] + struct.pack("<I", 2**31) + ZIPPED[record + 28 :]
    yield "a part said to be larger", lie, OLD
    at = ZIPPED.index(b"PK\x01\x02")
    yield (
        "a part said to lie elsewhere",
        ZIPPED[: at + 42] + b"\xff\xff\xff\x7f" + ZIPPED[at + 46 :],
        OLD,
    )


def plain(pickled, keys=(), data=b"", magic=None):
    """The format before torch 1.6, with this pickle in it."""
    start = [magic or maker.MAGIC, 1001, {}]
    return (b"".join(pickle.dumps(each, 2) for each in start)
            + pickled + pickle.dumps(list(keys), 2) + data)  # fmt: skip


def tensor(*, numbers, shape, stride=None, offset=0, kind="FloatStorage", key="0"):
    """A pickle of one tensor that asks for what it likes."""
    stride = stride or tuple(int(np.prod(shape[i + 1 :])) for i in range(len(shape)))
    out = io.BytesIO()
    pickler = _Naming(out, (kind, key, numbers))
    pickler.dump({"state_dict": {"w": _Rebuilt(offset, shape, stride)}})
    return out.getvalue()


class _Storage:
    """Becomes a persistent id."""


class _Rebuilt:
    def __init__(self, *args):
        self.args = args

    def __reduce__(self):
        offset, shape, stride = self.args
        return torch._utils._rebuild_tensor_v2, (
            _Storage(), offset, shape, stride, False, OrderedDict(),
        )  # fmt: skip


class _Naming(pickle.Pickler):
    def __init__(self, file, storage):
        super().__init__(file, protocol=2)
        self.storage = storage

    def persistent_id(self, obj):
        if not isinstance(obj, _Storage):
            return None
        kind, key, numbers = self.storage
        return ("storage", getattr(torch, kind), key, "cpu", numbers, None)


def plains(rng):
    """Plain files that ask for more than they hold, or for ever."""
    yield "100 GB asked for", plain(tensor(numbers=25 * 10**9, shape=(4,)), ["0"]), OLD
    yield "a storage never given", plain(tensor(numbers=4, shape=(4,))), OLD
    held = struct.pack("<q", 4) + bytes(16)
    for shape, stride, offset in (
        ((8,), (1,), 0), ((4,), (1,), 1), ((4, 4), (4, 1), 0), ((25 * 10**9,), (1,), 0),
        ((4,), (2,), 0), ((4,), (-1,), 0), ((-4,), (1,), 0), ((4,), (1,), -1),
        ((2**40, 2**40), (0, 0), 0), ((4,), (1, 1), 0),
    ):  # fmt: skip
        asked = tensor(numbers=4, shape=shape, stride=stride, offset=offset)
        yield f"tensor of {shape} by {stride} from {offset}", plain(asked, ["0"], held), OLD
    good = tensor(numbers=4, shape=(4,))
    yield "a storage of another name", plain(good, ["1"], held), OLD
    yield "a storage cut short", plain(good, ["0"], held[:-1]), OLD
    yield "a storage said to be longer", plain(good, ["0"], struct.pack("<q", 5) + bytes(20)), OLD
    yield "another magic number", plain(good, ["0"], held, magic=5), OLD
    yield "of a kind unheard of", plain(good.replace(b"FloatStorage", b"FloatStorag_")), OLD
    twice = b"\x80\x02}(K\x01\x85q\x00" + b"".join(
        b"h%ch%c\x86q%c" % (i, i, i + 1) for i in range(60)
    )
    yield "a key that takes for ever to look up", plain(twice + b"K\x01u."), OLD
    yield "a tuple that holds itself in each half", plain(twice[:-2] + b"K\x01u."), OLD
    yield "a memory that was never written", plain(b"\x80\x02h\x05."), OLD
    yield "a stack that is empty", plain(b"\x80\x02R."), OLD
    yield "a mark that is not there", plain(b"\x80\x02t."), OLD
    yield "no end", plain(b"\x80\x02}"), OLD
    yield "a list in itself", plain(b"\x80\x02]q\x00h\x00a."), OLD
    yield "a million dictionaries", plain(b"}" * 10**6 + b"."), OLD
    yield "deep lists", plain(b"\x80\x02" + b"](" * 10**5 + b"e" * 10**5 + b"."), OLD
    yield (
        "methods written over",
        plain(b"\x80\x02ccollections\nOrderedDict\n)R}X\x05\x00\x00\x00itemsK\x01sb."),
        OLD,
    )


def contents(rng):
    """Good archives of what are not this model's weights, and nothing else."""
    good = maker.make_model(maker.ATFT).state_dict()
    name = "head.horizons.1.bias"
    less = {k: v for k, v in good.items() if k != name}
    wholes = {
        "a list": [good], "a tensor": good[name], "a text": "weights", "nothing": None,
        "no weights": {}, "no weights in a nest": {"state_dict": {}}, "no nest": {"epoch": 1},
        "two nests": {"state_dict": good, "model_state_dict": good},
        "two models": {"state_dict": good, "model": good}, "a nest of texts": {"state_dict": "x"},
        "something beside": {"state_dict": good, "surprise": 1},
        "a number among them": {**good, "epoch": 3},
        "numbers as names": dict(enumerate(good.values())), "a tensor less": less,
        "a tensor more": {**good, "extra": good[name]},
        "both names of one": {**good, f"module.{name}": good[name]},
        "old and new name": {**good, "head.horizon_5.bias": good[name]},
        "a head too many": {**good, "head.point_horizon_20.bias": good[name]},
        "a prefix unheard of": {f"net.{k}": v for k, v in good.items()},
        "a loss with weights": {"state_dict": {**good, "loss.scale": good[name]}},
        "another shape": {**good, name: torch.zeros(9)},
        "another type": {**good, name: good[name].long()},
        "NaN": {**good, name: good[name] * torch.nan}, "infinity": {**good, name: good[name] / 0},
        "weights of apex": maker.make_model(maker.APEX).state_dict(),
        "weights of patchtst": maker.make_model(maker.PATCHTST).state_dict(),
        "a sparse tensor": {**good, name: good[name].to_sparse()},
        "a tensor without numbers": {**good, name: good[name].to("meta")},
        "a complex tensor": {**good, name: good[name].to(torch.complex64)},
    }  # fmt: skip
    for what, whole in wholes.items():
        out = io.BytesIO()
        torch.save(whole, out)
        yield f"archive of {what}", out.getvalue(), OLD


def others(rng):
    """Files of other kinds, under the name of a checkpoint."""
    yield "old file for the new reader", ZIPPED, NEW
    yield "plain file for the new reader", PLAIN, NEW
    yield "new file for the old reader", GOOD, OLD
    texts = {
        "JSON": b'{"state_dict": {}}', "CSV": b"date,code\n2026-01-05,7203\n",
        "HTML": b"<!doctype html>",
        "PNG": b"\x89PNG\r\n\x1a\n" + bytes(64), "SQLite": b"SQLite format 3\0" + bytes(84),
        "Parquet": b"PAR1" + bytes(64) + b"PAR1", "Python": b"import os\nos.system('true')\n",
        "a shell script": f"#!/bin/sh\ntouch {CANARY}\n".encode(),
        "gzip": gzip.compress(GOOD, mtime=0),
        "gzip of the old": gzip.compress(ZIPPED, mtime=0), "tar": tarred({"checkpoint": GOOD}),
        "zip": archive({"checkpoint.safetensors": GOOD}), "ELF": b"\x7fELF" + bytes(64),
    }  # fmt: skip
    for name, content in texts.items():
        for reader in (NEW, OLD):
            yield f"{name} for {reader}", content, reader


def main():
    """Read every file of this module in a fresh process; print what that took in memory."""
    # Where there is one: not on Windows. And the tests import this file.
    import resource  # noqa: PLC0415

    from artifacts.test_hostile import refuse  # noqa: PLC0415

    folder = Path(sys.argv[1])
    listed = cases()
    refuse(Case("warm", b"", NEW), folder)
    refuse(Case("warm", b"", OLD), folder)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for case in listed:
        refuse(case, folder)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    sys.stdout.write(json.dumps({"files": len(listed), "megabytes": (after - before) / 1024}))


if __name__ == "__main__":
    main()
