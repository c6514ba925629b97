"""Texts of a foreign run that are no UTF-8, or fill the memory: a reader refuses them in one line."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from stored_runs import rows, stored, with_trace
from test_hostile_parts import EXTRACTOR, featured

from bench.store import expansion, features, trace
from bench.store import reader as store
from bench.store.encoding import encoded
from tts.errors import DataError

FOUL = b"\xed\xa0\x80"
"""Half a character."""

ROWS = ("trial", "search", "settings", "condition", "label", "reward", "error", "device", "image_sha256")
COLUMNS = [
    *(("trials", name) for name in ROWS),
    *(("evaluations", name) for name in ("trial", "kind")),
    *(("features", name) for name in ("trial", "extractor")),
]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return featured(with_trace(stored(tmp_path / "run", rows(1))))


def foul(run: Path, folder: str, name: str) -> None:
    """Set a column of texts to bytes that are none."""
    for part in (run / folder).iterdir():
        table = pq.read_table(part)
        raw = pa.array([FOUL] * len(table), pa.binary())
        texts = pa.Array.from_buffers(pa.string(), len(raw), raw.buffers())
        pq.write_table(table.set_column(table.column_names.index(name), name, texts), part)


@pytest.mark.parametrize(("folder", "name"), COLUMNS)
def test_a_text_that_is_none_is_refused(folder: str, name: str, run: Path) -> None:
    foul(run, folder, name)
    with pytest.raises(DataError, match=r"^[^\n]*parquet is damaged[^\n]*UTF8[^\n]*$"):
        read(run, folder)


def read(run: Path, folder: str) -> None:
    if folder == "trials":
        store.read(run)
    elif folder == "evaluations":
        trace.read(run)
    else:
        list(features.read(run, EXTRACTOR))


@pytest.mark.parametrize("nested", [False, True], ids=["text", "nested"])
@pytest.mark.parametrize("folder", ["trials", "evaluations", "features"])
def test_a_text_of_every_row_fills_no_memory(
    nested: bool, folder: str, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(expansion, "MOST_BYTES", 1_000_000)
    [part] = (run / folder).iterdir()
    texts = ["x" * 10_000] * 1000
    pq.write_table(pa.table({"x": [[{"y": text}] for text in texts] if nested else texts}), part)
    with pytest.raises(DataError, match=rf"^{run}: {folder}/{part.name}: x has texts of more than 1\d+ bytes$"):
        read(run, folder)


def test_our_own_images_need_not_be_read_twice(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A part says itself that no image is that of several rows; of names it cannot."""
    images = [os.urandom(1000) for _ in range(100)]
    part = run / "trials" / "part-images.parquet"
    part.write_bytes(encoded(pa.table({"trial": [str(number) for number in range(100)], "image": images})))
    looked_at = []
    monkeypatch.setattr(expansion, "MOST_BYTES", 0)
    monkeypatch.setattr(expansion, "_bytes", lambda column: looked_at.append(column.dictionary.type) or 0)
    store.check_texts(store.place(run), f"trials/{part.name}", pq.read_metadata(part))
    assert looked_at == [pa.string()]
    assert pq.read_table(part)["image"].to_pylist() == images
