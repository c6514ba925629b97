"""``tts-bench export``: a run as a small folder to hand on, its parts joined into one."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from bench.report.metrics import write_metrics
from bench.report.summary import write_curves_and_pictures
from bench.store import reader as store
from bench.store.encoding import encoded
from bench.store.files import check_folder, write_output
from bench.store.images import kept
from bench.store.schema import without_images
from bench.store.storage import LocalStorage, Output, Storage, place
from tts.errors import SettingError

PART = "part-export-00000.parquet"


def export(run: Output, folder: Path, images: bool) -> int:
    """Copy a run's manifest and rows, and draw its curves and pictures there.

    Args:
        run: its folder or address; not changed.
        folder: where to; must not hold a run.
        images: keep the images in the rows; without them, rows are a few hundred bytes, and every image can still be
            made again from its recipe.

    Returns:
        The number of rows.

    Raises:
        DataError: ``run`` is no run, or has no trial yet.
        SettingError: the folder cannot be written to, or holds a run.
    """
    where = place(run)
    rows = store.read(where).sort_by([(name, "ascending") for name in ("reward", "search", "budget_value", "trial")])
    check_folder(folder)
    if (folder / "manifest.json").exists():
        raise SettingError(f"output {folder}: holds a run already; choose another folder, or delete it")
    whole = _with_images(rows, where) if images else _without_images(rows)
    write_output(folder / "trials" / PART, encoded(whole))
    write_curves_and_pictures(rows.select(without_images(rows.column_names)).to_pandas(), where, LocalStorage(folder))
    write_metrics(rows.select(without_images(rows.column_names)).to_pandas(), where, LocalStorage(folder))
    # The manifest makes the folder a run, and so comes last.
    write_output(folder / "manifest.json", where.read("manifest.json") or b"")
    return int(rows.num_rows)


def _with_images(rows: pa.Table, where: Storage) -> pa.Table:
    """Rows with the images that lie in files of their own."""
    return _with(rows, [kept(where, row) for row in rows.select(["image", "image_file"]).to_pylist()])


def _without_images(rows: pa.Table) -> pa.Table:
    return _with(rows, [None] * rows.num_rows)


def _with(rows: pa.Table, images: list[bytes | None]) -> pa.Table:
    """Rows with these images, and no files of images."""
    rows = _replaced(rows, "image", pa.array(images, pa.binary()))
    return _replaced(rows, "image_file", pa.nulls(rows.num_rows, pa.string()))


def _replaced(rows: pa.Table, name: str, values: pa.Array) -> pa.Table:
    number = rows.schema.get_field_index(name)
    return rows.set_column(number, rows.schema.field(number), values)
