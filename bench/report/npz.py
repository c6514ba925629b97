"""A run's final images as guided diffusion's evaluator takes them: a ``.npz`` a point, ``arr_0`` uint8 [N, H, W, 3]."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np
import pandas as pd
from numpy.lib import format as npy

from bench.report.summary import read_images, read_trials
from bench.statistics.curves import curve_labels, label
from bench.statistics.observations import POINT
from bench.store.files import check_folder, writing
from bench.store.images import decoded
from bench.store.storage import Output, place
from tts.errors import DataError, SettingError

BATCH = 500
"""Images that are held at once."""


def export_npz(run: Output, folder: Path) -> dict[Path, int]:
    """Write the images of each point of a run's curves, in the order of their trials' identities.

    Args:
        run: its folder or address; not changed.
        folder: where to; made when missing. No file of it is replaced.

    Returns:
        How many images each file has.

    Raises:
        DataError: ``run`` is no run, or has images that are damaged or not kept, or two points of one name.
        SettingError: the folder cannot be written to, or has a file of such a name.
    """
    where = place(run)
    trials = read_trials(where)
    trials = trials[trials["error"].isna()].sort_values("trial")
    check_folder(folder)
    points = {folder / name: part for name, part in _named(trials, where).items()}
    for path in points:
        if path.exists():
            raise SettingError(f"output {path}: is there already; choose another folder, or delete it")
    return {path: _write(where, part, path) for path, part in points.items()}


def _named(trials: pd.DataFrame, where: Output) -> dict[str, pd.DataFrame]:
    """The trials of each point by the name of its file."""
    labels = curve_labels(trials)
    points: dict[str, pd.DataFrame] = {}
    for key, part in trials.groupby(POINT, dropna=False):
        point = dict(zip(POINT, key, strict=True))
        name = f"{_name(point, label(labels, point))}.npz"
        if name in points:
            raise DataError(f"{where}: two points of its curves would have one file, {name}")
        points[name] = part
    return points


def _name(point: dict[Any, Any], curve: str) -> str:
    """A point's words; the signs of its numbers stay, so that -1 is not 1."""
    budget = "" if pd.isna(point["budget_value"]) else f"-{point['budget']}-{point['budget_value']:.15g}"
    return re.sub(r"[^A-Za-z0-9_.+-]+", "-", f"{point['reward']}-{curve}{budget}").strip("-.")


def _write(where: Output, trials: pd.DataFrame, path: Path) -> int:
    temporary = path.with_name(f".{path.name}.part")
    try:
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with zipfile.ZipFile(temporary, "w") as archive, archive.open("arr_0.npy", "w", force_zip64=True) as file:
                _fill(file, where, trials)
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return len(trials)


def _fill(file: IO[bytes], where: Output, trials: pd.DataFrame) -> None:
    shape: tuple[int, ...] | None = None
    for start in range(0, len(trials), BATCH):
        images = _images(where, trials.iloc[start : start + BATCH])
        if shape is None:
            shape = images.shape[1:]
            header = {"descr": "|u1", "fortran_order": False, "shape": (len(trials), *shape)}
            npy.write_array_header_1_0(file, header)
        if images.shape[1:] != shape:
            raise DataError(f"{where}: its images are of several sizes")
        file.write(images.tobytes())


def _images(where: Output, trials: pd.DataFrame) -> Any:
    """``[n, H, W, 3]`` uint8."""
    found = read_images(where, trials)
    images = []
    for trial in trials["trial"]:
        data = found[trial]
        if data is None:
            raise DataError(f"{where}: the image of trial {trial} was not kept; run it with images: true")
        try:
            images.append(decoded(data))
        except OSError as error:
            raise DataError(f"{where}: the image of trial {trial} is damaged ({error})") from None
    if len({image.shape for image in images}) > 1:
        raise DataError(f"{where}: its images are of several sizes")
    return np.stack(images)
