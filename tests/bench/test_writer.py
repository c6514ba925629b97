"""The writer: rows are stored in order and in time, and the folder is released, even on an interruption."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from full_disk import PATIENCE, Disk, free, opened_while_full, until
from small_store import name, opened, parts, row, stored

from bench.run.writer import Writer
from bench.store import reader as store
from bench.store.row import TrialRow
from tts.errors import SettingError, TTSError


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    """A disk whose ``fsync`` fails while it is full."""
    return Disk(monkeypatch)


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


def test_rows_that_no_file_can_hold_end_the_run(tmp_path: Path) -> None:
    writing = Writer(opened(tmp_path, flush_rows=1), 60.0)
    writing.add(TrialRow.of_record({**row(0), "value": "bright"}))
    until(lambda: writing._failure)
    with pytest.raises(TTSError, match=r"^rows cannot be stored \(Arrow\w+: .*bright"):
        writing.tick()
    with pytest.raises(TTSError, match="1 finished trials are not stored"):
        writing.close()
    assert free(tmp_path)


def test_a_line_that_would_end_the_thread_ends_the_run(tmp_path: Path, disk: Disk) -> None:
    """As where nobody reads a pipe: the thread must not end in silence."""

    def leave(_: str) -> None:
        raise SystemExit(1)

    writing = Writer(opened_while_full(tmp_path, disk), 60.0, leave)
    writing.add(TrialRow.of_record(row(0)))
    until(lambda: writing._failure)
    with pytest.raises(TTSError, match=r"^rows cannot be stored \(SystemExit: 1\); 1 finished trials are not stored"):
        writing.close()
    disk.full = False
    assert free(tmp_path)


@pytest.fixture
def interrupted_join(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Interrupt the first wait for a thread, as Ctrl-C would."""
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
