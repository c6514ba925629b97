"""A run on disk or in an object store: a manifest, and Parquet parts that are written whole and never appended to.

    <run>/manifest.json                the configuration, what it resolves to, versions, git commit, devices
    <run>/trials/part-*.parquet        one row per trial
    <run>/evaluations/part-*.parquet   with a trace: one row per evaluation of the trials in the part of that name
    <run>/images/<trial>.png           the images, where the run keeps them in files

A part appears under its final name only when all of it is there, so that whatever is killed at whatever moment, each
part is whole. What is done is the set of identities in the parts; what is left is the plan without them.
"""

from __future__ import annotations

import json
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from pyarrow import ArrowException

from bench.store.checks import ManifestForm, parsed
from bench.store.completed import DIGITS, CompletedTrials
from bench.store.expansion import check_texts
from bench.store.files import check_folder
from bench.store.part_checks import check_bounds
from bench.store.row_checks import check_columns, checked_rows
from bench.store.schema import of_row, schema
from bench.store.storage import LocalStorage, Output, Storage, place
from tts.errors import DataError, RunMismatchError, SettingError, TTSError

IDENTITY = ["trial", "search", "settings"]
"""Columns that say which trials a run holds, and of which searches."""


def check_output(output: Output) -> None:
    """Check that a run can be written somewhere; leaves nothing behind.

    Raises:
        SettingError: it cannot.
    """
    where = place(output)
    if isinstance(where, LocalStorage):
        check_folder(where.folder)
        return
    probe = f".probe-{uuid.uuid4().hex}"  # of this process: shards may begin at once
    try:
        where.write(probe, b"")
        where.remove(probe)
    except (OSError, ArrowException) as error:
        raise SettingError(f"output {where}: cannot be written to ({' '.join(str(error).split())})") from None


def check(output: Output, digest: str) -> None:
    """Refuse a folder before anything is written to it.

    Raises:
        RunMismatchError: the folder belongs to another configuration.
        SettingError: it exists and is no results folder.
    """
    where = place(output)
    if isinstance(where, LocalStorage) and where.folder.exists() and not where.folder.is_dir():
        raise SettingError(f"output {where}: is not a folder")
    found = begun(output)
    if found is None and any(not name.startswith(".") and name != "trials" for name in names(where)):
        found = begun(output)  # another shard may have begun between the two looks
        if found is None:
            raise SettingError(f"output {where}: holds other files and no manifest.json; choose an empty folder")
    if found not in (None, digest):
        raise RunMismatchError(
            f"output {where}: belongs to another configuration; choose another folder with --set output=..., "
            "or delete it"
        )


def begun(output: Output) -> str | None:
    """The digest of the run that a folder holds; None if it holds none."""
    return str(read_manifest(output)["digest"]) if "manifest.json" in names(place(output)) else None


def names(where: Storage, folder: str = "") -> list[str]:
    """Names in a run's folder.

    Raises:
        SettingError: it cannot be read.
    """
    try:
        return where.names(folder)
    except OSError as error:
        raise SettingError(f"output {where}: cannot be read ({' '.join(str(error).split())})") from None


def read_manifest(output: Output) -> dict[str, Any]:
    """The manifest of a run.

    Raises:
        DataError: there is none, or it is damaged or of another program.
    """
    where = place(output)
    try:
        return parsed(where.read("manifest.json") or b"", ManifestForm)
    except (OSError, ValueError) as error:
        reason = f"; {error}" if ":" in str(error) and not isinstance(error, json.JSONDecodeError | OSError) else ""
        raise DataError(f"{where}: not a results folder (no readable manifest.json of a run{reason})") from None


def parts(where: Storage) -> list[str]:
    """Names of a run's parts, sorted."""
    return [name for name in names(where, "trials") if name.startswith("part-") and name.endswith(".parquet")]


def table(
    output: Output,
    columns: list[str] | None = None,
    rows: ds.Expression | None = None,
    of: list[str] | None = None,
) -> pa.Table | None:
    """A run's trials, or None while there are none.

    Args:
        columns: None: all.
        rows: which ones; None: all.
        of: parts; None: all.

    Raises:
        DataError: a part is damaged.
    """
    where = place(output)
    chosen = parts(where) if of is None else of
    with _reading_trials(where, chosen, columns):
        return _table(where, chosen, columns, rows)


def _table(where: Storage, names: list[str], columns: list[str] | None, rows: ds.Expression | None) -> pa.Table | None:
    found = _dataset(where, names, columns)
    return None if found is None else checked_rows(found.to_table(columns=columns, filter=rows), where)


def _dataset(where: Storage, names: list[str], columns: list[str] | None) -> ds.Dataset | None:
    """Parts as one dataset that has all columns of today, of which ``columns`` are going to be read (None: all)."""
    if not names:
        return None
    files = [where.path(f"trials/{name}") for name in names]
    found = ds.dataset(files, format="parquet", filesystem=where.filesystem)
    check_columns(found.schema.names, where)
    both = pa.unify_schemas([found.schema, schema(())], promote_options="permissive")  # structs have grown, too
    types = pa.schema([of_row(field) for field in both])
    whole = ds.dataset(files, schema=types, format="parquet", filesystem=where.filesystem)
    for name, fragment in zip(names, whole.get_fragments(), strict=True):
        check_bounds(fragment.metadata, f"{where}: trials/{name}")  # read once: a fragment keeps it
        check_texts(where, f"trials/{name}", fragment.metadata, columns)
    return whole


