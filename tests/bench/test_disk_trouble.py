"""A disk that fails for a while: the user is told once, and each row is stored once or reported as lost."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from full_disk import Disk, free, opened_while_full, until
from small_store import MANIFEST, REWARDS, crash, name, opened, parts, row, stored

from bench.run import writer
from bench.run.writer import Writer
from bench.store.row import TrialRow
from bench.store.writer import Store
from tts.errors import SettingError


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make pauses between two attempts a hundred times shorter."""
    sleep = time.sleep
    monkeypatch.setattr(writer, "time", Hurried(sleep))


class Hurried:
    """Stands for the module ``time``, only in the writer."""

    monotonic = staticmethod(time.monotonic)

    def __init__(self, sleep: Callable[[float], None]) -> None:
        self._sleep = sleep

    def sleep(self, seconds: float) -> None:
        """Sleep a hundredth of the time."""
        self._sleep(seconds / 100)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    """A disk whose ``fsync`` fails while it is full."""
    return Disk(monkeypatch)


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_disk_that_is_full_for_a_while_is_told_once_and_loses_nothing(
    call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    disk, held = Disk(monkeypatch, call), opened(tmp_path, flush_rows=2)
    writing = Writer(held, 60.0, said.append)
    writing.add(TrialRow.of_record(row(0)))
    writing.add(TrialRow.of_record(row(1)))
    until(lambda: held._parts)
    disk.full = True
    for k in range(2, 9):
        writing.add(TrialRow.of_record(row(k)))
    until(lambda: disk.refused >= 4)
    writing.tick()  # its patience is not over yet
    assert said == [
        f"output {tmp_path}: cannot be written to (No space left on device); trying again for 60 s, the engines go on"
    ]
    disk.full = False
    until(lambda: len(said) == 2)
    writing.close()
    assert said[1:] == ["the output can be written to again"]
    assert sorted(stored(tmp_path)) == [name(k) for k in range(9)]
    assert not list(tmp_path.rglob(".*.tmp"))
    assert free(tmp_path)


def test_a_second_trouble_is_told_again(tmp_path: Path, disk: Disk) -> None:
    said: list[str] = []
    writing = Writer(opened(tmp_path, flush_rows=1), 60.0, said.append)
    for k in range(2):
        disk.full = True
        writing.add(TrialRow.of_record(row(k)))
        until(lambda k=k: len(said) == 2 * k + 1)
        disk.full = False
        until(lambda k=k: len(said) == 2 * k + 2)
    writing.close()
    assert [line.split()[-1] for line in said] == ["on", "again"] * 2
    assert sorted(stored(tmp_path)) == [name(0), name(1)]


def test_a_disk_that_is_full_at_the_very_end_is_waited_for(tmp_path: Path, disk: Disk) -> None:
    writing = Writer(opened(tmp_path), 60.0)
    disk.full = True
    writing.add(TrialRow.of_record(row(0)))
    threading.Timer(0.05, setattr, (disk, "full", False)).start()
    writing.close()
    assert disk.refused
    assert stored(tmp_path) == [name(0)]
    assert free(tmp_path)


@pytest.mark.parametrize("patience", [0.0, 0.05])
def test_when_patience_is_over_the_driver_and_the_user_are_told(patience: float, tmp_path: Path, disk: Disk) -> None:
    said: list[str] = []
    disk.full = True
    writing = Writer(opened_while_full(tmp_path, disk), patience, said.append)
    for k in range(3):
        writing.add(TrialRow.of_record(row(k)))
    until(lambda: writing._failure)
    writing.add(TrialRow.of_record(row(3)))
    with pytest.raises(SettingError, match=rf"^output {tmp_path}: cannot be written to \(No space left on device\)$"):
        writing.tick()
    with pytest.raises(
        SettingError, match=r"left on device\); 4 finished trials are not stored, and will be run again"
    ):
        writing.close()
    assert len(said) == bool(patience)
    disk.full = False
    assert not parts(tmp_path)
    assert free(tmp_path)


def test_what_was_stored_before_the_trouble_stays_and_is_not_run_again(tmp_path: Path, disk: Disk) -> None:
    held = opened(tmp_path, flush_rows=2)
    writing = Writer(held)
    for k in range(2):
        writing.add(TrialRow.of_record(row(k)))
    until(lambda: held._parts)
    disk.full = True
    for k in range(2, 4):
        writing.add(TrialRow.of_record(row(k)))
    with pytest.raises(SettingError, match="2 finished trials are not stored"):
        writing.close()
    disk.full = False
    again = Store(tmp_path, REWARDS)
    assert set(again.open("d", MANIFEST)) == {name(0), name(1)}
    resumed = Writer(again)
    for k in range(2, 4):
        resumed.add(TrialRow.of_record(row(k)))
    resumed.close()
    assert sorted(stored(tmp_path)) == [name(k) for k in range(4)]


def test_a_driver_killed_while_the_disk_is_full_doubles_nothing(tmp_path: Path, disk: Disk) -> None:
    dying = opened(tmp_path, flush_rows=1)
    writing = Writer(dying, 0.05)
    writing.add(TrialRow.of_record(row(0)))
    until(lambda: dying._parts)
    disk.full = True
    for k in range(1, 4):
        writing.add(TrialRow.of_record(row(k)))
    until(lambda: writing._failure)
    crash(dying)
    disk.full = False
    again = Store(tmp_path, REWARDS, flush_rows=2)
    done = set(again.open("d", MANIFEST))
    assert done == {name(0)}
    resumed = Writer(again)
    for k in range(4):
        if name(k) not in done:
            resumed.add(TrialRow.of_record(row(k)))
    resumed.close()
    assert sorted(stored(tmp_path)) == [name(k) for k in range(4)]


def test_it_is_full_when_very_many_rows_wait(tmp_path: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "MOST_WAITING", 10)
    writing = Writer(opened_while_full(tmp_path, disk), 60.0)
    writing.add(TrialRow.of_record(row(0)))
    until(lambda: disk.refused)  # by now the store has that row
    for k in range(1, 11):
        assert not writing.full
        writing.add(TrialRow.of_record(row(k)))
    assert writing.full
    disk.full = False
    until(lambda: not writing.full)
    writing.close()
    assert len(stored(tmp_path)) == 11


def test_it_is_full_when_few_large_rows_wait(tmp_path: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row of 60 bytes of image, 40 of features, of which one may be no numbers, 3 actions and 1 evaluation."""
    monkeypatch.setattr(writer, "MOST_BYTES", 3 * (60 + 40 + 3 * 600 + 1100))
    others: dict[str, Any] = {"features": {"a": np.zeros(10, np.float32), "b": None}, "evaluations": [{}]}
    rows = [replace(TrialRow.of_record({**row(k), "image": b"x" * 60}), **others) for k in range(4)]
    writing = Writer(opened_while_full(tmp_path, disk), 60.0)
    writing.add(rows[0])
    until(lambda: disk.refused)  # by now the store has that row
    for each in rows[1:]:
        assert not writing.full
        writing.add(each)
    assert writing.full
    disk.full = False
    until(lambda: not writing.full)
    writing.close()
    assert len(stored(tmp_path)) == 4
    assert writing._bytes == 0


class Mark:
    """A claim that must be renewed, which fails for a while."""

    def __init__(self) -> None:
        self.broken, self.refused, self.released = False, 0, False

    def renew(self) -> None:
        if self.broken:
            self.refused += 1
            raise OSError(5, "Input/output error")

    def release(self) -> None:
        self.released = True


def test_a_mark_that_cannot_be_renewed_is_told_once(tmp_path: Path) -> None:
    """No row waits meanwhile, so the failure shows only in the claim."""
    said: list[str] = []
    held, mark = opened(tmp_path, flush_seconds=0.0), Mark()
    crash(held)
    held._claim = mark  # type: ignore[assignment]
    writing = Writer(held, 60.0, said.append)
    mark.broken = True
    until(lambda: mark.refused >= 5)
    assert len(said) == 1
    mark.broken = False
    until(lambda: len(said) == 2)
    writing.close()
    assert mark.released
