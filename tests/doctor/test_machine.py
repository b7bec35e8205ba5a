"""What the machine gives, read from records as systems write them."""

import os
from pathlib import Path

import pytest

from flatline.doctor.machine import Cores, Memory, measure_cores, measure_memory, measure_room

GIB = 2**30


def write(folder, **texts):
    """Files with these texts; two underscores stand for a dot."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (folder / name.replace("__", ".")).write_text(f"{text}\n")


@pytest.fixture
def groups(tmp_path):
    """A hierarchy of control groups, and the record of a process in /inner of it."""

    def make(record):
        (tmp_path / "own").write_text(record)
        return {"groups": tmp_path / "fs", "own": tmp_path / "own"}

    return make


@pytest.mark.parametrize(
    ("own", "files", "quota"),
    [
        pytest.param("0::/\n", {}, None, id="no-limit"),
        pytest.param("0::/\n", {".": "max 100000"}, None, id="max"),
        pytest.param("0::/\n", {".": "150000 100000"}, 1.5, id="root"),
        pytest.param("0::/a/b\n", {"a/b": "200000 100000"}, 2.0, id="own"),
        pytest.param("0::/a/b\n", {"a/b": "max 100000", "a": "50000 100000"}, 0.5, id="above"),
        pytest.param("0::/of/the/host\n", {".": "400000 100000"}, 4.0, id="container"),
    ],
)
def test_the_quota_of_version_2_counts(groups, tmp_path, own, files, quota):
    """Wherever in the hierarchy it is set, the tightest holds."""
    given = groups(own)
    for folder, text in files.items():
        write(tmp_path / "fs" / folder, cpu__max=text)
    assert measure_cores(**given).quota == quota


@pytest.mark.parametrize(("text", "quota"), [("-1", None), ("250000", 2.5)])
def test_the_quota_of_version_1_counts(groups, tmp_path, text, quota):
    """Minus one says that there is none."""
    given = groups("5:memory:/x\n4:cpu,cpuacct:/docker/1\n")
    write(tmp_path / "fs/cpu,cpuacct/docker/1", cpu__cfs_quota_us=text, cpu__cfs_period_us="100000")
    assert measure_cores(**given).quota == quota


def test_cores_are_what_is_left_of_all_limits():
    """Affinity, or the quota where it is tighter."""
    assert Cores(64, 8).usable == 8
    assert Cores(64, 8, quota=2.5).usable == 2.5
    assert Cores(64, 8, quota=100.0).usable == 8


def test_a_system_without_records_still_counts(tmp_path):
    """No control groups, no memory record: what is known is told, the rest is None."""
    nowhere = tmp_path / "nowhere"
    cores = measure_cores(nowhere, nowhere)
    assert cores.quota is None
    assert 1 <= cores.allowed <= cores.present == os.cpu_count()
    assert measure_memory(nowhere, nowhere, nowhere) == Memory()
    assert Memory().free is None


def test_the_tightest_memory_limit_holds(groups, tmp_path):
    """What the group may still take, or what the machine has, whichever is less."""
    given = groups("0::/a\n")
    (tmp_path / "info").write_text("MemTotal: 16777216 kB\nMemAvailable: 8388608 kB\n")
    write(tmp_path / "fs", memory__max="max", memory__current="5")
    machine = tmp_path / "info"
    free = measure_memory(**given, machine=machine)
    assert (free.total, free.available, free.limit) == (16 * GIB, 8 * GIB, None)
    assert free.free == 8 * GIB
    write(tmp_path / "fs/a", memory__max=4 * GIB, memory__current=3 * GIB)
    limited = measure_memory(**given, machine=machine)
    assert (limited.limit, limited.used, limited.free) == (4 * GIB, 3 * GIB, GIB)


def test_version_1_writes_no_limit_as_a_large_number(groups, tmp_path):
    """More than the machine has is no limit."""
    given = groups("4:memory:/\n")
    (tmp_path / "info").write_text("MemTotal: 16777216 kB\nMemAvailable: 8388608 kB\n")
    machine = tmp_path / "info"
    folder = tmp_path / "fs/memory"
    write(folder, memory__limit_in_bytes=9223372036854771712, memory__usage_in_bytes=GIB)
    assert measure_memory(**given, machine=machine).limit is None
    write(folder, memory__limit_in_bytes=2 * GIB, memory__usage_in_bytes=GIB)
    assert measure_memory(**given, machine=machine).free == GIB


def test_room_is_measured_where_the_folder_will_be(tmp_path):
    """A folder that is not there yet is measured at the nearest one above; nothing is left."""
    room = measure_room(tmp_path / "runs" / "deep")
    assert room.place == tmp_path
    assert room.error == ""
    assert room.free > 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("place", ["/proc", "file"])
def test_a_folder_that_cannot_be_written_is_noticed(tmp_path, place):
    """A read-only system folder, and a file in the folder's place."""
    (tmp_path / "file").write_text("x")
    folder = Path(place) if place.startswith("/") else tmp_path / place
    if not folder.exists():
        pytest.skip("no such folder on this system")
    room = measure_room(folder)
    assert room.free is None
    assert room.error
