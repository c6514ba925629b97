"""Trials of a run as columns that a comparison can hold: heavy ones as digests."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from bench.store import reader as store
from bench.store.digests import fingerprints, recipe_hash
from bench.store.images import image_sha256, kept
from bench.store.schema import TIMED
from bench.store.storage import Output, Storage, place
from tts.errors import DataError

DIGESTS = {"image": "image_sha256", "noises": "recipe_hash"}
"""Columns whose digests stand in a column of their own since version 4."""
SAME_IMAGES = 64
"""Images that are held while others are read: trials on several rewards often end with the same one."""


def outcomes(output: Output) -> pd.DataFrame:
    """A run's trials, each once, in a few hundred bytes each: digests stand for recipes and images.

    Images and recipes themselves are read only of rows without digests, as those of versions 1 to 3 are.

    Returns:
        The columns of the trials but the timed ones; ``image`` and ``noises`` are digests, ``error`` says whether
        there is one.

    Raises:
        DataError: there is no trial yet.
    """
    names = [name for name in store.columns(output) if name not in (*TIMED, *DIGESTS)]
    where = place(output)
    frames = [_light(batch, where) for batch in _batches(output, names)]
    if not frames:
        raise DataError(f"{where}: no trial is finished yet")
    return pd.concat(frames, ignore_index=True).drop_duplicates("trial", ignore_index=True)


def _batches(output: Output, names: list[str]) -> Iterable[pa.RecordBatch]:
    """The run's trials part by part, with images and recipes where digests of them are missing."""
    for part in store.parts(place(output)):
        digests = store.table(output, [*DIGESTS.values(), "error"], of=[part])
        assert digests is not None  # one part was named
        finished = digests.filter(digests["error"].is_null())
        missing = [name for name, digest in DIGESTS.items() if finished[digest].null_count]
        yield from store.batches(output, [*names, *missing], of=[part])


def _light(batch: pa.RecordBatch, where: Storage) -> pd.DataFrame:
    columns = {name: batch[name] for name in batch.schema.names}
    columns |= {name: _digests(name, columns, where) for name in DIGESTS}
    kept = {name: column for name, column in columns.items() if name not in DIGESTS.values()}
    heavy = [name for name, column in kept.items() if _is_heavy(column.type)]
    light = pa.table({name: column for name, column in kept.items() if name not in heavy}).to_pandas()
    found = {name: pd.Series(fingerprints(kept[name]), dtype=object) for name in heavy}
    frame: pd.DataFrame = light.assign(error=light["error"].notna(), **found)
    return frame


def _is_heavy(kind: pa.DataType) -> bool:
    return bool(pa.types.is_nested(kind) or pa.types.is_binary(kind))


def _digests(name: str, columns: dict[str, pa.Array], where: Storage) -> pa.Array:
    """The digests of images or recipes: those of the rows, and for rows without them new ones."""
    known = columns[DIGESTS[name]]
    if name not in columns:
        return known
    known = known.cast(pa.string())
    lacking = pc.fill_null(pc.equal(known, ""), True)
    if name == "image":
        digest = lru_cache(SAME_IMAGES)(image_sha256)
        images = _images(columns["image"].filter(lacking), columns["image_file"].filter(lacking), where)
        made = [digest(image) for image in images]
    else:
        recipes = columns["noises"].filter(lacking).to_pylist()
        made = [None if noises is None else recipe_hash(noises) for noises in recipes]
    return pc.replace_with_mask(known, lacking, pa.array(made, pa.string()))


def _images(inside: pa.Array, files: pa.Array, where: Storage) -> Iterable[bytes | None]:
    """The images in the rows, and those in files of their own, one after another."""
    for image, name in zip(inside, files.to_pylist(), strict=True):
        yield kept(where, {"image": image.as_py(), "image_file": name})
