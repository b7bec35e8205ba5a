"""Each check of the doctor on what is healthy and on what is not, side by side."""

import io
import os
import pickle
import zipfile
from pathlib import Path

import polars as pl
import pytest
import torch

from flatline.doctor.devices import check_devices, check_flags, driver_version
from flatline.doctor.findings import Status
from flatline.doctor.inputs import check_data, check_environment
from flatline.doctor.machine import Cores, Memory, Room
from flatline.doctor.places import (
    check_memory,
    check_pickles,
    check_room,
    check_shared_memory,
    pickled_names,
)
from flatline.doctor.probing import Probe
from flatline.doctor.threads import (
    check_cores,
    check_fork,
    check_openmp,
    check_thread_count,
    check_thread_names,
    check_waiting,
)
from flatline.doctor.versions import check_versions, installed_version, requirements_of

GIB, MIB = 2**30, 2**20
OK, NOTE, TROUBLE = Status
H200 = {
    "name": "NVIDIA H200", "total": 140 * GIB, "free": 139 * GIB, "capability": "9.0", "bf16": True,
}  # fmt: skip
T4 = H200 | {"name": "Tesla T4", "capability": "7.5", "bf16": False}
CUDA = {"built_for_cuda": "12.8", "devices": []}
CPU = {"built_for_cuda": None, "devices": []}


def judged(finding, status, says=""):
    """The finding has that status, says this, and has a remedy where one is needed."""
    assert finding.status is status, finding
    assert says in f"{finding.measured} {finding.remedy}"
    assert bool(finding.remedy) == (status is not OK), finding


NEEDS = ["torch>=2.9", "numpy>=2.0", "scikit-learn>=1.5; extra == 'learners'"]
HAVE = {"flatline": "0.1.0", "torch": "2.13.0+cu128", "numpy": "2.4.6", "scikit-learn": "1.9.1"}


@pytest.mark.parametrize(
    ("change", "probed", "name", "status", "says"),
    [
        pytest.param({}, Probe(), "torch", OK, "2.13.0+cu128 (>=2.9)", id="healthy"),
        pytest.param({"torch": "2.8.1"}, Probe(), "torch", TROUBLE, "'torch>=2.9'", id="old"),
        pytest.param({"torch": "2.10.0.dev1"}, Probe(), "torch", OK, "dev1", id="nightly"),
        pytest.param({"numpy": None}, Probe(), "numpy", TROUBLE, "not installed", id="missing"),
        pytest.param(
            {}, Probe(errors={"torch": "OSError: libc"}), "torch", TROUBLE, "libc", id="broken"
        ),
        pytest.param(
            {}, Probe(errors={"torch": "", "lightning": ""}), "lightning", TROUBLE, "torch first",
            id="broken-by-torch",
        ),
        pytest.param(
            {}, Probe(errors={"scipy": "no"}), "scipy", TROUBLE, "imported: no", id="not-asked-for"
        ),
        pytest.param({}, Probe(), "extra learners", OK, "1.9.1", id="extra"),
        pytest.param(
            {"scikit-learn": None}, Probe(), "extra learners", NOTE, "[learners]", id="no-extra"
        ),
        pytest.param(
            {"scikit-learn": "1.2"}, Probe(), "extra learners", NOTE, "learn>=1.5", id="old-extra"
        ),
        pytest.param({"flatline": None}, Probe(), "flatline", NOTE, "checkout", id="checkout"),
    ],
)  # fmt: skip
def test_versions(change, probed, name, status, says):
    """Installed, new enough, and importable; extras only where they are wanted."""
    have = HAVE | {"scipy": "1.17", "lightning": "2.6"} | change
    found = check_versions(probed, NEEDS, installed=have.get)
    (one,) = [finding for finding in found if finding.name == name]
    judged(one, status, says)


@pytest.mark.parametrize(("rule", "status"), [(">=3.11", OK), ("", OK), (">=3.99", TROUBLE)])
def test_the_version_of_python(rule, status):
    """Held against the rule of the installed metadata."""
    judged(check_versions(Probe(), [], needs_python=rule, python="3.12.1")[0], status, "3.12.1")


