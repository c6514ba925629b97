"""``tts-bench export``: a run as a small folder to hand on, its parts joined into one."""

from __future__ import annotations

import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from bench import store
from bench.files import check_folder, write_output
from bench.report import write_curves_and_pictures
from tts.errors import SettingError

PART = "part-export-00000.parquet"


def export(run: Path, folder: Path, images: bool) -> int:
    """Copy a run's manifest and rows, and draw its curves and pictures there.

    Args:
        run: folder of the run; not changed.
        folder: where to; must not hold a run.
        images: keep the images in the rows; without them, rows are a few hundred bytes, and every image can still be
            made again from its recipe.

    Returns:
        The number of rows.

    Raises:
        DataError: ``run`` is no run, or has no trial yet.
        SettingError: the folder cannot be written to, or holds a run.
    """
    rows = store.read(run).sort_by([(name, "ascending") for name in ("reward", "search", "budget_value", "trial")])
    check_folder(folder)
    if (folder / "manifest.json").exists():
        raise SettingError(f"output {folder}: holds a run already; choose another folder, or delete it")
    write_output(folder / "trials" / PART, _parquet(rows if images else _without_images(rows)))
    write_curves_and_pictures(rows.to_pandas(), folder)
    # The manifest makes the folder a run, and so comes last.
    write_output(folder / "manifest.json", (run / "manifest.json").read_bytes())
    return int(rows.num_rows)


def _without_images(rows: pa.Table) -> pa.Table:
    place = rows.schema.get_field_index("image")
    return rows.set_column(place, rows.schema.field(place), pa.nulls(rows.num_rows, pa.binary()))


def _parquet(rows: pa.Table) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(rows, buffer, compression="zstd")
    return buffer.getvalue()
