"""The writer: whatever happens to the disk, rows are stored once or said to be lost, and the folder is let go."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from small_store import MANIFEST, REWARDS, crash, name, opened, parts, row, stored

from bench.run import writer
from bench.run.writer import Writer
from bench.store import reader as store
from bench.store.row import TrialRow
from bench.store.writer import Store
from tts.errors import SettingError, TTSError

PATIENCE = 20.0
"""Seconds for another thread to do what it must."""


class Disk:
    """A disk that can be full."""

    def __init__(self, patch: pytest.MonkeyPatch, call: str = "fsync") -> None:
        self.full, self.refused, self._works = False, 0, getattr(os, call)
        patch.setattr(os, call, self._write)

    def _write(self, *arguments: Any) -> Any:
        if self.full:
            self.refused += 1
            raise OSError(28, "No space left on device")
        return self._works(*arguments)


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses between two attempts are a hundred times shorter."""
    sleep = time.sleep
    monkeypatch.setattr(writer, "time", Hurried(sleep))


class Hurried:
    """The module ``time`` for the writer alone."""

    monotonic = staticmethod(time.monotonic)

    def __init__(self, sleep: Callable[[float], None]) -> None:
        self._sleep = sleep

    def sleep(self, seconds: float) -> None:
        """A hundredth of it."""
        self._sleep(seconds / 100)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    """Whose ``fsync`` fails while it is full."""
    return Disk(monkeypatch)


def until(true: Callable[[], object]) -> None:
    """Wait for another thread."""
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def free(folder: Path) -> bool:
    """Whether another driver could lock the folder."""
    again = Store(folder, REWARDS)
    try:
        again.open("d", MANIFEST)
    except SettingError:
        return False
    again.close()
    return True


def test_rows_are_stored_in_their_order_and_the_folder_is_let_go(tmp_path: Path) -> None:
    writing = Writer(opened(tmp_path, flush_rows=3))
    for k in range(7):
        writing.add(TrialRow.of_record(row(k)))
        writing.tick()
    assert not free(tmp_path)
    writing.close()
    assert sorted(store.read(tmp_path).to_pylist(), key=lambda found: found["trial"]) == [row(k) for k in range(7)]
    assert free(tmp_path)


def test_nothing_to_store_is_no_part(tmp_path: Path) -> None:
    Writer(opened(tmp_path)).close()
    assert not parts(tmp_path)
    assert free(tmp_path)


def test_rows_that_wait_are_stored_in_time_though_none_follows(tmp_path: Path) -> None:
    writing = Writer(opened(tmp_path, flush_seconds=0.05))
    writing.add(TrialRow.of_record(row(0)))
    until(lambda: parts(tmp_path))
    assert not free(tmp_path)
    writing.close()
    assert stored(tmp_path) == [name(0)]


def test_a_slow_store_holds_nobody_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slow, go = opened(tmp_path, flush_rows=1), threading.Event()
    write = slow.place.write

    def late(*arguments: Any) -> None:
        assert go.wait(PATIENCE)
        write(*arguments)

    monkeypatch.setattr(slow.place, "write", late)
    writing = Writer(slow)
    for k in range(50):
        writing.add(TrialRow.of_record(row(k)))
        writing.tick()
    assert not parts(tmp_path)
    go.set()
    writing.close()
    assert sorted(stored(tmp_path)) == [name(k) for k in range(50)]


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
    writing.tick()  # patience is not over
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


def opened_while_full(folder: Path, disk: Disk) -> Store:
    """A store that was opened in time, on a disk that is full now."""
    disk.full = False
    made = opened(folder, flush_rows=1)
    disk.full = True
    return made


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
    until(lambda: disk.refused)  # that row is with the store now
    for k in range(1, 11):
        assert not writing.full
        writing.add(TrialRow.of_record(row(k)))
    assert writing.full
    disk.full = False
    until(lambda: not writing.full)
    writing.close()
    assert len(stored(tmp_path)) == 11


def test_rows_that_no_file_can_hold_end_the_run(tmp_path: Path) -> None:
    writing = Writer(opened(tmp_path, flush_rows=1), 60.0)
    writing.add(TrialRow.of_record({**row(0), "value": "bright"}))
    until(lambda: writing._failure)
    with pytest.raises(TTSError, match=r"^rows cannot be stored \(Arrow\w+: .*bright"):
        writing.tick()
    with pytest.raises(TTSError, match="1 finished trials are not stored"):
        writing.close()
    assert free(tmp_path)


class Mark:
    """A claim that has to be renewed, and cannot be for a while."""

    def __init__(self) -> None:
        self.broken, self.refused, self.released = False, 0, False

    def renew(self) -> None:
        if self.broken:
            self.refused += 1
            raise OSError(5, "Input/output error")

    def release(self) -> None:
        self.released = True


def test_a_mark_that_cannot_be_renewed_is_told_once(tmp_path: Path) -> None:
    """Nothing waits to be written meanwhile, so that a part could say nothing of the store's health."""
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


@pytest.fixture
def interrupted_join(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The first wait for a thread is interrupted, as by Ctrl-C."""
    happened: list[str] = []
    join = threading.Thread.join

    def interrupted(self: threading.Thread, timeout: float | None = None) -> None:
        if self.name == "writer" and not happened:
            happened.append("interrupted")
            raise KeyboardInterrupt
        join(self, timeout)

    monkeypatch.setattr(threading.Thread, "join", interrupted)
    return happened


def test_an_interruption_while_it_closes_loses_nothing(tmp_path: Path, interrupted_join: list[str]) -> None:
    writing = Writer(opened(tmp_path))
    for k in range(3):
        writing.add(TrialRow.of_record(row(k)))
    with pytest.raises(KeyboardInterrupt):
        writing.close()
    assert interrupted_join
    assert sorted(stored(tmp_path)) == [name(k) for k in range(3)]
    assert free(tmp_path)


def test_an_interruption_does_not_hide_that_rows_are_lost(
    tmp_path: Path, disk: Disk, interrupted_join: list[str]
) -> None:
    writing = Writer(opened_while_full(tmp_path, disk))
    writing.add(TrialRow.of_record(row(0)))
    with pytest.raises(SettingError, match="1 finished trials are not stored"):
        writing.close()
    assert interrupted_join
    disk.full = False
    assert free(tmp_path)
