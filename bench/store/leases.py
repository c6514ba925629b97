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
from typing import IO, TYPE_CHECKING

from tts.errors import SettingError

if TYPE_CHECKING:
    from bench.store.storage import LocalStorage, ObjectStorage

STALE_SECONDS = 60.0
"""A mark in an object store that is older belongs to a driver that was killed, or whose clock is wrong."""


BEGIN_SECONDS = 1.0
"""A shard that begins has its folder alone for less than this; a whole run has it until it ends."""


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
            whole = self._open(".lock")
            if not shard:
                self._lock(whole, fcntl.LOCK_EX)
                return
            self._share(whole, shard.partition("/")[2])
            self._lock(self._open(f".lock-{shard.replace('/', 'of')}"), fcntl.LOCK_EX)
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

    Two drivers that start within a second could both pass; their parts have names of their own, so that even then
    nothing is overwritten, and readers count each trial once.
    """

    def __init__(self, place: ObjectStorage, name: str) -> None:
        self._place, self._name, self._owner, self._written = place, name, uuid.uuid4().hex, 0.0
        other = self._read()
        age = abs(time.time() - float(other.get("time", 0.0)))
        here = other.get("host") == os.uname().nodename
        if age < STALE_SECONDS and not (here and not _alive(int(other.get("pid", 0)))):
            raise SettingError(
                f"output {place}: another run is writing there (process {other.get('pid')} of {other.get('host')}, "
                f"seen {age:.0f} s ago); if it was killed, try again in {STALE_SECONDS - age:.0f} s"
            )
        self.renew()
        if self._read().get("owner") != self._owner:
            raise SettingError(f"output {place}: another run has just begun to write there")

    def _read(self) -> dict[str, str]:
        try:
            found = json.loads(self._place.read(self._name) or b"{}")
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
            if self._read().get("owner") == self._owner:
                self._place.remove(self._name)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return pid > 0
