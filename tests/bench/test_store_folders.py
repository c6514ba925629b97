"""Results folders: to which run they belong, what is refused and left untouched, and what is found in them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from small_store import MANIFEST, REWARDS, name, opened, row

from bench.store import reader as store
from bench.store.leases import Lease
from bench.store.row import TrialRow
from bench.store.storage import LocalStorage
from bench.store.writer import Store
from tts.errors import DataError, RunMismatchError, SettingError


def tree(folder: Path) -> dict[str, tuple[bytes | None, int]]:
    """Everything below a folder: content and time of the last change."""
    return {
        str(path.relative_to(folder)): (path.read_bytes() if path.is_file() else None, path.stat().st_mtime_ns)
        for path in sorted([folder, *folder.rglob("*")])
    }


def test_one_driver_at_a_time(tmp_path: Path) -> None:
    first = opened(tmp_path)
    first.add(TrialRow.of_record(row(0)))
    second = Store(tmp_path, REWARDS)
    with pytest.raises(SettingError, match="another run is writing to this folder"):
        second.open("d", MANIFEST)
    second.close()
    first.close()
    assert set(second.open("d", MANIFEST)) == {name(0)}
    second.close()


def test_a_folder_of_another_configuration_is_refused_untouched(tmp_path: Path) -> None:
    session = opened(tmp_path)
    session.add(TrialRow.of_record(row(0)))
    session.close()
    before = tree(tmp_path)
    other = Store(tmp_path, REWARDS)
    with pytest.raises(RunMismatchError, match=r"belongs to another configuration.*--set output="):
        other.open("e", {**MANIFEST, "digest": "e"})
    other.close()
    assert tree(tmp_path) == before


def test_a_folder_that_another_configuration_took_meanwhile_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder is free at first, but another driver comes and goes before the lock is taken."""

    claim = LocalStorage.claim

    def overtaken(self: LocalStorage, shard: str) -> Lease:
        (self.folder / "manifest.json").write_text(json.dumps({**MANIFEST, "digest": "other"}))
        return claim(self, shard)

    session = Store(tmp_path, REWARDS)
    monkeypatch.setattr(LocalStorage, "claim", overtaken)
    with pytest.raises(RunMismatchError):
        session.open("d", MANIFEST)
    session.close()


def test_a_folder_with_other_files_is_refused_untouched(tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").write_bytes(b"x")
    before = tree(tmp_path)
    session = Store(tmp_path, REWARDS)
    with pytest.raises(SettingError, match=r"holds other files and no manifest\.json; choose an empty folder"):
        session.open("d", MANIFEST)
    assert tree(tmp_path) == before


def test_an_interrupted_start_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "trials").mkdir()
    (tmp_path / ".lock").write_text("")
    opened(tmp_path).close()
    assert store.read_manifest(tmp_path) == MANIFEST


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"name": "web app", "icons": []}'])
def test_a_manifest_that_is_none_of_ours_is_refused_untouched(content: str, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(content)
    before = tree(tmp_path)
    with pytest.raises(DataError, match="not a results folder"):
        Store(tmp_path, REWARDS).open("d", MANIFEST)
    assert tree(tmp_path) == before


def test_an_output_that_is_a_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "taken"
    path.write_text("x")
    with pytest.raises(SettingError, match=rf"output {path}: is not a folder"):
        Store(path, REWARDS).open("d", MANIFEST)


@pytest.mark.parametrize("place", ["below a file", "/proc"])
def test_an_unwritable_folder_is_refused(place: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    folder = tmp_path / "file" / "run" if place == "below a file" else Path("/proc/run")
    session = Store(folder, REWARDS)
    with pytest.raises(SettingError, match=rf"^output {folder}: cannot be written to \(.+\)$"):
        session.open("d", MANIFEST)
    session.close()


def test_a_trial_is_found_by_its_first_digits(tmp_path: Path) -> None:
    session = opened(tmp_path)
    for k, key in enumerate(("aa11", "aa22", "bb33")):
        session.add(TrialRow.of_record({**row(k), "trial": key}))
    session.close()
    assert store.find(tmp_path, "bb") == {**row(2), "trial": "bb33"}
    assert store.find(tmp_path, "aa2")["seed"] == 1
    with pytest.raises(DataError, match="2 trials begin with 'aa'; give more digits"):
        store.find(tmp_path, "aa")
    with pytest.raises(DataError, match="no trial begins with 'c'"):
        store.find(tmp_path, "c")


def test_a_folder_without_a_run_or_a_trial_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not a results folder"):
        store.read(tmp_path)
    opened(tmp_path).close()
    with pytest.raises(DataError, match="no trial is finished yet"):
        store.find(tmp_path, "0")
