"""Features of final images: a part for each extractor and each part of the trials, named like it.

    <run>/features/part-<like the trials' part>-<8 digits of the extractor>.parquet

It is written before the part of its trials, so that a trial that is stored has its features. Those without trials were
never finished: nobody reads them, and the next driver of their shard deletes them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bench.store import reader as store
from bench.store.part_checks import checked_features
from bench.store.row import TrialRow
from bench.store.schema import Field
from bench.store.storage import Output, Storage, place
from tts.errors import DataError

FOLDER = "features"
SUFFIX = ".parquet"
BATCH_ROWS = 4096

Vectors: TypeAlias = NDArray[np.float32]


def columns(size: int, dtype: str = "float32") -> tuple[Field, ...]:
    """The columns of a part, of features of one size."""
    kind = pa.list_(pa.float16() if dtype == "float16" else pa.float32(), size)
    return (
        Field("trial", pa.string(), "identity of the trial"),
        Field("extractor", pa.string(), "what the features are, with digests of weights"),
        Field("features", kind, "features of the final image; null: not finite"),
    )


def part_of(part: str, extractor: str) -> str:
    """The name of the features' part that belongs to a part of the trials."""
    digits = hashlib.blake2b(extractor.encode(), digest_size=4).hexdigest()
    return f"{part.removesuffix(SUFFIX)}-{digits}{SUFFIX}"


def tables(rows: Sequence[TrialRow], dtypes: Mapping[str, str]) -> dict[str, pa.Table]:
    """The features that rows come with, a table for each extractor.

    Args:
        dtypes: in which they are stored, by extractor; left out: float32.

    Raises:
        ValueError: an extractor's features are of several sizes.
    """
    found: dict[str, pa.Table] = {}
    for extractor in dict.fromkeys(name for row in rows for name in row.features):
        mine = {row.trial: row.features[extractor] for row in rows if extractor in row.features}
        found[extractor] = table(extractor, mine, dtypes.get(extractor, "float32"))
    return found


def table(extractor: str, by_trial: Mapping[str, Vectors | None], dtype: str = "float32") -> pa.Table:
    """The features of some trials, one at least, as they are stored.

    Args:
        by_trial: None: not finite. Those that are not finite in the column's type are null, too.

    Raises:
        ValueError: they are of several sizes.
    """
    vectors = [_stored(vector, dtype) for vector in by_trial.values()]
    sizes = {len(vector) for vector in vectors if vector is not None} or {1}
    if len(sizes) > 1:
        raise ValueError(f"metric {extractor}: features of {len(sizes)} sizes: {sorted(sizes)}")
    [size] = sizes
    fields = columns(size, dtype)
    flat = np.concatenate([np.zeros(size, dtype) if each is None else each for each in vectors])
    lacking = pa.array([vector is None for vector in vectors])
    values = pa.FixedSizeListArray.from_arrays(pa.array(flat), type=fields[2].type, mask=lacking)
    names = pa.array(list(by_trial))
    schema = pa.schema([field.arrow for field in fields], metadata={"schema_version": "1"})
    return pa.Table.from_arrays([names, pa.array([extractor] * len(by_trial)), values], schema=schema)


def _stored(vector: Vectors | None, dtype: str) -> NDArray[Any] | None:
    """A trial's features in the type of their column; None: one of them is no finite number there."""
    if vector is None:
        return None
    with np.errstate(over="ignore"):
        found = vector.astype(dtype)
    return found if np.isfinite(found).all() else None


def of_part(where: Storage, part: str, extractor: str) -> pa.Table | None:
    """The stored features of one extractor for a part of the trials; None: nothing is stored.

    Raises:
        DataError: it is damaged.
    """
    name = part_of(part, extractor)
    if name not in store.names(where, FOLDER):
        return None
    with store.opened(where, f"{FOLDER}/{name}") as file:
        checked_features(file.schema_arrow, f"{where}: {FOLDER}/{name}")
        return file.read()


def orphans(where: Storage, prefix: str) -> list[str]:
    """Parts of a shard without trials, which a driver left that was killed between the two."""
    there = {part.removesuffix(SUFFIX) for part in store.parts(where)}
    mine = [name for name in store.names(where, FOLDER) if name.startswith(f"part-{prefix}") and name.endswith(SUFFIX)]
    return [name for name in mine if name.removesuffix(SUFFIX).rpartition("-")[0] not in there]


def read(output: Output, extractor: str) -> Iterator[tuple[list[str], Vectors]]:
    """Stored trials with their features, some thousand at a time, each trial once; those that are null are left out.

    Yields:
        Identities, and features ``[n, F]`` float32 in their order.

    Raises:
        DataError: a part is damaged, or of another form.
    """
    where, seen, sizes = place(output), set[bytes](), set[int]()
    there = set(store.names(where, FOLDER))
    for part in store.parts(where):
        name = part_of(part, extractor)
        if name not in there:
            continue
        with store.opened(where, f"{FOLDER}/{name}") as file:
            size = checked_features(file.schema_arrow, f"{where}: {FOLDER}/{name}")
            for batch in file.iter_batches(BATCH_ROWS, columns=["trial", "extractor", "features"]):
                for found in _new(batch, extractor, seen, f"{where}: {FOLDER}/{name}"):
                    sizes.add(size)  # a part without any features has another one
                    if len(sizes) > 1:
                        raise DataError(f"{where}: an extractor's features have {min(sizes)} and {max(sizes)} numbers")
                    yield found


def _new(batch: pa.RecordBatch, extractor: str, seen: set[bytes], where: str) -> Iterator[tuple[list[str], Vectors]]:
    batch.validate(full=True)  # Parquet may hold texts that are none
    trials, extractors = batch["trial"].to_pylist(), batch["extractor"].to_pylist()
    there = batch["features"].is_valid().to_pylist()
    kept = []
    for k, trial in enumerate(trials):
        key = (trial or "").encode()
        if there[k] and extractors[k] == extractor and key and key not in seen:
            seen.add(key)
            kept.append(k)
    if kept:
        rows = batch["features"].take(pa.array(kept))
        flat = rows.flatten().to_numpy(zero_copy_only=False).astype(np.float32)
        if not np.isfinite(flat).all():
            raise DataError(f"{where}: features that are no finite numbers")
        yield [trials[k] for k in kept], flat.reshape(len(kept), -1)
