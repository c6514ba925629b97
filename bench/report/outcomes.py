"""Trials of a run as columns that a comparison can hold: heavy ones as digests."""

from __future__ import annotations

import pandas as pd
import pyarrow as pa

from bench.store import reader as store
from bench.store.checks import check_rows
from bench.store.digests import fingerprints
from bench.store.schema import TIMED
from bench.store.storage import Output, Storage, place
from tts.errors import DataError


def outcomes(output: Output) -> pd.DataFrame:
    """A run's trials, each once, in a few hundred bytes each: digests stand for recipes and images.

    Returns:
        The columns of the trials but the timed ones; ``error`` says whether there is one.

    Raises:
        DataError: there is no trial yet.
    """
    names = [name for name in store.columns(output) if name not in TIMED]
    where = place(output)
    frames = [_light(batch, where) for batch in store.batches(output, names)]
    if not frames:
        raise DataError(f"{where}: no trial is finished yet")
    return check_rows(pd.concat(frames, ignore_index=True), where).drop_duplicates("trial", ignore_index=True)


def _light(batch: pa.RecordBatch, where: Storage) -> pd.DataFrame:
    columns = {name: batch[name] for name in batch.schema.names}
    columns["image"] = _images(columns["image"], columns["image_file"], where)
    heavy = [name for name, column in columns.items() if _is_heavy(column.type)]
    light = pa.table({name: column for name, column in columns.items() if name not in heavy}).to_pandas()
    digests = {name: pd.Series(fingerprints(columns[name]), dtype=object) for name in heavy}
    frame: pd.DataFrame = light.assign(error=light["error"].notna(), **digests)
    return frame


def _is_heavy(kind: pa.DataType) -> bool:
    return bool(pa.types.is_nested(kind) or pa.types.is_binary(kind))


def _images(inside: pa.Array, files: pa.Array, where: Storage) -> pa.Array:
    """The images in the rows, and those in files of their own."""
    if files.null_count == len(files):
        return inside
    pairs = zip(inside.to_pylist(), files.to_pylist(), strict=True)
    return pa.array([image if name is None else where.read(name) for image, name in pairs], pa.binary())