def test_what_is_not_installed_has_no_metadata():
    """A bare checkout is no error."""
    assert requirements_of("no-such-distribution") == ("", [])
    assert installed_version("no-such-distribution") is None
    assert installed_version("numpy")


@pytest.mark.parametrize(
    ("torch_facts", "driver", "environ", "status", "says"),
    [
        pytest.param(CPU, "", {}, OK, "the CPU is used", id="cpu"),
        pytest.param(CUDA | {"devices": [H200]}, "570.86", {}, OK, "driver 570.86, bf16", id="gpu"),
        pytest.param(CUDA | {"devices": [T4]}, "570.86", {}, NOTE, "no bf16", id="no-bf16"),
        pytest.param(
            CUDA | {"devices": [H200 | {"free": 1}]}, "570", {}, TROUBLE, "Another", id="taken"
        ),
        pytest.param(CPU, "570.86", {}, TROUBLE, "built for the CPU only", id="cpu-build"),
        pytest.param(CUDA, "390.1", {}, TROUBLE, "Update the driver", id="old-driver"),
        pytest.param(CUDA, "570", {"CUDA_VISIBLE_DEVICES": ""}, NOTE, "hidden by", id="hidden"),
        pytest.param(CPU, "", {"CUDA_VISIBLE_DEVICES": "0"}, TROUBLE, "no NVIDIA", id="none"),
        pytest.param(CPU, "", {"CUDA_VISIBLE_DEVICES": ""}, OK, "the CPU is used", id="hidden-cpu"),
    ],
)  # fmt: skip
def test_devices(torch_facts, driver, environ, status, says):
    """What torch sees against what the machine has."""
    (one,) = check_devices(torch_facts, driver=driver, environ=environ)
    judged(one, status, says)


def test_mps_is_named():
    """A Mac has no CUDA device and is none the worse."""
    (one,) = check_devices(CPU | {"mps": True}, driver="", environ={})
    judged(one, OK, "available")


def test_the_driver_is_read_from_its_record(tmp_path):
    """The version is the number with dots; no record, no driver."""
    record = tmp_path / "version"
    record.write_text(
        "NVRM version: NVIDIA UNIX x86_64 Kernel Module  570.86.15  Tue\nGCC version:  12.3.0\n"
    )
    assert driver_version(record) == "570.86.15"
    assert driver_version(tmp_path / "none", tool=str(tmp_path / "none")) == ""


@pytest.mark.parametrize(
    ("script", "version"),
    [
        ("echo 580.159.03", "580.159.03"),
        ("echo no devices; exit 9", ""),
        ("echo N/A", "unknown version"),
    ],
)
def test_the_driver_is_asked_where_its_record_is_hidden(tmp_path, script, version):
    """Containers may hide the record; the driver's tool still answers, or fails."""
    tool = tmp_path / "tool"
    tool.write_text(f"#!/bin/sh\n{script}\n")
    tool.chmod(0o755)
    assert driver_version(tmp_path / "none", tool=str(tool)) == version


@pytest.mark.parametrize(
    ("flags", "environ", "name", "status"),
    [
        pytest.param({}, {}, "TF32", OK, id="healthy"),
        pytest.param({"cuda.matmul.allow_tf32": True}, {}, "TF32", NOTE, id="tf32-flag"),
        pytest.param({}, {"NVIDIA_TF32_OVERRIDE": "1"}, "TF32", NOTE, id="tf32-forced"),
        pytest.param({}, {"NVIDIA_TF32_OVERRIDE": "0"}, "TF32", OK, id="tf32-off"),
        pytest.param({"cudnn.benchmark": True}, {}, "cuDNN", NOTE, id="benchmark"),
        pytest.param({}, {"CUDA_LAUNCH_BLOCKING": "1"}, "CUDA launches", NOTE, id="blocking"),
    ],
)
def test_flags(flags, environ, name, status):
    """Switches that change figures or speed are named."""
    found = check_flags({"flags": flags}, environ=environ)
    (one,) = [finding for finding in found if finding.name == name]
    judged(one, status)
    assert len(found) == (1 if name == "TF32" else 2)


