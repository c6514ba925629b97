"""A run on disk: a manifest, and Parquet parts that are written whole and never changed.

    <run>/manifest.json            the configuration, what it resolves to, versions, git commit, devices
    <run>/trials/part-*.parquet    one row per trial

A part appears under its final name only when all of it is on the disk, so that whatever is killed at whatever moment,
each part is whole. What is done is the set of identities in the parts; what is left is the plan without them.
"""

from __future__ import annotations

import fcntl
import io
import json
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from bench.files import atomic_write
from bench.record import schema
from tts.errors import DataError, RunMismatchError, SettingError


class Store:
    """The results folder of one run, held by one driver at a time.

    Args:
        folder: made when missing.
        rewards: names of the run's rewards; each has a column.
        flush_rows, flush_seconds: a part is written when this many rows wait, or this long after the last one.
    """

    def __init__(
        self, folder: Path, rewards: Iterable[str], flush_rows: int = 512, flush_seconds: float = 10.0
    ) -> None:
        self.folder, self.schema = folder, schema(rewards)
        self.flush_rows, self.flush_seconds = flush_rows, flush_seconds
        self._rows: list[dict[str, Any]] = []
        self._writer, self._parts = uuid.uuid4().hex[:12], 0
        self._flushed = time.monotonic()
        self._lock: IO[str] | None = None

    def open(self, digest: str, manifest: dict[str, Any]) -> set[str]:
        """Take the folder for a run, and say which trials it holds already.

        Args:
            digest: of the resolved configuration.
            manifest: written if the folder is new.

        Raises:
            RunMismatchError: the folder belongs to another configuration.
            SettingError: the folder cannot be written to, or another driver holds it.
        """
        check(self.folder, digest)
        with _writing(self.folder):
            (self.folder / "trials").mkdir(parents=True, exist_ok=True)
            self._lock = (self.folder / ".lock").open("w")
        self._claim()
        check(self.folder, digest)  # another driver may have been here since
        with _writing(self.folder):
            for torn in self.folder.glob("trials/.*.tmp"):  # of a driver that was killed while it wrote
                torn.unlink()
            if not (self.folder / "manifest.json").exists():
                atomic_write(self.folder / "manifest.json", json.dumps(manifest, indent=2, default=str).encode())
        return done(self.folder)

    def _claim(self) -> None:
        """Hold the folder until this process ends, however it ends."""
        assert self._lock is not None  # opened just before
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.close()
            raise SettingError(f"output {self.folder}: another run is writing to this folder") from None

    def add(self, row: dict[str, Any]) -> None:
        """Store a row; it is safe once its part is written."""
        self._rows.append(row)
        if len(self._rows) >= self.flush_rows:
            self.flush()

    def tick(self) -> None:
        """Write a part if rows have waited long enough."""
        if self._rows and time.monotonic() - self._flushed >= self.flush_seconds:
            self.flush()

    def flush(self) -> None:
        """Write every waiting row as one part.

        Raises:
            SettingError: it could not be written; no part has appeared, and the rows wait on.
        """
        self._flushed = time.monotonic()
        if not self._rows:
            return
        buffer = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(self._rows, schema=self.schema), buffer, compression="zstd")
        with _writing(self.folder):
            atomic_write(self.folder / "trials" / f"part-{self._writer}-{self._parts:05}.parquet", buffer.getvalue())
        self._rows, self._parts = [], self._parts + 1

    def close(self) -> None:
        """Write what waits and let the folder go."""
        try:
            self.flush()
        finally:
            if self._lock is not None:
                self._lock.close()
                self._lock = None


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SettingError(f"output {folder}: cannot be written to ({error.strerror or error})") from None


def check(folder: Path, digest: str) -> None:
    """Refuse a folder before anything is written to it.

    Raises:
        RunMismatchError: the folder belongs to another configuration.
        SettingError: it exists and is no results folder.
    """
    if not folder.exists():
        return
    if not folder.is_dir():
        raise SettingError(f"output {folder}: is not a folder")
    if (folder / "manifest.json").exists():
        if read_manifest(folder)["digest"] != digest:
            raise RunMismatchError(
                f"output {folder}: belongs to another configuration; choose another folder with --set output=..., "
                "or delete it"
            )
    elif any(not path.name.startswith(".") and path.name != "trials" for path in folder.iterdir()):
        raise SettingError(f"output {folder}: holds other files and no manifest.json; choose an empty folder")


def begun(folder: Path) -> str | None:
    """The digest of the run that a folder holds; None if it holds none."""
    return str(read_manifest(folder)["digest"]) if (folder / "manifest.json").exists() else None


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a run.

    Raises:
        DataError: there is none, or it is damaged or of another program.
    """
    try:
        manifest = json.loads((folder / "manifest.json").read_text())
    except (OSError, ValueError):
        manifest = None
    if not isinstance(manifest, dict) or not {"digest", "config"} <= manifest.keys():
        raise DataError(f"{folder}: not a results folder (no readable manifest.json of a run)")
    return manifest


def table(folder: Path, columns: list[str] | None = None, rows: ds.Expression | None = None) -> pa.Table | None:
    """A run's trials, or None while there are none.

    Raises:
        DataError: a part is damaged.
    """
    parts = sorted((folder / "trials").glob("part-*.parquet"))
    if not parts:
        return None
    try:
        return ds.dataset([str(part) for part in parts], format="parquet").to_table(columns=columns, filter=rows)
    except (pa.ArrowException, OSError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{folder}: a part is damaged; delete it and run the same command again ({reason})") from None


def done(folder: Path) -> set[str]:
    """Identities of the trials that a run holds."""
    found = table(folder, ["trial"])
    return set() if found is None else set(found["trial"].to_pylist())


def read(folder: Path, columns: list[str] | None = None) -> pa.Table:
    """A run's trials as one table.

    Raises:
        DataError: the folder holds no run, or no trial yet.
    """
    read_manifest(folder)
    found = table(folder, columns)
    if found is None:
        raise DataError(f"{folder}: no trial is finished yet")
    return found


def find(folder: Path, trial: str) -> dict[str, Any]:
    """The row of one trial, by its identity or the first digits of it.

    Raises:
        DataError: no trial, or more than one, begins so.
    """
    matches = sorted({key for key in read(folder, ["trial"])["trial"].to_pylist() if key.startswith(trial)})
    if not matches:
        raise DataError(f"{folder}: no trial begins with '{trial}'; the column 'trial' holds their names")
    if len(matches) > 1:
        raise DataError(f"{folder}: {len(matches)} trials begin with '{trial}'; give more digits")
    found = table(folder, rows=ds.field("trial") == matches[0])
    assert found is not None  # it has just been read
    row: dict[str, Any] = found.to_pylist()[0]
    return row
