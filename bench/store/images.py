"""Stored images as pixels."""

from __future__ import annotations

import hashlib
import io
import warnings
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tts.errors import first_line
from tts.files.digests import pixels_sha256

if TYPE_CHECKING:
    from PIL import Image

Pixels: TypeAlias = NDArray[np.uint8]


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