@pytest.mark.parametrize(
    ("threads", "cores", "processes", "status", "says"),
    [
        pytest.param(8, Cores(8, 8), 1, OK, "1 x 8", id="all"),
        pytest.param(4, Cores(8, 8), 2, OK, "2 x 4", id="shared-out"),
        pytest.param(64, Cores(64, 64, 2.0), 1, TROUBLE, "OMP_NUM_THREADS=2", id="quota"),
        pytest.param(8, Cores(64, 2), 1, TROUBLE, "OMP_NUM_THREADS=2", id="affinity"),
        pytest.param(8, Cores(8, 8), 4, TROUBLE, "OMP_NUM_THREADS=2", id="processes"),
        pytest.param(1, Cores(2, 2), 8, TROUBLE, "at most 2 processes", id="too-many-processes"),
        pytest.param(2, Cores(8, 8, 1.5), 1, OK, "1.5 cores", id="part-of-a-core"),
        pytest.param(1, Cores(8, 8, 0.5), 1, OK, "0.5 cores", id="less-than-one"),
    ],
)
def test_thread_count(threads, cores, processes, status, says):
    """Threads of all processes against the cores that may be used."""
    judged(check_thread_count(threads, cores=cores, processes=processes), status, says)
    judged(check_cores(cores), OK, f"{cores.usable:g} usable")


@pytest.mark.parametrize(
    ("environ", "status", "says"),
    [
        ({}, OK, "no number"),
        ({"OMP_NUM_THREADS": "4", "MKL_NUM_THREADS": "2"}, OK, "MKL_NUM_THREADS=2"),
        ({"OMP_NUM_THREADS": "4,2"}, OK, "4,2"),
        ({"OMP_NUM_THREADS": "all"}, TROUBLE, "Set OMP_NUM_THREADS to a number"),
        ({"POLARS_MAX_THREADS": "0"}, TROUBLE, "POLARS_MAX_THREADS"),
    ],
)
def test_thread_names(environ, status, says):
    """A number of threads that is no number is not read by anyone."""
    judged(check_thread_names(environ), status, says)


@pytest.mark.parametrize(
    ("environ", "status"),
    [
        ({}, OK),
        ({"GOMP_SPINCOUNT": "10000"}, OK),
        ({"GOMP_SPINCOUNT": "300k", "OMP_WAIT_POLICY": "passive"}, OK),
        ({"GOMP_SPINCOUNT": "10000", "OMP_WAIT_POLICY": "active"}, OK),
        ({"GOMP_SPINCOUNT": "infinity"}, NOTE),
        ({"GOMP_SPINCOUNT": "30g"}, NOTE),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, NOTE),
    ],
)
def test_waiting(environ, status):
    """Threads that hold their cores while they wait."""
    judged(check_waiting(environ), status)


@pytest.mark.parametrize(
    ("runtimes", "status"),
    [
        ([], OK),
        (["/t/lib/libgomp-a34b3233.so.1"], OK),
        (["/t/lib/libgomp-a34b3233.so.1", "/s/libgomp.so.1"], NOTE),
        (["/t/libgomp.so.1", "/m/libiomp5.so"], NOTE),
        (["/m/libiomp5.so", "/s/libomp.so"], TROUBLE),
    ],
)
def test_openmp(runtimes, status):
    """Two of a kind are slow; Intel's beside LLVM's can lock up."""
    judged(check_openmp(runtimes), status)


@pytest.mark.parametrize(
    ("process", "processes", "status"),
    [
        ({"start_method": "spawn", "threads": 9}, 8, OK),
        ({"start_method": "forkserver", "threads": 9}, 8, OK),
        ({"start_method": "fork", "threads": 1}, 8, OK),
        ({"start_method": "fork", "threads": 9}, 1, NOTE),
        ({"start_method": "fork", "threads": 9}, 2, TROUBLE),
    ],
)
def test_fork(process, processes, status):
    """A copy of a process with threads; trouble where copies are meant to be made."""
    judged(check_fork(process, processes=processes), status)


