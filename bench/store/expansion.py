"""Parquet files that grow when they are read: a text that stands in a file once may be that of every row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from bench.store.storage import Storage
from tts.errors import DataError

MOST_BYTES = 1 << 31
"""Of the texts of one column in memory, beside those that the file has itself."""
REPEATED = 16
"""How often a file's own bytes may be in memory on top."""
BATCH_ROWS = 65536
REPEATING = {"PLAIN_DICTIONARY", "RLE_DICTIONARY", "DELTA_BYTE_ARRAY"}
"""Encodings by which a text that stands in a file once may be that of many rows, whole or in part."""


def check_texts(where: Storage, name: str, metadata: pq.FileMetaData, columns: Sequence[str] | None = None) -> None:
    """Refuse a part whose texts would fill the memory; only columns that might are looked at.

    Args:
        name: the part, from the run on.
        columns: those that are going to be read; None: all.

    Raises:
        DataError: it has one.
    """
    for path in _suspects(metadata, columns):
        place = where.path(name)
        most = MOST_BYTES + REPEATED * where.filesystem.get_file_info(place).size
        with where.filesystem.open_input_file(place) as stream:
            size = 0
            for batch in pq.ParquetFile(stream, read_dictionary=[path]).iter_batches(BATCH_ROWS, columns=[path]):
                size += _bytes(batch.column(0))
                if size > most:
                    raise DataError(f"{where}: {name}: {path.partition('.')[0]} has texts of more than {most} bytes")


def _suspects(metadata: pq.FileMetaData, columns: Sequence[str] | None) -> Iterator[str]:
    """Columns of texts whose rows might be too large if each had all of the column's texts."""
    groups = [metadata.row_group(index) for index in range(metadata.num_row_groups)]
    for index in range(metadata.num_columns):
        chunks = [group.column(index) for group in groups]
        path = metadata.schema.column(index).path
        if columns is not None and path.partition(".")[0] not in columns:
            continue
        texts = (chunk.num_values * chunk.total_uncompressed_size for chunk in chunks if REPEATING & {*chunk.encodings})
        if metadata.schema.column(index).physical_type == "BYTE_ARRAY" and sum(texts) > MOST_BYTES:
            yield path


def _bytes(column: pa.Array) -> int:
    """Bytes that the texts of a column take, which are read as places in a list of different ones."""
    while not pa.types.is_dictionary(column.type):
        if not pa.types.is_nested(column.type):
            return int(column.nbytes)
        parts = column.flatten()
        column = parts[0] if isinstance(parts, list) else parts
    return int(pc.sum(pc.take(pc.binary_length(column.dictionary), column.indices)).as_py() or 0)
