"""Stored images as pixels."""

from __future__ import annotations

import hashlib
import io
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from tts.files.digests import pixels_sha256

Pixels: TypeAlias = NDArray[np.uint8]


def decoded(data: bytes) -> Pixels:
    """The pixels of an image file, ``[H, W, 3]`` uint8.

    Raises:
        OSError: it is no image, or damaged.
    """
    from PIL import Image

    try:
        return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    except (ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise OSError(f"not an image: {error}") from None


def image_sha256(data: bytes | None) -> str | None:
    """The digest of a stored image's pixels, as rows have it since version 4; of damaged ones that of their bytes."""
    if data is None:
        return None
    try:
        return pixels_sha256(decoded(data))
    except OSError:
        return hashlib.sha256(data).hexdigest()
