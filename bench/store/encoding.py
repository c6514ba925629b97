"""Tables as the bytes of Parquet files."""

from __future__ import annotations

import io

import pyarrow as pa
import pyarrow.parquet as pq

IMAGE = "image"
"""The column of images, each of which stands in one row only."""


def encoded(rows: pa.Table) -> bytes:
    """A table as a Parquet file.

    Images stand in no dictionary, so that the file's footer tells that they take no more memory than the file says
    (:mod:`bench.store.expansion`), and nobody has to read them twice.
    """
    return _written(rows, [path for path in _leaves(rows.schema) if path != IMAGE])


def _leaves(schema: pa.Schema) -> list[str]:
    """Paths of the columns that a file has, those inside lists and structs one by one."""
    if IMAGE not in schema.names:  # all of them may have a dictionary, as they have by default
        return []
    found = pq.ParquetFile(pa.BufferReader(_written(schema.empty_table(), []))).schema
    return [found.column(index).path for index in range(len(found))]


def _written(rows: pa.Table, repeated: list[str]) -> bytes:
    """A file in which values of these columns may be places in a dictionary; none given: of all columns."""
    buffer = io.BytesIO()
    pq.write_table(rows, buffer, compression="zstd", use_dictionary=repeated or True)
    return buffer.getvalue()
