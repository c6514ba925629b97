"""The store: flushed rows are stored whole and once, whatever is killed and whoever else writes there."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_store import MANIFEST, REWARDS, crash, name, opened, parts, row, stored

from bench.store import reader as store
from bench.store.row import TrialRow
from bench.store.schema import COLUMNS, SCHEMA_VERSION, schema
from bench.store.storage import LocalStorage
from bench.store.writer import Store
from tts.errors import DataError, SettingError


def test_rows_survive_as_they_were(tmp_path: Path) -> None:
    first = opened(tmp_path / "deep" / "run")
    for k in range(3):
        first.add(TrialRow.of_record(row(k)))
    first.close()
    assert len(parts(first.output)) == 1
    assert store.read(first.output).to_pylist() == [row(0), row(1), row(2)]
    assert store.read_manifest(first.output) == MANIFEST
    again = Store(first.output, REWARDS)
    assert set(again.open("d", {**MANIFEST, "devices": ["other"]})) == {name(0), name(1), name(2)}
    again.close()
    assert store.read_manifest(first.output) == MANIFEST  # the first session's
    assert len(parts(first.output)) == 1  # no new rows, so no new part


def test_writers_do_not_overwrite_each_others_parts(tmp_path: Path) -> None:
    for k in range(3):
        session = opened(tmp_path)
        session.add(TrialRow.of_record(row(k)))
        session.close()
    assert len(parts(tmp_path)) == 3
    assert sorted(store.read(tmp_path, ["trial"])["trial"].to_pylist()) == [name(0), name(1), name(2)]


def test_every_column_is_documented_in_the_file(tmp_path: Path) -> None:
    session = opened(tmp_path)
    session.add(TrialRow.of_record(row(0)))
    session.close()
    found = pq.read_schema(parts(tmp_path)[0])
    assert found.metadata[b"schema_version"].decode() == str(SCHEMA_VERSION)
    assert found.equals(schema(REWARDS))
    docs = {field.name: field.metadata[b"doc"].decode() for field in found}
    assert list(docs) == [column.name for column in COLUMNS] + ["score_brightness", "score_sharpness"]
    assert all(len(doc) > 5 for doc in docs.values())


def test_a_part_is_written_when_enough_rows_wait(tmp_path: Path) -> None:
    session = opened(tmp_path, flush_rows=3)
    for k in range(7):
        session.add(TrialRow.of_record(row(k)))
        session.tick()
    assert [pq.read_metadata(part).num_rows for part in parts(tmp_path)] == [3, 3]
    session.close()
    assert [pq.read_metadata(part).num_rows for part in parts(tmp_path)] == [3, 3, 1]


def test_a_part_is_written_when_rows_have_waited_long_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    session = opened(tmp_path, flush_seconds=10)
    session.add(TrialRow.of_record(row(0)))
    now = 109.0
    session.tick()
    assert not parts(tmp_path)
    now = 110.0
    session.tick()
    assert len(parts(tmp_path)) == 1
    now = 200.0
    session.tick()  # no row waits
    assert len(parts(tmp_path)) == 1
    session.add(TrialRow.of_record(row(1)))
    session.tick()  # more than ten seconds since the last part
    assert len(parts(tmp_path)) == 2
    session.close()


def test_what_is_no_part_is_ignored(tmp_path: Path) -> None:
    session = opened(tmp_path)
    session.add(TrialRow.of_record(row(0)))
    session.close()
    whole = parts(tmp_path)[0].read_bytes()
    for stranger in (".part-x-00000.parquet.123.tmp", "notes.txt", "part-x.parquet.bak", "other.parquet"):
        (tmp_path / "trials" / stranger).write_bytes(whole[: len(whole) // 2])
    assert set(store.done(tmp_path)) == {name(0)}
    assert store.read(tmp_path).to_pylist() == [row(0)]
    opened(tmp_path).close()  # deletes what a killed driver left, and nothing else
    assert {path.name for path in (tmp_path / "trials").iterdir()} == {
        *(path.name for path in parts(tmp_path)),
        "notes.txt",
        "part-x.parquet.bak",
        "other.parquet",
    }


@pytest.mark.parametrize(
    "damage",
    [lambda data: b"", lambda data: data[:10], lambda data: data[:-20], lambda data: data[:4] + b"?" + data[5:]],
)
def test_a_damaged_part_is_named(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    """Of several, wherever the damage is."""
    for k in range(3):
        session = opened(tmp_path)
        session.add(TrialRow.of_record(row(k)))
        session.close()
    part = parts(tmp_path)[1]
    part.write_bytes(damage(part.read_bytes()))
    for read in (lambda: store.done(tmp_path), lambda: store.read(tmp_path), lambda: store.find(tmp_path, "0")):
        with pytest.raises(DataError, match=r"parquet is damaged; delete it") as caught:
            read()
        assert part.name in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "error", [PermissionError(13, "Permission denied"), FileNotFoundError("part"), OSError("AWS Error")]
)
def test_nothing_is_to_be_deleted_because_the_system_or_the_network_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    session = opened(tmp_path)
    session.add(TrialRow.of_record(row(0)))
    session.close()
    if error.errno is None:
        monkeypatch.setattr(store, "LocalStorage", type(None))  # so that it counts as a bucket

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(store, "check_bounds", fail)
    with pytest.raises(
        DataError, match=r"cannot be read; (run the same command again|if that stays so, it is damaged)"
    ):
        store.done(tmp_path)


def disk_full(*_: object) -> None:
    """The error of a full disk."""
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_part_that_cannot_be_written_leaves_its_rows_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    session = opened(tmp_path)
    session.add(TrialRow.of_record(row(0)))
    with monkeypatch.context() as broken:
        broken.setattr(os, failing, disk_full)
        with pytest.raises(SettingError, match=r"cannot be written to \(No space left on device\)"):
            session.flush()
    assert not list((tmp_path / "trials").iterdir())
    session.add(TrialRow.of_record(row(1)))
    session.close()
    assert store.read(tmp_path).to_pylist() == [row(0), row(1)]


def test_a_folder_is_let_go_even_if_its_last_part_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = opened(tmp_path)
    session.add(TrialRow.of_record(row(0)))
    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", disk_full)
        with pytest.raises(SettingError, match="No space left"):
            session.close()
    again = Store(tmp_path, REWARDS)
    assert set(again.open("d", MANIFEST)) == set()
    again.close()


@given(st.lists(st.sampled_from(["add", "add", "add", "flush", "crash", "close"]), max_size=30), st.integers(1, 5))
def test_whatever_happens_every_trial_is_stored_once(
    tmp_path_factory: pytest.TempPathFactory, events: list[str], flush_rows: int
) -> None:
    """A driver adds the rows that ``open`` reports missing and is killed at any moment: no row is doubled, and no
    flushed row is lost."""
    folder = tmp_path_factory.mktemp("run")
    session = opened(folder, flush_rows=flush_rows)
    todo, waiting, safe = list(range(12)), set(), set()
    for event in events:
        if event == "add" and todo:
            session.add(TrialRow.of_record(row(todo[0])))
            waiting.add(name(todo.pop(0)))
        elif event == "flush":
            session.flush()
        elif event == "close":
            session.close()
        elif event == "crash":
            crash(session)
            waiting.clear()
        if event in {"flush", "close"} or len(waiting) == flush_rows:
            safe |= waiting
            waiting.clear()
        assert sorted(stored(folder)) == sorted(safe)
        if event in {"crash", "close"}:
            session = Store(folder, REWARDS, flush_rows=flush_rows, flush_seconds=10**6)
            assert set(session.open("d", MANIFEST)) == safe
            todo = [k for k in range(12) if name(k) not in safe]
    for k in todo:
        session.add(TrialRow.of_record(row(k)))
    session.close()
    assert sorted(stored(folder)) == [name(k) for k in range(12)]


def test_parts_of_before_and_after_recipes_had_ways_back_are_read_together(tmp_path: Path) -> None:
    """An older version began the run, and this version continues it."""
    noise = pa.struct([("seed", pa.int64()), ("moves", pa.list_(pa.struct([("seed", pa.int64())])))])
    session = opened(tmp_path)
    session.add(TrialRow.of_record(row(1)))
    session.close()
    old = pa.table({"trial": ["old"], "noises": pa.array([[{"seed": 5, "moves": []}, None]], pa.list_(noise))})
    for file in ("part-0.parquet", "part-z.parquet"):  # their names sort before and after the new part's
        pq.write_table(old, tmp_path / "trials" / file)
        recipes = {found["trial"]: found["noises"] for found in store.read(tmp_path, ["trial", "noises"]).to_pylist()}
        assert recipes == {"old": [{"seed": 5, "moves": [], "to": None}, None], row(1)["trial"]: row(1)["noises"]}
        (tmp_path / "trials" / file).unlink()


def test_failed_trials_are_forgotten_in_parts_whose_rewards_are_in_another_order(tmp_path: Path) -> None:
    """The order of rewards is no part of a run's identity."""
    session = opened(tmp_path)
    session.add(TrialRow.of_record(row(0)))
    session.add(TrialRow.of_record({**row(1), "error": "no luck"}))
    session.close()
    again = Store(tmp_path, REWARDS[::-1])
    assert set(again.open("d", MANIFEST, retry_errors=True)) == {name(0)}
    again.close()
    assert store.read(tmp_path).select(schema(REWARDS).names).to_pylist() == [row(0)]


