"""Stored images as pixels."""

from __future__ import annotations

import hashlib
import io
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tts.errors import DataError, TTSError, first_line
from tts.files.digests import pixels_sha256

if TYPE_CHECKING:
    from PIL import Image

    from bench.store.storage import Storage

Pixels: TypeAlias = NDArray[np.uint8]


def kept(where: Storage, row: Mapping[str, Any]) -> bytes | None:
    """A trial's image file, which its row holds or names; None: the run did not keep it.

    Args:
        row: ``image`` and ``image_file``.

    Raises:
        DataError: it cannot be read.
    """
    name = row["image_file"]
    if name is None:
        return row["image"]  # type: ignore[no-any-return]  # bytes, by the schema
    try:
        return where.read(name)
    except TTSError:  # ours is an OSError, too
        raise
    except OSError as error:
        raise DataError(f"{where}: {name} cannot be read ({error.strerror or first_line(error)})") from None


def pixels_of(where: object, trial: str, data: bytes) -> Pixels:
    """The pixels of a trial's image file, ``[H, W, 3]`` uint8.

    Raises:
        DataError: it is no image, or damaged.
    """
    try:
        return decoded(data)
    except OSError as error:
        raise DataError(f"{where}: the image of trial {trial} is damaged ({error})") from None


def decoded(data: bytes) -> Pixels:
    """The pixels of an image file, ``[H, W, 3]`` uint8.

    Raises:
        OSError: it is no image, or damaged.
    """
    return np.asarray(opened(data))


def opened(data: bytes) -> Image.Image:
    """An image file as a run stores it: a PNG; readers of other forms call programs, or have more faults to attack.

    Raises:
        OSError: it is no PNG, damaged, or of more pixels than any image that is made here.
    """
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            return Image.open(io.BytesIO(data), formats=["PNG"]).convert("RGB")
    except (ValueError, SyntaxError, OSError, Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise OSError(f"no image ({_reason(error)})") from None


def _reason(error: Exception) -> str:
    from PIL import UnidentifiedImageError

    return "not a PNG" if isinstance(error, UnidentifiedImageError) else first_line(error)


def image_sha256(data: bytes | None) -> str | None:
    """The digest of a stored image's pixels, as rows have it since version 4; of damaged ones that of their bytes."""
    if data is None:
        return None
    try:
        return pixels_sha256(decoded(data))
    except OSError:
        return hashlib.sha256(data).hexdigest()
