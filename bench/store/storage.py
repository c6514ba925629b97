"""Where a run lies: a folder of this machine, or an address in an object store. Files in it are whole or not there."""

from __future__ import annotations

import fcntl
import json
import os
import time
import uuid
from abc import ABC, abstractmethod
from contextlib import suppress
from pathlib import Path
from typing import IO, TypeAlias

from pyarrow import ArrowException, fs

from bench.store.files import atomic_write
from tts.errors import DataError, SettingError, first_line
from tts.files.addresses import refuse_secrets, shown

Output: TypeAlias = Path | str
"""A folder, or an address such as ``s3://bucket/path``."""

STALE_SECONDS = 60.0
"""A mark in an object store that is older belongs to a driver that was killed."""


class Storage(ABC):
    """A run's files, by names with ``/`` from the run on."""

    filesystem: fs.FileSystem

    def path(self, name: str) -> str:
        """A file's path in :attr:`filesystem`; ``""`` is the run's own.

        Names come out of rows and manifests, too: every file is read and written through this method.

        Raises:
            DataError: the name leads out of the run's folder.
        """
        if name and not is_inside(name):
            raise DataError(f"{self}: {name[:100]!r} is no name of a file in the run's folder")
        return self._path(name)

    @abstractmethod
    def _path(self, name: str) -> str:
        """The path of a name that is known to lie inside."""

    @abstractmethod
    def write(self, name: str, data: bytes) -> None:
        """Write a file whole or not at all; an older one of this name is replaced.

        Raises:
            OSError: it could not be written; the older one is still there.
        """

    @abstractmethod
    def create(self, name: str, data: bytes) -> None:
        """Write a file, unless there is one of this name.

        Raises:
            OSError: it could not be written.
        """

    @abstractmethod
    def claim(self, shard: str) -> Lease:
        """Hold the place, or one shard of it, for one driver.

        Args:
            shard: ``"I/N"``, or ``""`` for the whole.

        Raises:
            SettingError: another driver holds it.
        """

    @abstractmethod
    def sweep(self, prefix: str) -> None:
        """Remove what killed drivers left of half-written parts whose names begin so; of any file, if with nothing."""

    def read(self, name: str) -> bytes | None:
        """A file's content; None if it is not there.

        Raises:
            OSError: it is there, perhaps, and cannot be read.
        """
        try:
            with self.filesystem.open_input_stream(self.path(name), compression=None) as file:
                content: bytes = file.read()
                return content
        except FileNotFoundError:
            return None

    def names(self, folder: str = "") -> list[str]:
        """Names of the files and folders in a folder, sorted; none if it is not there."""
        selector = fs.FileSelector(self.path(folder).rstrip("/"), allow_not_found=True)
        return sorted(found.base_name for found in self.filesystem.get_file_info(selector))

    def remove(self, name: str) -> None:
        """Delete a file."""
        self.filesystem.delete_file(self.path(name))


class Lease(ABC):
    """That a driver holds a place."""

    @abstractmethod
    def renew(self) -> None:
        """Say that the driver is still there; to be called every few seconds."""

    @abstractmethod
    def release(self) -> None:
        """Let the place go."""


def is_inside(name: str) -> bool:
    """Whether a name with ``/`` stays below the folder that it is joined to, on any system."""
    parts = name.split("/")
    return all(part not in ("", ".", "..") for part in parts) and not any(
        character in "\\:" or not character.isprintable() for character in name
    )


class LocalStorage(Storage):
    """A folder of this machine."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.filesystem = folder, fs.LocalFileSystem()

    def __str__(self) -> str:
        return str(self.folder)

    def _path(self, name: str) -> str:
        path = self.folder / name
        if not path.resolve().is_relative_to(self.folder.resolve()):
            raise DataError(f"{self}: {name!r} is a link that leads out of the run's folder")
        return str(path)

    def write(self, name: str, data: bytes) -> None:
        """See :class:`Storage`."""
        path = Path(self.path(name))
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(path, data)

    def create(self, name: str, data: bytes) -> None:
        """See :class:`Storage`; of several drivers that do so at once, one succeeds."""
        if self.read(name) is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            with (self.folder / f".lock-{name}").open("a") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                if self.read(name) is None:
                    self.write(name, data)

    def claim(self, shard: str) -> Lease:
        """See :class:`Storage`."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return LocalLease(self.folder, shard)

    def sweep(self, prefix: str) -> None:
        """See :class:`Storage`."""
        patterns = [f"{folder}/.{prefix}*.tmp" for folder in ("trials", "evaluations")]
        patterns += [] if prefix else [".*.tmp", "images/.*.tmp"]
        for pattern in patterns:
            for torn in self.folder.glob(pattern):
                torn.unlink(missing_ok=True)


