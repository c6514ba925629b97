"""Digests of rows, column by column: two runs can be told apart without both runs' images and recipes in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tts.settings import canonical

DIGEST_BYTES = 16
PLAIN = (type(None), str, int, float)
"""What records are made of, which are asked for before ABCs, as those take ten times longer."""

Bounds: TypeAlias = NDArray[np.int64]
"""Where each row begins in a sequence, and where the last one ends, [rows + 1]."""


def recipe_hash(noises: Sequence[Mapping[str, Any] | None]) -> str:
    """A hash of a recipe's records, BLAKE2b of their canonical JSON, 32 hex digits.

    Fields of a noise that are null are left out, so that a field that a later version brings changes no older hash.
    """
    return hashlib.blake2b(canonical(_without_nulls(list(noises))).encode(), digest_size=DIGEST_BYTES).hexdigest()


def _without_nulls(value: Any) -> Any:
    """A value whose mappings have no null fields; nulls of lists have a place, and stay."""
    if isinstance(value, list | tuple):
        return [_without_nulls(part) for part in value]
    if isinstance(value, dict) or (not isinstance(value, PLAIN) and isinstance(value, Mapping)):
        return {name: _without_nulls(part) for name, part in value.items() if part is not None}
    return value


def fingerprints(column: pa.Array) -> list[bytes | None]:
    """A digest of each row's content, BLAKE2b; None where the row is null.

    Equal rows have equal digests, whatever batch, slice or file they come from. Numbers are compared by their bits.

    Args:
        column: of numbers, booleans, texts, bytes, or lists and structs of such.
    """
    leaves = [(data.data, bounds.tolist()) for data, bounds in _leaves(column, np.arange(len(column) + 1))]
    return [_digest(leaves, row) if there else None for row, there in enumerate(column.is_valid().to_pylist())]


def _digest(leaves: list[tuple[memoryview, list[int]]], row: int) -> bytes:
    found = hashlib.blake2b(digest_size=DIGEST_BYTES)
    for data, bounds in leaves:
        found.update(data[bounds[row] : bounds[row + 1]])
    return found.digest()


def _leaves(values: pa.Array, rows: Bounds) -> Iterator[tuple[NDArray[np.uint8], Bounds]]:
    """The bytes that rows are made of, with each row's place in them: what is null, how long what is, then contents.

    Args:
        values: of all rows, one after another.
        rows: where each row begins in them.
    """
    yield _bytes(values.is_valid()), rows
    kind = values.type
    if pa.types.is_struct(kind):
        for child in values.flatten():
            yield from _leaves(child, rows)
    elif pa.types.is_list(kind) or pa.types.is_large_list(kind):
        lengths = pc.list_value_length(values).fill_null(0).cast(pa.int64())
        yield _bytes(lengths), 8 * rows
        yield from _leaves(values.flatten(), _starts(lengths)[rows])
    elif pa.types.is_binary(kind) or pa.types.is_string(kind):
        filled = values.cast(pa.large_binary()).fill_null(b"")
        lengths = pc.binary_length(filled)
        yield _bytes(lengths), 8 * rows
        yield _content(filled), _starts(lengths)[rows]
    else:
        filled = values.fill_null(pa.scalar(0).cast(kind))
        yield _bytes(filled), filled.to_numpy(zero_copy_only=False).itemsize * rows


def _starts(lengths: pa.Array) -> Bounds:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths.to_numpy(zero_copy_only=False), dtype=np.int64)])


def _bytes(values: pa.Array) -> NDArray[np.uint8]:
    return np.ascontiguousarray(values.to_numpy(zero_copy_only=False)).view(np.uint8)


def _content(values: pa.Array) -> NDArray[np.uint8]:
    """All bytes of an array of large binaries without nulls, one after another."""
    _, offsets, data = values.buffers()
    if data is None:
        return np.empty(0, np.uint8)
    places = np.frombuffer(offsets, np.int64)[values.offset : values.offset + len(values) + 1]
    return np.frombuffer(data, np.uint8)[places[0] : places[-1]] if len(values) else np.empty(0, np.uint8)
