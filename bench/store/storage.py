"""A run's storage: a folder of this machine, or an address in an object store. Its files are whole or not there."""

from __future__ import annotations

import errno
import fcntl
from abc import ABC, abstractmethod
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias

from pyarrow import ArrowException, fs

from bench.store.leases import Lease, LocalLease, ObjectLease, name_of
from tts.errors import DataError, SettingError, first_line
from tts.files.addresses import refuse_secrets, shown, tidied
from tts.files.whole import atomic_write

Output: TypeAlias = "Storage | Path | str"
"""A run's files: a storage, or the folder or the address, such as ``s3://bucket/path``, that :func:`place` opens.

A command opens it once and passes it on.
"""


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
        """Delete temporary files of killed drivers whose names start with ``prefix``; with ``""``, those of all
        files."""

    def read(self, name: str) -> bytes | None:
        """A file's content; None if it is not there.

        Raises:
            OSError: it cannot be read, and may be there.
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
        try:
            inside = path.resolve().is_relative_to(self.folder.resolve())
            with suppress(FileNotFoundError, NotADirectoryError):
                path.stat()  # since Python 3.13 a link that leads round to itself passes the line above
        except (OSError, RuntimeError) as error:
            if isinstance(error, OSError) and error.errno != errno.ELOOP:
                raise
            raise DataError(f"{self}: {name or 'its name'!r} is a link that leads round to itself") from None
        if not inside:
            raise DataError(f"{self}: {name!r} is a link that leads out of the run's folder")
        if path.exists() and not (path.is_file() or path.is_dir()):  # whoever opens a pipe waits for ever
            raise DataError(f"{self}: {name!r} is neither a file nor a folder")
        return str(path)

    def write(self, name: str, data: bytes) -> None:
        path = Path(self.path(name))
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(path, data)

    def create(self, name: str, data: bytes) -> None:
        """Write a file, unless there is one of this name; of several drivers that do so at once, one succeeds."""
        if self.read(name) is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            with Path(self.path(f".lock-{name}")).open("a") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                if self.read(name) is None:
                    self.write(name, data)

    def claim(self, shard: str) -> Lease:
        self.folder.mkdir(parents=True, exist_ok=True)
        return LocalLease(self, shard)

    def sweep(self, prefix: str) -> None:
        patterns = dict.fromkeys(("trials", "evaluations", "features"), f".{prefix}*.tmp")
        patterns |= {} if prefix else {"": ".*.tmp", "images": ".*.tmp"}
        for folder, pattern in patterns.items():
            for torn in Path(self.path(folder)).glob(pattern):
                torn.unlink(missing_ok=True)


class ObjectStorage(Storage):
    """An address in an object store, written by PUTs: an object appears when all of it is there.

    Args:
        address: ``s3://...`` or ``gs://...``; options such as ``?endpoint_override=...`` are Arrow's.
    """

    def __init__(self, address: str) -> None:
        refuse_secrets(address, "output")
        try:
            self.address = tidied(address)
            self.filesystem, self._root = fs.FileSystem.from_uri(self.address)
        except (OSError, ValueError, ArrowException) as error:
            raise SettingError(f"output {shown(address)}: cannot be opened ({first_line(error)})") from None

    def __str__(self) -> str:
        return shown(self.address)

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}" if name else self._root

    def write(self, name: str, data: bytes) -> None:
        with self.filesystem.open_output_stream(self.path(name), compression=None) as file:
            file.write(data)

    def create(self, name: str, data: bytes) -> None:
        """Write a file, unless there is one of this name; of drivers within milliseconds, the last one succeeds."""
        if self.read(name) is None:
            self.write(name, data)

    def claim(self, shard: str) -> Lease:
        return ObjectLease(self, name_of(shard))

    def sweep(self, prefix: str) -> None:
        """Nothing to do: a part that was cut off never appeared."""


def place(output: Output) -> Storage:
    """The place that an output names; storage that is open already stays as it is.

    Raises:
        SettingError: the object store cannot be opened, or its address holds a secret.
    """
    if isinstance(output, Storage):
        return output
    return ObjectStorage(output) if isinstance(output, str) and "://" in output else LocalStorage(Path(output))