def batches(output: Output, columns: list[str], of: list[str] | None = None) -> Iterator[pa.RecordBatch]:
    """A run's trials in pieces, for what is too large to be held at once; one that is stored twice comes twice.

    Args:
        of: parts; None: all.

    Raises:
        DataError: a part is damaged.
    """
    where = place(output)
    chosen = parts(where) if of is None else of
    with _reading_trials(where, chosen, columns):
        found = _dataset(where, chosen, columns)
        if found is not None:
            few = {"batch_size": 512, "batch_readahead": 2, "fragment_readahead": 2}
            yield from (checked_rows(batch, where) for batch in found.to_batches(columns=columns, **few))


@contextmanager
def opened(where: Storage, name: str) -> Iterator[pq.ParquetFile]:
    """A part of any folder, open.

    Raises:
        DataError: it is damaged, or larger than a part is.
    """
    with reading(where, name), where.filesystem.open_input_file(where.path(name)) as stream:
        file = pq.ParquetFile(stream)
        check_bounds(file.metadata, f"{where}: {name}")
        check_texts(where, name, file.metadata)
        yield file


@contextmanager
def reading(where: Storage, name: str = "a part") -> Iterator[None]:
    """Turn errors of a part that cannot be read into a :class:`DataError`."""
    try:
        yield
    except TTSError:
        raise
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(where, error, name) from None


@contextmanager
def _reading_trials(where: Storage, names: list[str], columns: list[str] | None) -> Iterator[None]:
    """As :func:`reading`; of several parts the message names the one that is damaged, as Arrow does not."""
    try:
        yield
    except TTSError:
        raise
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(where, error, _damaged(where, names, columns)) from None


def _damaged(where: Storage, names: list[str], columns: list[str] | None) -> str:
    """The first part that cannot be read by itself."""
    for name in names:
        try:
            _table(where, [name], columns, None)
        except TTSError:  # its values are none of ours; that is another matter
            continue
        except (pa.ArrowException, OSError):
            return f"trials/{name}"
    return "a part"


def _unreadable(where: Storage, error: Exception, name: str) -> DataError:
    """What to do about a part: nothing is to be deleted because the system, or a store's network, failed."""
    if isinstance(error, OSError) and (error.errno is not None or isinstance(error, FileNotFoundError)):
        advice = "cannot be read; run the same command again once it can"
    elif isinstance(error, OSError) and not isinstance(where, LocalStorage):
        advice = "cannot be read; if that stays so, it is damaged: delete it and run the same command again"
    else:
        advice = "is damaged; delete it and run the same command again"
    return DataError(f"{where}: {name} {advice} ({' '.join(str(error).split())})")


def done(output: Output) -> CompletedTrials:
    """The trials that a run holds, those that have failed among them.

    Raises:
        DataError: a part is damaged.
    """
    where = place(output)
    keys, by_search = [np.empty(0, f"S{DIGITS}")], Counter[tuple[str, str]]()
    there = parts(where)
    with _reading_trials(where, there, IDENTITY):
        found = _dataset(where, there, IDENTITY)
        for read in () if found is None else found.to_batches(columns=IDENTITY):
            batch = checked_rows(read, where)
            keys.append(np.array(batch["trial"].to_pylist(), dtype=f"S{DIGITS}"))
            pairs = pa.table({"search": batch["search"], "settings": batch["settings"]})
            counts = pairs.group_by(["search", "settings"]).aggregate([([], "count_all")])
            for row in counts.to_pylist():
                by_search[row["search"], row["settings"]] += row["count_all"]
    return CompletedTrials(np.concatenate(keys), by_search)


def columns(output: Output) -> list[str]:
    """Names of the columns of a run's trials; none while there are no trials."""
    where = place(output)
    first = parts(where)[:1]
    with _reading_trials(where, first, None):
        found = _dataset(where, first, [])
    return [] if found is None else list(found.schema.names)


def read(output: Output, columns: list[str] | None = None) -> pa.Table:
    """A run's trials as one table, each once, whatever wrote to it.

    Args:
        columns: ``trial`` among them; None: all.

    Raises:
        DataError: the folder holds no run, or no trial yet.
    """
    read_manifest(output)
    found = table(output, columns or None)
    if found is None:
        raise DataError(f"{place(output)}: no trial is finished yet")
    _, firsts = np.unique(np.array(found["trial"].to_pylist(), dtype=f"S{DIGITS}"), return_index=True)
    return found if len(firsts) == len(found) else found.take(np.sort(firsts))


def find(output: Output, trial: str) -> dict[str, Any]:
    """The row of one trial, by its identity or the first digits of it.

    Raises:
        DataError: no trial, or more than one, begins so.
    """
    matches = sorted({key for key in read(output, ["trial"])["trial"].to_pylist() if key.startswith(trial)})
    if not matches:
        raise DataError(f"{place(output)}: no trial begins with '{trial}'; the column 'trial' holds their names")
    if len(matches) > 1:
        raise DataError(f"{place(output)}: {len(matches)} trials begin with '{trial}'; give more digits")
    found = table(output, rows=ds.field("trial") == matches[0])
    assert found is not None  # it has just been read
    row: dict[str, Any] = found.to_pylist()[0]
    return row
