"""Check parts of traces and features, which are data from anywhere, before anything is computed from them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from bench.store.row_checks import LARGEST_COUNT
from bench.store.schema import EVALUATION_COLUMNS, EVALUATION_KINDS, Field
from tts.errors import DataError, first_line

LARGEST_STEP = 10**6
LARGEST_FEATURE = 1 << 16
"""Numbers of one image."""
LARGEST_PART = 10**7
"""Rows; a driver holds all of a part's before it writes them."""
LARGEST_COLUMN = 10**8
"""Values of one column, those in lists one by one."""

Range = tuple[int, int]
RANGES: Mapping[str, Range] = {
    "round": (0, LARGEST_COUNT),
    "candidate": (0, LARGEST_COUNT),
    "first": (0, LARGEST_STEP),
    "stop": (0, LARGEST_STEP),
    "nfe": (0, LARGEST_COUNT),
    "nfe_so_far": (0, LARGEST_COUNT),
}
MAY_BE_NULL = ("reward", "best", "noise")


def check_bounds(metadata: pq.FileMetaData, where: object) -> None:
    """Refuse a part that grows without end when it is read: a run of one value takes no bytes.

    Raises:
        DataError: it holds more than any driver writes.
    """
    groups = [metadata.row_group(index) for index in range(metadata.num_row_groups)]
    largest = max((group.column(index).num_values for group in groups for index in range(group.num_columns)), default=0)
    for found, most, what in [(metadata.num_rows, LARGEST_PART, "rows"), (largest, LARGEST_COLUMN, "values a column")]:
        if found > most:
            raise DataError(f"{where}: holds {found} {what}; a part has at most {most}")


def checked_trace(table: pa.Table, columns: Sequence[str] | None, where: object) -> pa.Table:
    """A part of a trace with the types that it should have.

    Args:
        table: as it is read.
        columns: that are needed; None: all.
        where: the part, for messages.

    Raises:
        DataError: a column is missing, there twice or of another kind, or a value is none that an evaluation has.
        ArrowInvalid: a text is no UTF-8.
    """
    wanted = [field for field in EVALUATION_COLUMNS if columns is None or field.name in columns]
    table.validate(full=True)
    _check_names(table.column_names, [field.name for field in wanted], where)
    table = _typed(table, [field for field in wanted if field.name != "noise"], where)
    for field in wanted:
        values = table[field.name]
        if values.null_count and field.name not in MAY_BE_NULL:
            raise DataError(f"{where}: {field.name} is missing in an evaluation")
        if field.name in RANGES and not _within(values, RANGES[field.name]):
            raise DataError(f"{where}: {field.name} is not between {' and '.join(map(str, RANGES[field.name]))}")
        if field.name in ("reward", "best") and not _finite(values):
            raise DataError(f"{where}: {field.name} is no finite number")
        if field.name == "kind" and not set(values.unique().to_pylist()) <= set(EVALUATION_KINDS):
            raise DataError(f"{where}: kind is none of {', '.join(EVALUATION_KINDS)}")
    return table


def checked_features(schema: pa.Schema, where: object) -> int:
    """The numbers of an image in a part of features.

    Raises:
        DataError: a column is missing, there twice or of another kind, or there are too many numbers.
    """
    _check_names(schema.names, ["trial", "extractor", "features"], where)
    for name in ("trial", "extractor"):
        if _kind(schema.field(name).type) != "text":
            raise DataError(f"{where}: has no column {name} of texts")
    kind = schema.field("features").type
    if not pa.types.is_fixed_size_list(kind) or _kind(kind.value_type) != "number":
        raise DataError(f"{where}: has no column features of lists of as many numbers each")
    if not 0 < kind.list_size <= LARGEST_FEATURE:
        raise DataError(f"{where}: has {kind.list_size} numbers of an image; at most {LARGEST_FEATURE} are read")
    return int(kind.list_size)


def _check_names(names: Sequence[str], wanted: Sequence[str], where: object) -> None:
    for name in wanted:
        if name not in names:
            raise DataError(f"{where}: has no column {name}")
        if names.count(name) > 1:
            raise DataError(f"{where}: has several columns {name}")


def _typed(table: pa.Table, fields: Iterable[Field], where: object) -> pa.Table:
    for field in fields:
        place, found = table.column_names.index(field.name), table[field.name]
        if _kind(found.type) != _kind(field.type):
            raise DataError(f"{where}: {field.name} is of type {str(found.type)[:100]}, and not {field.type}")
        try:
            table = table.set_column(place, field.arrow, found.cast(field.type))
        except pa.ArrowException as error:
            raise DataError(f"{where}: {field.name} cannot be read ({first_line(error)})") from None
    return table


def _kind(of: pa.DataType) -> str:
    """The kind of a type's values, whatever their width."""
    kinds = {
        "text": pa.types.is_string(of) or pa.types.is_large_string(of),
        "count": pa.types.is_integer(of),
        "number": pa.types.is_floating(of),
        "truth": pa.types.is_boolean(of),
    }
    return next((kind for kind, found in kinds.items() if found), str(of))


def _within(values: pa.ChunkedArray, limits: Range) -> bool:
    found = pc.min_max(values).as_py()
    return len(values) == 0 or (limits[0] <= found["min"] and found["max"] <= limits[1])


def _finite(values: pa.ChunkedArray) -> bool:
    return bool(pc.all(pc.is_finite(values), min_count=0).as_py())