def test_a_damaged_part_is_not_a_folder_that_cannot_be_written_to(tmp_path: Path) -> None:
    session = opened(tmp_path)
    session.add(TrialRow.of_record({**row(1), "error": "no luck"}))
    session.close()
    parts(tmp_path)[0].write_bytes(b"PAR1")
    again = Store(tmp_path, REWARDS)
    with pytest.raises(DataError, match=r"parquet is damaged; delete it"):
        again.open("d", MANIFEST, retry_errors=True)
    again.close()


def test_what_a_killed_driver_left_of_features_is_deleted(tmp_path: Path) -> None:
    opened(tmp_path).close()
    torn = tmp_path / "features" / ".part-x-00000-abcd.parquet.1.tmp"
    torn.parent.mkdir()
    torn.write_bytes(b"PAR1")
    opened(tmp_path).close()
    assert not torn.exists()


class Bucket(LocalStorage):
    """Objects of a store: what another driver has removed cannot be removed. Another one may come just before that."""

    before_removal: Callable[[], None] | None = None

    def remove(self, name: str) -> None:
        if self.before_removal is not None:
            self.before_removal()
        Path(self.path(name)).unlink()


def test_shards_that_try_a_bucket_at_once_do_not_meet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "LocalStorage", type(None))  # so that it is tried as a bucket is
    first, second = Bucket(tmp_path), Bucket(tmp_path)
    first.before_removal = lambda: store.check_output(second)
    store.check_output(first)
    assert not list(tmp_path.iterdir())
