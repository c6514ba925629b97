"""Digests of files, each computed once, and of images."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tts.errors import WeightsError

if TYPE_CHECKING:
    from numpy.typing import NDArray


def sha256(path: Path, setting: str) -> str:
    """SHA-256 of a file, in hex.

    Args:
        setting: what named the file, for the message.

    Raises:
        WeightsError: the file cannot be read.
    """
    try:
        stat = path.stat()
        return _sha256(path, stat.st_size, stat.st_mtime_ns)
    except OSError as error:
        raise WeightsError(f"{setting} {path}: {error.strerror}") from None


@lru_cache(maxsize=256)
def _sha256(path: Path, size: int, modified: int) -> str:
    """Digest of a file with this size and time of change; both belong to the key under which a digest is remembered."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def pixels_sha256(pixels: NDArray[Any]) -> str:
    """SHA-256 of an image's pixels, in hex: of its RGB bytes row by row, whatever file they came from.

    Args:
        pixels: ``[H, W, 3]`` uint8.
    """
    return hashlib.sha256(pixels.tobytes()).hexdigest()