@pytest.mark.parametrize(
    ("memory", "status", "says"),
    [
        (Memory(), OK, "not measured"),
        (Memory(16 * GIB, 8 * GIB), OK, "8.0 GiB can be taken"),
        (Memory(16 * GIB, 8 * GIB, 4 * GIB, GIB), OK, "limit 4.0 GiB of which 1.0 GiB"),
        (Memory(16 * GIB, GIB // 2), TROUBLE, "512 MiB"),
        (Memory(16 * GIB, 8 * GIB, 2 * GIB, 2 * GIB - 1), TROUBLE, "memory_map"),
    ],
)
def test_memory(memory, status, says):
    """What can still be taken, by the machine and by the limit."""
    judged(check_memory(memory), status, says)


@pytest.mark.parametrize(
    ("free", "given", "status"),
    [
        (None, {}, OK),
        (GIB, {"processes": 8}, OK),
        (64 * MIB, {}, NOTE),
        (64 * MIB, {"processes": 2}, TROUBLE),
        (64 * MIB, {"devices": 2}, TROUBLE),
    ],
)
def test_shared_memory(free, given, status):
    """Trouble where several processes or devices have to talk through it."""
    judged(check_shared_memory(free, **given), status)


@pytest.mark.parametrize(
    ("free", "error", "status", "says"),
    [
        (5 * GIB, "", OK, "5.0 GiB free in"),
        (MIB, "", TROUBLE, "Make room"),
        (None, "Read-only file system", TROUBLE, "cannot be written (Read-only file system)"),
    ],
)
def test_room(tmp_path, free, error, status, says):
    """Full, read-only, or neither."""
    judged(check_room("runs", Room(tmp_path, tmp_path, free, error)), status, says)
    later = check_room("runs", Room(tmp_path / "later", tmp_path, 5 * GIB))
    judged(later, OK, "not there yet")


class Hostile:
    """Would run a command where it is unpickled."""

    def __reduce__(self):
        """What an attacker writes."""
        return os.system, ("touch never-made",)


def test_files_of_plain_tensors_are_no_concern(tmp_path):
    """As the run writes them for its resumption, and as others save weights."""
    state = {"weight": torch.ones(2), "epoch": 3, "state": {"buffer": torch.zeros(1).half()}}
    torch.save(state, tmp_path / "last.ckpt")
    torch.save(torch.nn.Linear(2, 2).state_dict(), tmp_path / "weights.pt")
    torch.save(state, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    (tmp_path / "empty.pt").write_bytes(b"")
    (tmp_path / "text.bin").write_text("no pickle")
    judged(check_pickles(tmp_path), OK, "5 under")
    judged(check_pickles(tmp_path / "none"), OK, "0 under")


@pytest.mark.parametrize("kind", ["pickle", "protocol-2", "torch", "old-torch"])
def test_a_file_that_would_run_code_is_named_and_not_run(tmp_path, monkeypatch, kind):
    """The call is read out of it."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "deep" / "model.pt"
    path.parent.mkdir()
    if kind == "pickle":
        path.write_bytes(pickle.dumps(Hostile()))
    elif kind == "protocol-2":
        path.write_bytes(pickle.dumps(Hostile(), protocol=2))
    else:
        torch.save({"a": Hostile()}, path, _use_new_zipfile_serialization=kind == "torch")
    judged(check_pickles(tmp_path), NOTE, "system")
    assert "posix.system" in pickled_names(path)
    assert not Path("never-made").exists()


def test_damaged_files_are_passed_over(tmp_path):
    """Neither a broken archive nor a cut pickle stops the look."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("a/data.pkl", b"\x80\x02cos\nsys")
    (tmp_path / "cut.pt").write_bytes(data.getvalue())
    (tmp_path / "half.pt").write_bytes(data.getvalue()[:40])
    (tmp_path / "cut.pkl").write_bytes(pickle.dumps({"a": 1})[:-3])
    judged(check_pickles(tmp_path), OK)


BARS = {
    "date": ["2024-01-04", "2024-01-05"], "code": ["7203", "6758"], "open": [1.0, 2.0],
    "high": [1.0, 2.0], "low": [1.0, 2.0], "close": [1.0, 2.0], "volume": [5, 6],
}  # fmt: skip


def test_data_that_can_be_read_is_counted(tmp_path):
    """Rows, codes, dates and columns of each file of a folder."""
    pl.DataFrame(BARS).write_csv(tmp_path / "a.csv")
    pl.DataFrame(BARS)[:1].write_parquet(tmp_path / "b.parquet")
    first, second = check_data([str(tmp_path)])
    judged(first, OK, "2 rows of 2 codes from 2024-01-04 to 2024-01-05; columns date, code, open")
    judged(second, OK, "1 rows of 1 codes")
    assert [first.name, second.name] == ["a.csv", "b.parquet"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        pytest.param(lambda f: f.drop("close"), "has no column 'close'", id="no-column"),
        pytest.param(lambda f: f[:0], "has 0 rows", id="no-rows"),
        pytest.param(
            lambda f: f.with_columns(close=pl.lit("n.v.")), "expected a number", id="no-number"
        ),
        pytest.param(
            lambda f: f.with_columns(date=pl.lit("soon")), "expected a date", id="no-date"
        ),
        pytest.param(lambda f: f.with_columns(close=pl.lit(None)), "has no value", id="no-value"),
        pytest.param(
            lambda f: f.with_columns(date=pl.lit(None)), "expected a date", id="null-dates"
        ),
    ],
)
def test_data_that_cannot_be_used_says_why(tmp_path, change, says):
    """One line and what to do."""
    change(pl.DataFrame(BARS)).write_parquet(tmp_path / "a.parquet")
    (one,) = check_data([str(tmp_path / "a.parquet")])
    judged(one, TROUBLE, says)
    assert "\n" not in one.measured


def test_paths_that_lead_nowhere_are_named(tmp_path):
    """Missing, damaged and misnamed files, each by itself; a good one is still read."""
    (tmp_path / "torn.parquet").write_bytes(b"PAR1 and no more")
    pl.DataFrame(BARS).write_csv(tmp_path / "good.csv")
    given = ["nowhere.parquet", "torn.parquet", "good.csv", "*.csv"]
    found = check_data([str(tmp_path / name) for name in given])
    assert [finding.status for finding in found] == [TROUBLE, TROUBLE, OK, OK]
    assert all(finding.remedy for finding in found[:2])


@pytest.mark.parametrize(
    ("environ", "status", "says"),
    [
        pytest.param({}, OK, "none", id="empty"),
        pytest.param({"LEARNING_RATE": "0.01", "HOME": "/"}, OK, "LEARNING_RATE", id="alias"),
        pytest.param({"FLATLINE_TRAINING__SEED": "3"}, OK, "FLATLINE_TRAINING__SEED", id="long"),
        pytest.param(
            {"FLATLINE_TRAINING__SED": "3"}, TROUBLE, "FLATLINE_TRAINING__SEED", id="unknown"
        ),
        pytest.param(
            {"LEARNING_RATE": "0.01", "FLATLINE_TRAINING__LEARNING_RATE": "0.02"},
            TROUBLE, "expected one value", id="contradiction",
        ),
        pytest.param({"USE_RANKIC": "perhaps"}, TROUBLE, "expected a yes or a no", id="no-answer"),
        pytest.param({"LEARNING_RATE": "fast"}, TROUBLE, "LEARNING_RATE", id="no-number"),
    ],
)  # fmt: skip
def test_environment(environ, status, says):
    """Names that are settings are read; those that cannot be are trouble."""
    (one,) = check_environment(environ)
    judged(one, status, says)


def test_every_fault_of_the_environment_is_told():
    """Not only the first."""
    found = check_environment({"FLATLINE_A": "1", "FLATLINE_B": "2", "LEARNING_RATE": "0.1"})
    assert [finding.status for finding in found] == [TROUBLE, TROUBLE]
