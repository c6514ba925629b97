"""Real images of a folder, of a zip or tar archive, or of the batches that guided diffusion's authors publish."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from tts.errors import DataError
from tts.metrics.references.faults import told

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
ARRAY = "arr_0.npy"
"""The images in published batches, ``[N, H, W, 3]`` uint8."""

MOST_BYTES = 1 << 28
"""Of one image, packed or as pixels: a small archive can hold far larger ones."""

Read = Callable[[int], NDArray[np.uint8]]


@contextmanager
def opened(path: Path, setting: str = "reference") -> Iterator[tuple[int, Read]]:
    """How many images there are, and what reads one by its number, ``[H, W, 3]`` uint8; members stay in the archive.

    They are in the order of their names, in an array in its own. Numbers must grow from one reading to the next. What
    the caller raises meanwhile passes as it is.

    Raises:
        DataError: missing, damaged, or without images.
    """
    fault = f"{setting} {path}", "its images cannot be read"
    with ExitStack() as held:
        with told(*fault):
            count, read = held.enter_context(_source(path))

        def one(number: int) -> NDArray[np.uint8]:
            with told(*fault):
                return read(number)

        yield count, one


@contextmanager
def _source(path: Path) -> Iterator[tuple[int, Read]]:
    if path.is_dir():
        yield _many(path, [str(file) for file in files(path)], lambda name: _whole(Path(name).open("rb")))  # noqa: SIM115
    elif path.suffix == ".npz":
        with zipfile.ZipFile(path) as archive, _member(archive, path) as file:
            yield _array(file, path)
    elif path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            yield _many(path, archive.namelist(), lambda name: _whole(archive.open(name)))
    else:
        with tarfile.open(path) as tar:
            members = {member.name: member for member in tar.getmembers() if member.isfile()}
            yield _many(path, list(members), lambda name: _whole(tar.extractfile(members[name])))


def files(folder: Path) -> list[Path]:
    """The images below a folder, by path."""
    return sorted(file for file in folder.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())


def _many(path: Path, names: list[str], read: Callable[[str], bytes]) -> tuple[int, Read]:
    images = sorted(name for name in names if name.lower().endswith(SUFFIXES))
    if not images:
        raise DataError(f"reference {path}: holds no images ({', '.join(SUFFIXES)})")
    return len(images), lambda number: _decoded(read(images[number]), images[number])


def _whole(file: IO[bytes] | None) -> bytes:
    """An image's file, which is closed; None: a member of a tar archive without content."""
    with file or io.BytesIO() as opened:
        data = opened.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise ValueError(f"an image's file has more than {MOST_BYTES >> 20} MiB")
    return data


def _decoded(data: bytes, name: str) -> NDArray[np.uint8]:
    try:
        with Image.open(io.BytesIO(data)) as image:
            return np.asarray(image.convert("RGB"))
    except UnidentifiedImageError:
        raise ValueError(f"{name} is no image") from None


@contextmanager
def _member(archive: zipfile.ZipFile, path: Path) -> Iterator[IO[bytes]]:
    if ARRAY not in archive.namelist():
        raise DataError(f"reference {path}: holds no images (arr_0)")
    with archive.open(ARRAY) as file:
        yield file


def _array(file: IO[bytes], path: Path) -> tuple[int, Read]:
    """Images of an array that is read row by row, since some are of gigabytes."""
    version = npy.read_magic(file)
    header: Any = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, fortran, dtype = header(file)
    if len(shape) != 4 or shape[3] != 3 or dtype != np.uint8 or fortran:
        raise DataError(f"reference {path}: arr_0 must be [N, H, W, 3] uint8, and is {dtype} {list(shape)}")
    size, done = prod(shape[1:]), 0
    if not 0 < size <= MOST_BYTES:
        raise DataError(f"reference {path}: an image of arr_0 has {size} bytes; at most {MOST_BYTES} are read")

    def read(number: int) -> NDArray[np.uint8]:
        nonlocal done
        while done <= number:
            data = file.read(size)
            done += 1
        if len(data) != size:
            raise ValueError("arr_0 ends too early")
        return np.frombuffer(data, np.uint8).reshape(shape[1:])

    return shape[0], read
