"""A file appears whole or not at all, and is as readable as any other."""

import os

import pytest

from flatline.files import replacing, write_text


def test_what_is_written_takes_the_place_of_what_was_there(tmp_path):
    """Folders are made, and nothing else is left."""
    path = tmp_path / "deep" / "a.txt"
    write_text(path, "first")
    write_text(path, "écrit")
    assert path.read_text(encoding="utf-8") == "écrit"
    assert list(path.parent.iterdir()) == [path]


def test_a_write_that_fails_changes_nothing(tmp_path):
    """What stood there stays, and the half-written file goes."""
    path = tmp_path / "a.txt"
    write_text(path, "before")

    def interrupted():
        with replacing(path) as partial:
            partial.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_others_may_read_what_they_may_read_elsewhere(tmp_path):
    """A file has the permissions that the shell gives to new files."""
    before = os.umask(0o022)
    try:
        write_text(tmp_path / "a.txt", "x")
        (tmp_path / "b.txt").write_text("x")
    finally:
        os.umask(before)
    modes = [(tmp_path / name).stat().st_mode for name in ("a.txt", "b.txt")]
    assert modes[0] == modes[1]
