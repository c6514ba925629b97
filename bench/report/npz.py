"""A run's final images as guided diffusion's evaluator takes them: a ``.npz`` a point, ``arr_0`` uint8 [N, H, W, 3]."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path
from typing import Any

import pandas as pd
from numpy.lib import format as npy

from bench.report.summary import each_image, read_trials
from bench.statistics.curves import curve_labels, label
from bench.statistics.observations import POINT
from bench.store.files import check_folder, hidden, writing
from bench.store.images import Pixels, pixels_of
from bench.store.storage import Output, place
from tts.errors import DataError, SettingError


def export_npz(run: Output, folder: Path) -> dict[Path, int]:
    """Write the images of each point of a run's curves, in the order of their trials' identities.

    Each part of the run is read once. Until the last file is whole, the folder needs place for all images twice.

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
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with hidden(folder, ".export-") as made:
            for path, array in _arrays(where, trials, points, made).items():
                _zip(array, path)
    return {path: len(part) for path, part in points.items()}


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


class _Array:
    """An array of numpy in a file, ``[N, H, W, 3]`` uint8, whose images may come in any order.

    It is no memory map, as a full disk would then end the process.
    """

    def __init__(self, path: Path, shape: tuple[int, ...]) -> None:
        self.path, self.shape = path, shape
        with path.open("wb") as file:
            npy.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
            self._start = file.tell()

    def put(self, at: int, image: Pixels) -> None:
        """Write one image."""
        with self.path.open("r+b") as file:  # of many arrays: the system bounds the files that are open
            file.seek(self._start + at * image.size)
            file.write(image.tobytes())


def _arrays(where: Output, trials: pd.DataFrame, points: dict[Path, pd.DataFrame], folder: Path) -> dict[Path, Path]:
    """The images of each point as a file of numpy, all of them filled side by side."""
    places = {trial: (path, at) for path, part in points.items() for at, trial in enumerate(part["trial"])}
    arrays: dict[Path, _Array] = {}
    for trial, data in each_image(where, trials):
        if data is None:
            raise DataError(f"{where}: the image of trial {trial} was not kept; run it with images: true")
        image, (path, at) = pixels_of(where, trial, data), places[trial]
        if path not in arrays:
            arrays[path] = _Array(folder / f"{len(arrays)}.npy", (len(points[path]), *image.shape))
        if image.shape != arrays[path].shape[1:]:
            raise DataError(f"{where}: its images are of several sizes")
        arrays[path].put(at, image)
    return {path: array.path for path, array in arrays.items()}


def _zip(array: Path, path: Path) -> None:
    whole = array.with_suffix(".npz")
    with zipfile.ZipFile(whole, "w") as archive:
        archive.write(array, "arr_0.npy")
    array.unlink()
    whole.replace(path)
