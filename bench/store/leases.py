"""See that one driver at a time writes to a run, or to a shard of it."""

from __future__ import annotations

import fcntl
import json
import os
import time
import uuid
from abc import ABC, abstractmethod
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from tts.errors import SettingError

if TYPE_CHECKING:
    from bench.store.storage import LocalStorage, ObjectStorage

STALE_SECONDS = 60.0
"""A mark in an object store that is older belongs to a driver that was killed, or whose clock is wrong."""

BEGIN_SECONDS = 1.0
"""A shard that begins has its folder alone for less than this; a whole run has it until it ends."""

WHOLE = ".lock"
"""The name of a whole run's lease."""


def name_of(shard: str) -> str:
    """The name of a lease: of a shard ``I/N``, or of the whole run, if that is empty."""
    return f"{WHOLE}-{shard.replace('/', 'of')}" if shard else WHOLE


class Lease(ABC):
    """A driver's hold on a place."""

    @abstractmethod
    def renew(self) -> None:
        """Say that the driver is alive; to be called every few seconds."""

    @abstractmethod
    def release(self) -> None:
        """Let the place go."""


class LocalLease(Lease):
    """A lock that the system lets go of when the process ends, however it ends."""

    def __init__(self, place: LocalStorage, shard: str) -> None:
        self._place = place
        self._files: list[IO[str]] = []
        try:
            whole = self._open(WHOLE)
            if not shard:
                self._lock(whole, fcntl.LOCK_EX)
                return
            self._share(whole, shard.partition("/")[2])
            self._lock(self._open(name_of(shard)), fcntl.LOCK_EX)
        except BaseException:
            self.release()
            raise

    def _open(self, name: str) -> IO[str]:
        path = Path(self._place.path(name))
        self._files.append(path.open("a+"))
        return self._files[-1]

    def _lock(self, file: IO[str], how: int) -> None:
        try:
            fcntl.flock(file, how | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SettingError(f"output {self._place}: another run is writing to this folder") from None

    def _share(self, whole: IO[str], number: str) -> None:
        """Hold the folder together with the other shards, if there are as many as this one says."""
        with suppress(BlockingIOError):
            fcntl.flock(whole, fcntl.LOCK_EX | fcntl.LOCK_NB)
            whole.truncate(0)  # no other shard is there
            whole.write(number)
            whole.flush()
        self._lock_soon(whole, fcntl.LOCK_SH)
        whole.seek(0)
        others = whole.read()  # also after a number of its own: the lock was free for a moment
        if others != number:
            raise SettingError(
                f"output {self._place}: shards of {others} are being written there, and this is one of {number}"
            )

    def _lock_soon(self, file: IO[str], how: int) -> None:
        """Lock it once a shard that has it for the moment of its beginning lets it go."""
        deadline = time.monotonic() + BEGIN_SECONDS
        while time.monotonic() < deadline:
            with suppress(SettingError):
                self._lock(file, how)
                return
            time.sleep(0.01)
        self._lock(file, how)

    def renew(self) -> None:
        """Nothing to do."""

    def release(self) -> None:
        """Close the files, and with them their locks."""
        for file in self._files:
            file.close()


class ObjectLease(Lease):
    """A mark that is renewed while its driver lives.

    A mark from the future is of a clock that was wrong, then or now, and is held to be as old as it seems to be young:
    else a clock that is set back by a day would keep every driver away for a day.

    Two drivers that start within a second could both pass, and a driver that was away until its mark was stale may meet
    its successor. Their parts have names of their own, so that even then nothing is overwritten, and readers count each
    trial once.
    """

    def __init__(self, place: ObjectStorage, name: str) -> None:
        self._place, self._name, self._owner, self._written = place, name, uuid.uuid4().hex, 0.0
        for other in place.names():
            if other.startswith(WHOLE) and _excludes(other, name):
                self._refuse(self._read(other))
        self.renew()
        if self._read(name).get("owner") != self._owner:
            raise SettingError(f"output {place}: another run has just begun to write there")

    def _refuse(self, other: dict[str, Any]) -> None:
        """Refuse to begin beside a driver that lives."""
        age = abs(time.time() - _number(other.get("time")))
        here = other.get("host") == os.uname().nodename
        if age < STALE_SECONDS and not (here and not _alive(int(_number(other.get("pid"))))):
            raise SettingError(
                f"output {self._place}: another run is writing there (process {other.get('pid')} of "
                f"{other.get('host')}, seen {age:.0f} s ago); if it was killed, try again in "
                f"{STALE_SECONDS - age:.0f} s"
            )

    def _read(self, name: str) -> dict[str, Any]:
        try:
            found = json.loads(self._place.read(name) or b"{}")
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    def renew(self) -> None:
        """Write the mark again, if it is a quarter of the way to being stale."""
        if time.monotonic() - self._written > STALE_SECONDS / 4 or not self._written:
            mark = {"owner": self._owner, "host": os.uname().nodename, "pid": os.getpid(), "time": time.time()}
            self._place.write(self._name, json.dumps(mark).encode())
            self._written = time.monotonic()

    def release(self) -> None:
        """Remove the mark, if it is still this driver's; one that cannot be removed is soon stale."""
        with suppress(OSError):
            if self._read(self._name).get("owner") == self._owner:
                self._place.remove(self._name)


def _excludes(one: str, other: str) -> bool:
    """Whether two leases cannot be held at once: all but those of two shards out of as many."""
    return one == other or WHOLE in (one, other) or one.rpartition("of")[2] != other.rpartition("of")[2]


def _number(value: object) -> float:
    """A number of a mark, which anyone may have written; 0 for anything else."""
    return float(value) if isinstance(value, int | float) and abs(value) < 2**53 else 0.0


def _alive(pid: int) -> bool:
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):  # no system has such a number
        return False
    except PermissionError:
        return True
    return True
