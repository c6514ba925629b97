"""Shards of one run that begin to write to its folder at the same moment."""

from __future__ import annotations

import fcntl
import threading
from pathlib import Path

import pytest
from chaos.stores import Bucket
from standing_clock import Clock

from bench.store import leases
from bench.store.leases import Lease
from bench.store.storage import LocalStorage
from bench.store.writer import Store
from tts.errors import SettingError

SHARDS = 3


def test_shards_that_begin_at_once_wait_for_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first one has the folder alone while it writes how many there are."""
    with (tmp_path / ".lock").open("a+") as other:
        fcntl.flock(other, fcntl.LOCK_EX)

        def begins() -> None:
            other.write(str(SHARDS))
            other.flush()
            fcntl.flock(other, fcntl.LOCK_SH)

        timer = threading.Timer(0.2, begins)
        timer.start()
        with monkeypatch.context() as patient:
            patient.setattr(leases, "BEGIN_SECONDS", 30.0)
            LocalStorage(tmp_path).claim(f"1/{SHARDS}").release()
        timer.join()
        with pytest.raises(SettingError, match=f"shards of {SHARDS} are being written there, and this is one of 2"):
            LocalStorage(tmp_path).claim("1/2")
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(SettingError, match="another run is writing to this folder"):
            LocalStorage(tmp_path).claim(f"1/{SHARDS}")


def test_many_shards_begin_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "BEGIN_SECONDS", 30.0)
    held: list[Lease] = []
    threads = [
        threading.Thread(target=lambda k=k: held.append(LocalStorage(tmp_path).claim(f"{k}/40"))) for k in range(40)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(held) == 40
    for lease in held:
        lease.release()


def test_a_mark_is_renewed_while_its_driver_lives_and_only_its_own_is_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, bucket, manifest = Clock(), Bucket(), {"digest": "d", "config": {}, "devices": []}
    monkeypatch.setattr(leases, "time", clock)
    first, second, third = (Store(bucket, ["brightness"]) for _ in range(3))
    first.open("d", manifest)
    for _ in range(5):
        clock.now += leases.STALE_SECONDS / 2
        first.tick()
        with pytest.raises(SettingError, match="another run is writing there"):
            second.open("d", manifest)
    clock.now += 2 * leases.STALE_SECONDS  # the first one stands still
    second.open("d", manifest)
    first.let_go()
    with pytest.raises(SettingError, match="another run is writing there"):
        third.open("d", manifest)
