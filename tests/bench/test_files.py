"""Atomic writing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bench.store.files import check_file, check_folder, write_output
from tts.errors import SettingError
from tts.files.whole import atomic_write


def test_replaces_an_older_file_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "curves.parquet"
    path.write_bytes(b"old and longer")
    atomic_write(path, b"new")
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_failure_keeps_the_older_file_and_no_part_of_the_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    def fail(*_: object) -> None:
        raise OSError("disk full")

    path = tmp_path / "curves.parquet"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, failing, fail)
    with pytest.raises(OSError, match="disk full"):
        atomic_write(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_content_reaches_the_disk_before_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda descriptor: (events.append("fsync"), fsync(descriptor)))
    monkeypatch.setattr(os, "replace", lambda a, b: (events.append("replace"), replace(a, b)))
    atomic_write(tmp_path / "x", b"1")
    assert events == ["fsync", "replace", "fsync"]


def test_the_file_has_the_mode_of_an_ordinary_one(tmp_path: Path) -> None:
    (tmp_path / "ordinary").write_bytes(b"")
    atomic_write(tmp_path / "x", b"1")
    assert (tmp_path / "x").stat().st_mode == (tmp_path / "ordinary").stat().st_mode


@pytest.mark.parametrize("place", [".", "new", "new/deep"])
def test_a_folder_that_can_be_written_passes_and_stays_as_it_was(tmp_path: Path, place: str) -> None:
    check_folder(tmp_path / place)
    check_file(tmp_path / place / "x.png")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("place", ["/proc", "/proc/new", "file", "file/new"])
def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path, place: str) -> None:
    """Root is refused as well, though every file mode lets root write."""
    (tmp_path / "file").write_bytes(b"x")
    for check, path in [(check_folder, tmp_path / place), (check_file, tmp_path / place / "x.png")]:
        with pytest.raises(SettingError, match=r"^output .*: cannot be written to \(.+\)$"):
            check(path)


def test_an_output_file_is_made_with_its_folders_or_refused(tmp_path: Path) -> None:
    write_output(tmp_path / "new" / "deep" / "x", b"1")
    assert (tmp_path / "new" / "deep" / "x").read_bytes() == b"1"
    with pytest.raises(SettingError, match=r"is a folder; name a file"):
        check_file(tmp_path / "new")
    for path in (tmp_path / "new", tmp_path / "new" / "deep" / "x" / "y"):
        with pytest.raises(SettingError, match=r"cannot be written to \(.+\)"):
            write_output(path, b"2")
    assert [path.name for path in tmp_path.rglob("*")] == ["new", "deep", "x"]