class LocalLease(Lease):
    """A lock that the system lets go of when the process ends, however it ends."""

    def __init__(self, folder: Path, shard: str) -> None:
        self._folder = folder
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
        self._files.append((self._folder / name).open("a+"))
        return self._files[-1]

    def _lock(self, file: IO[str], how: int) -> None:
        try:
            fcntl.flock(file, how | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SettingError(f"output {self._folder}: another run is writing to this folder") from None

    def _share(self, whole: IO[str], number: str) -> None:
        """Hold the folder together with the other shards, if there are as many as this one says."""
        try:
            fcntl.flock(whole, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock(whole, fcntl.LOCK_SH)
            whole.seek(0)
            others = whole.read()
            if others != number:
                raise SettingError(
                    f"output {self._folder}: shards of {others} are being written there, and this is one of {number}"
                ) from None
            return
        whole.truncate(0)
        whole.write(number)
        whole.flush()
        self._lock(whole, fcntl.LOCK_SH)

    def renew(self) -> None:
        """Nothing to do."""

    def release(self) -> None:
        """See :class:`Lease`."""
        for file in self._files:
            file.close()


class ObjectStorage(Storage):
    """An address in an object store, written by PUTs: an object appears when all of it is there.

    Args:
        address: ``s3://...`` or ``gs://...``; options such as ``?endpoint_override=...`` are Arrow's.
    """

    def __init__(self, address: str) -> None:
        refuse_secrets(address, "output")
        self.address = _with_single_slashes(address)
        try:
            self.filesystem, self._root = fs.FileSystem.from_uri(self.address)
        except (OSError, ValueError, ArrowException) as error:
            raise SettingError(f"output {self}: cannot be opened ({first_line(error)})") from None

    def __str__(self) -> str:
        return shown(self.address)

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}" if name else self._root

    def write(self, name: str, data: bytes) -> None:
        """See :class:`Storage`."""
        with self.filesystem.open_output_stream(self.path(name), compression=None) as file:
            file.write(data)

    def create(self, name: str, data: bytes) -> None:
        """See :class:`Storage`; of several drivers that do so within milliseconds, the last one would succeed."""
        if self.read(name) is None:
            self.write(name, data)

    def claim(self, shard: str) -> Lease:
        """See :class:`Storage`."""
        return ObjectLease(self, f".lock-{shard.replace('/', 'of')}" if shard else ".lock")

    def sweep(self, prefix: str) -> None:
        """Nothing to do: a part that was cut off never appeared."""


class ObjectLease(Lease):
    """A mark that is renewed while its driver lives.

    Two drivers that start within a second could both pass; their parts have names of their own, so that even then
    nothing is overwritten, and readers count each trial once.
    """

    def __init__(self, place: ObjectStorage, name: str) -> None:
        self._place, self._name, self._owner, self._written = place, name, uuid.uuid4().hex, 0.0
        other = self._read()
        age = time.time() - float(other.get("time", 0.0))
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
        """See :class:`Lease`."""
        if time.monotonic() - self._written > STALE_SECONDS / 4 or not self._written:
            mark = {"owner": self._owner, "host": os.uname().nodename, "pid": os.getpid(), "time": time.time()}
            self._place.write(self._name, json.dumps(mark).encode())
            self._written = time.monotonic()

    def release(self) -> None:
        """See :class:`Lease`; a mark that cannot be removed is soon stale."""
        with suppress(OSError):
            if self._read().get("owner") == self._owner:
                self._place.remove(self._name)


def place(output: Output | Storage) -> Storage:
    """The place that an output names; storage that is open already stays as it is.

    Raises:
        SettingError: the object store cannot be opened, or its address holds a secret.
    """
    if isinstance(output, Storage):
        return output
    return ObjectStorage(output) if isinstance(output, str) and "://" in output else LocalStorage(Path(output))


def _with_single_slashes(address: str) -> str:
    """An address whose path has no empty parts."""
    scheme, _, rest = address.partition("://")
    path, mark, options = rest.partition("?")
    return f"{scheme}://{'/'.join(part for part in path.split('/') if part)}{mark}{options}"


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return pid > 0
